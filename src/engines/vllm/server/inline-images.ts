import { fileURLToPath } from "node:url";
import { RequestError } from "../../../core/errors.ts";
import { openFile } from "../../../formats/regular-file.ts";

/** In bytes, as the plugin has it: a picture; more is a mistake. */
const MAX_IMAGE = 64 << 20;
/** How long the host of an image may take. */
const TIMEOUT_MS = 30_000;

/**
 * Images as data URIs: what a server gets. It is not asked to fetch a URL, which is the client's network to reach and
 * nobody's way into the server's, nor to read a path, which is the client's file.
 *
 * @param images paths, `file:`, `http(s):` or `data:` URLs.
 * @throws RequestError `INVALID_ARGUMENT` naming the image that cannot be read.
 */
export function inlineImages(images: readonly string[], signal?: AbortSignal): Promise<string[]> {
  return Promise.all(images.map((image) => (image.startsWith("data:") ? image : inline(image, signal))));
}

async function inline(image: string, signal?: AbortSignal): Promise<string> {
  try {
    const bytes = /^https?:/i.test(image) ? await download(image, signal) : await readPath(image);
    // The server looks at the bytes for what kind of image it is.
    return `data:image;base64,${Buffer.concat(bytes).toString("base64")}`;
  } catch (cause) {
    signal?.throwIfAborted();
    const shown = image.length < 100 ? image : `${image.slice(0, 60)}...`;
    throw new RequestError(
      "INVALID_ARGUMENT",
      `cannot read the image ${shown}: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

async function download(url: string, signal?: AbortSignal): Promise<Uint8Array[]> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(url, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  if (!response.ok || !response.body) throw new Error(`its host answers ${response.status}`);
  return bounded(response.body);
}

async function readPath(image: string): Promise<Uint8Array[]> {
  const file = await openFile(image.startsWith("file:") ? fileURLToPath(image) : image);
  try {
    return await bounded(file.createReadStream({ autoClose: false }));
  } finally {
    await file.close();
  }
}

async function bounded(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const kept: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > MAX_IMAGE) throw new Error(`it has more than ${MAX_IMAGE} bytes`);
    kept.push(chunk);
  }
  return kept;
}
