import type { Context } from "hono";
import { packageVersion } from "../../core/package-root.ts";
import { byteRange } from "../captures/byte-range.ts";
import type { Answered } from "../captures/capture-library.ts";

/** Names what an answer says: the version of the capture, and of the program, which may find more in it tomorrow. */
const etagOf = (version: string): string => `"${version}-${packageVersion}"`;

/** An answer whose contents belong to one version of its captures: asked again, it is not sent again. */
export function respond(c: Context, { answer, version }: Answered): Response {
  const { type, body, array } = answer;
  const headers = new Headers({ "content-type": type });
  if (array) {
    headers.set("x-dtype", array.dtype);
    headers.set("x-shape", array.shape.join(","));
  }
  if (version === null) headers.set("cache-control", "no-store");
  else {
    headers.set("etag", etagOf(version));
    headers.set("cache-control", "private, no-cache");
    if (isKnown(c, etagOf(version))) return new Response(null, { status: 304, headers });
  }
  if (!array) return new Response(body, { headers });
  headers.set("accept-ranges", "bytes");
  const range = rangeOf(c, version);
  const part = answer.part ?? (range === null ? null : byteRange(range, body.byteLength));
  if (!part) return new Response(body, { headers });
  const total = answer.part?.total ?? body.byteLength;
  headers.set("content-range", `bytes ${part.from}-${part.to - 1}/${total}`);
  return new Response(answer.part ? body : body.subarray(part.from, part.to), { status: 206, headers });
}

export const json = (value: unknown, status = 200): Response =>
  Response.json(value, { status, headers: { "cache-control": "no-store" } });

/** JSON that is written while it is sent: nobody waits for all of it to be made. */
export function inPieces(texts: Iterator<string>): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const { done, value } = texts.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
  });
  return new Response(body, { headers: { "content-type": "application/json", "cache-control": "no-store" } });
}

/** Whether the client has this already. */
const isKnown = (c: Context, etag: string): boolean =>
  c.req
    .header("if-none-match")
    ?.split(",")
    .some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === etag) ?? false;

/** The `Range` that is asked for, unless the client would go on with another version (`If-Range`; RFC 9110, 13.1.5). */
export function rangeOf(c: Context, version: string | null): string | null {
  const condition = c.req.header("if-range");
  if (condition !== undefined && (version === null || condition.trim() !== etagOf(version))) return null;
  return c.req.header("range") ?? null;
}
