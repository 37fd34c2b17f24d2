/**
 * Draw what a command prints in a terminal as an SVG.
 *
 *     npm run picture
 *
 * Each character has its own place, so that columns stay aligned whatever font a reader has.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const separator = process.argv.indexOf("--");
const [file] = process.argv.slice(2, separator);
const [command, ...args] = process.argv.slice(separator + 1);
const env = {
  ...process.env,
  FORCE_COLOR: "3",
  COLORTERM: "truecolor",
  COLUMNS: "80",
  TERM: "xterm-256color",
};
const output = execFileSync(command, args, { env, encoding: "utf8" });

const CELL = { width: 8.4, height: 18 };
const PADDING = 16;
const PAPER = "#16161c";
const INK = "#e6e6ea";
const DIM = "#8a8a96";

/** Escape, then a colour; or one character. */
const ESCAPE = String.fromCharCode(27);
const TOKEN = new RegExp(`${ESCAPE}\\[([\\d;]*)m|([^${ESCAPE}])`, "gu");

/** Characters of one line with their colours, from SGR sequences. */
function cells(line) {
  const out = [];
  let style = {};
  for (const [, codes, text] of line.matchAll(TOKEN)) {
    if (text !== undefined) out.push({ text, ...style });
    else style = applied(style, (codes || "0").split(";").map(Number));
  }
  return out;
}

function applied(style, codes) {
  const next = { ...style };
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) for (const key of Object.keys(next)) delete next[key];
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 39) delete next.ink;
    else if (code === 49) delete next.paper;
    else if ((code === 38 || code === 48) && codes[i + 1] === 2) {
      next[code === 38 ? "ink" : "paper"] = `rgb(${codes.slice(i + 2, i + 5).join(",")})`;
      i += 4;
    }
  }
  return next;
}

const escaped = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);

const lines = output.trimEnd().split("\n").map(cells);
const columns = Math.max(80, ...lines.map((line) => line.length));
const width = columns * CELL.width + 2 * PADDING;
const height = lines.length * CELL.height + 2 * PADDING;
const body = lines.flatMap((line, row) => {
  const y = PADDING + row * CELL.height;
  const parts = [];
  line.forEach(({ paper }, column) => {
    if (paper)
      parts.push(
        `<rect x="${(PADDING + column * CELL.width).toFixed(1)}" y="${y}" width="${CELL.width + 0.3}" height="${CELL.height}" fill="${paper}"/>`,
      );
  });
  for (let from = 0; from < line.length; ) {
    const look = ({ ink, bold, dim }) => `${ink ?? (dim ? DIM : INK)} ${bold ? "bold" : ""}`;
    let to = from + 1;
    while (to < line.length && look(line[to]) === look(line[from])) to++;
    // Spaces are left out: renderers fold them, and every other character knows its place.
    const run = line
      .slice(from, to)
      .flatMap(({ text }, i) => (text === " " ? [] : [{ text, column: from + i }]));
    if (run.length > 0) {
      const xs = run.map(({ column }) => (PADDING + column * CELL.width).toFixed(1)).join(" ");
      const { ink, bold, dim } = line[from];
      parts.push(
        `<text x="${xs}" y="${y + 13.5}" fill="${ink ?? (dim ? DIM : INK)}"${bold ? ' font-weight="bold"' : ""}>${escaped(run.map(({ text }) => text).join(""))}</text>`,
      );
    }
    from = to;
  }
  return parts;
});
writeFileSync(
  file,
  `<svg role="img" aria-label="${escaped(named([command, ...args].join(" ")))}" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
<rect width="100%" height="100%" rx="8" fill="${PAPER}"/>
${body.join("\n")}
</svg>
`,
);

/** A command as a reader types it, whatever checkout it was run from. */
function named(command) {
  return command.replace(/^sh -c /, "").replace(/\bnode \S*dist\/cli\/main\.js/g, "npx moescope");
}
