import { spawn } from "node:child_process";

/** The program of each system that opens an address with what the user has chosen for it. */
const OPENERS: Partial<Record<NodeJS.Platform, readonly [program: string, ...args: string[]]>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"],
};

/** Open an address in the user's browser, if there is one: the address is on the screen as well. */
export function openBrowser(url: string): void {
  const [program, ...args] = OPENERS[process.platform] ?? ["xdg-open"];
  const opener = spawn(program, [...args, url], { stdio: "ignore", detached: true });
  // A machine without a desktop.
  opener.on("error", () => {});
  opener.unref();
}
