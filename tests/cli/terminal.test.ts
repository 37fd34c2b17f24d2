import { expect, test } from "vitest";
import { viridis } from "../../src/views/colours.ts";
import { foreground, nearest256 } from "../../src/views/terminal/parts/paint.ts";
import { terminalOf } from "../../src/views/terminal/terminal.ts";

const depth = (isTTY: boolean, env: NodeJS.ProcessEnv) => terminalOf({ isTTY }, env).depth;

test("colours: the terminal's, none in a pipe or under NO_COLOR, FORCE_COLOR before all", () => {
  expect(depth(true, { TERM: "xterm-256color", COLORTERM: "truecolor" })).toBe("truecolor");
  expect(depth(true, { TERM: "xterm-256color" })).toBe("256");
  expect(depth(true, { TERM: "dumb" })).toBe("none");
  expect(depth(true, { TERM: "xterm" })).toBe("none");
  expect(depth(false, { TERM: "xterm-256color", COLORTERM: "truecolor" })).toBe("none");
  expect(depth(true, { TERM: "xterm-256color", NO_COLOR: "1" })).toBe("none");
  expect(depth(true, { TERM: "xterm-256color", NO_COLOR: "" })).toBe("256");
  expect(depth(false, { FORCE_COLOR: "3" })).toBe("truecolor");
  expect(depth(false, { FORCE_COLOR: "2", NO_COLOR: "1" })).toBe("256");
  expect(depth(true, { FORCE_COLOR: "0", TERM: "xterm-256color" })).toBe("none");
});

test("width: 80, or up to 100 on a wider terminal", () => {
  expect(terminalOf({}, {}).width).toBe(80);
  expect(terminalOf({ isTTY: true, columns: 90 }, {}).width).toBe(90);
  expect(terminalOf({ isTTY: true, columns: 200 }, {}).width).toBe(100);
  expect(terminalOf({ isTTY: true, columns: 40 }, {}).width).toBe(80);
});

test("viridis keeps its ends and middle", () => {
  expect(viridis(0)).toEqual([0x44, 0x01, 0x54]);
  expect(viridis(1)).toEqual([0xfd, 0xe7, 0x25]);
  expect(viridis(7)).toEqual(viridis(1));
  // matplotlib's viridis(0.5) is #21918c.
  const middle = [0x21, 0x91, 0x8c];
  viridis(0.5).forEach((value, i) => {
    expect(Math.abs(value - middle[i]!)).toBeLessThanOrEqual(3);
  });
});

test("256 colours: the nearest of cube and greys", () => {
  expect(nearest256([255, 0, 0])).toBe(196);
  expect(nearest256([0, 0, 0])).toBe(16);
  expect(nearest256([128, 128, 128])).toBe(244);
  expect(foreground("256", [255, 0, 0], "x")).toBe("\x1b[38;5;196mx\x1b[39m");
  expect(foreground("truecolor", [1, 2, 3], "x")).toBe("\x1b[38;2;1;2;3mx\x1b[39m");
  expect(foreground("none", [1, 2, 3], "x")).toBe("x");
});
