import { homedir } from "node:os";
import { join } from "node:path";

/** Where moescope keeps what is the user's and no cache. */
export function userFolder(env: NodeJS.ProcessEnv = process.env, home = homedir()): string {
  const data =
    process.platform === "darwin"
      ? join(home, "Library", "Application Support")
      : env.XDG_DATA_HOME || join(home, ".local", "share");
  return join(data, "moescope");
}
