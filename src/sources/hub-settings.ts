import { join } from "node:path";
import { RequestError } from "../core/errors.ts";
import { readSmallFile } from "./local-files.ts";

const HUB_URL = "https://huggingface.co";

/** What the environment says about the Hub, read as Python's `huggingface_hub` reads it. */
export interface HubSettings {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** The folder that holds `models--org--name`. */
  readonly cache: string;
  /** Nothing may be asked of the network. */
  readonly offline: boolean;
}

/**
 * @throws RequestError when `HF_ENDPOINT` is not a web address or the token cannot be one.
 */
export async function hubSettings(env: NodeJS.ProcessEnv, home: string): Promise<HubSettings> {
  // An empty variable means "not set", as in most shells' scripts.
  const folder = (value: string | undefined) => value?.replace(/^~(?=$|[\\/])/, () => home);
  const hfHome =
    folder(env.HF_HOME) || join(folder(env.XDG_CACHE_HOME) || join(home, ".cache"), "huggingface");
  const tokenPath = folder(env.HF_TOKEN_PATH) || join(hfHome, "token");
  return {
    endpoint: endpointOf(env.HF_ENDPOINT || HUB_URL),
    token: checkToken(env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || (await readToken(tokenPath))),
    cache: folder(env.HF_HUB_CACHE) || folder(env.HUGGINGFACE_HUB_CACHE) || join(hfHome, "hub"),
    offline: /^(1|on|yes|true)$/i.test(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE || ""),
  };
}

function endpointOf(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url?.protocol !== "https:" && url?.protocol !== "http:")
    throw new RequestError(
      "INVALID_ARGUMENT",
      `HF_ENDPOINT is ${JSON.stringify(value)}; it must be an http or https address such as ${HUB_URL}`,
    );
  return value.replace(/\/+$/, "");
}

/** The token that `hf auth login` keeps. */
async function readToken(path: string): Promise<string> {
  return readSmallFile(path);
}

function checkToken(value: string): string | undefined {
  const token = value.trim();
  // The message must not show it: it may be a token with something pasted after it.
  if (!/^[\x21-\x7e]*$/.test(token))
    throw new RequestError(
      "INVALID_ARGUMENT",
      "the Hugging Face token (HF_TOKEN or the token file) holds spaces or other characters that no token has; set it again",
    );
  return token || undefined;
}
