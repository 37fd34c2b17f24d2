/**
 * The report's script: the theme's button, and the readout of maps by pointer and keys. Without it nothing is missing
 * but that. It is plain JavaScript for the browser; values of maps are the 16-bit numbers that `heat-map.ts` writes.
 */
export const SCRIPT = `"use strict";
(() => {
  const root = document.documentElement;
  const stored = { get() { try { return localStorage.getItem("moescope-theme"); } catch { return null; } },
    set(theme) { try { localStorage.setItem("moescope-theme", theme); } catch {} } };
  const button = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const show = (theme) => { if (theme) root.dataset.theme = theme; button.textContent = dark() ? "Light" : "Dark"; };
  show(stored.get());
  button.hidden = false;
  button.addEventListener("click", () => { const theme = dark() ? "light" : "dark"; stored.set(theme); show(theme); });

  // A table that is wider than the screen can be scrolled with the keys.
  const scrollers = new ResizeObserver((changed) => {
    for (const { target } of changed) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const scroller of document.querySelectorAll(".scroll")) scrollers.observe(scroller);

  const number = (value) => String(Number(value.toPrecision(3)));
  const words = {
    share: (value, fair) => number(value / 65534 * 100) + " % of its tokens, " + number(value / 65534 / fair) + " \\u00d7 fair share",
    lift: (value) => number(value / 1000) + " \\u00d7 as often together as any two",
    divergence: (value) => number(value / 65534) + " nats beyond chance",
  };
  for (const map of document.querySelectorAll(".map")) {
    const { rows, columns, word, unit, fair, values } = map.dataset;
    const rowNames = JSON.parse(rows), columnNames = JSON.parse(columns);
    const bytes = Uint8Array.from(atob(values), (char) => char.charCodeAt(0));
    const data = new Uint16Array(bytes.buffer);
    const cells = map.querySelector(".cells"), cursor = map.querySelector(".cursor"), out = map.querySelector("output");
    let row = 0, column = 0;
    const read = () => {
      const value = data[row * columnNames.length + column];
      cursor.setAttribute("x", column); cursor.setAttribute("y", row); cursor.setAttribute("visibility", "visible");
      out.textContent = rowNames[row] + ", " + word + " " + columnNames[column] + ": " +
        (value === 65535 ? "no value" : value === 0 && unit === "share" ? "never used" : words[unit](value, Number(fair)));
    };
    const leave = () => { cursor.setAttribute("visibility", "hidden"); out.textContent = ""; };
    cells.addEventListener("pointermove", (event) => {
      const box = cells.getBoundingClientRect();
      column = Math.min(columnNames.length - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * columnNames.length)));
      row = Math.min(rowNames.length - 1, Math.max(0, Math.floor((event.clientY - box.top) / box.height * rowNames.length)));
      read();
    });
    cells.addEventListener("pointerleave", () => { if (document.activeElement !== map) leave(); });
    map.addEventListener("focus", () => { if (map.matches(":focus-visible")) read(); });
    map.addEventListener("blur", leave);
    map.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      row = Math.min(rowNames.length - 1, Math.max(0, row + step[0]));
      column = Math.min(columnNames.length - 1, Math.max(0, column + step[1]));
      read();
    });
  }
})();`;
