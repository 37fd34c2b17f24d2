import type { Context } from "hono";
import { packageVersion } from "../core/package-root.ts";
import type { Answer } from "./answer.ts";
import { ServerError } from "./server-error.ts";

/** Names what an answer says: the version of the capture, and of the program, which may find more in it tomorrow. */
export const etagOf = (version: string): string => `"${version}-${packageVersion}"`;

/** An answer whose contents belong to one version of a capture: asked again, it is not sent again. */
export function respond(c: Context, { type, body, array }: Answer, version: string): Response {
  const etag = etagOf(version);
  const headers = new Headers({ "content-type": type, etag, "cache-control": "private, no-cache" });
  if (array) {
    headers.set("x-dtype", array.dtype);
    headers.set("x-shape", array.shape.join(","));
  }
  if (isKnown(c, etag)) return new Response(null, { status: 304, headers });
  if (!array) return new Response(body, { headers });
  headers.set("accept-ranges", "bytes");
  const range = requestedRange(c, body.byteLength, etag);
  if (!range) return new Response(body, { headers });
  headers.set("content-range", `bytes ${range.from}-${range.to - 1}/${body.byteLength}`);
  return new Response(body.subarray(range.from, range.to), { status: 206, headers });
}

export const json = (value: unknown, status = 200): Response =>
  Response.json(value, { status, headers: { "cache-control": "no-store" } });

/** Whether the client has this already. */
export const isKnown = (c: Context, etag: string): boolean =>
  c.req
    .header("if-none-match")
    ?.split(",")
    .some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === etag) ?? false;

/** Bytes `[from, to)`. */
interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/**
 * The range that is asked for, or `null` for the whole: also where the client would go on with another version
 * (`If-Range`; RFC 9110, 13.1.5).
 *
 * @throws as {@link parseRange}.
 */
export function requestedRange(c: Context, size: number, etag: string): ByteRange | null {
  const condition = c.req.header("if-range");
  return condition !== undefined && condition.trim() !== etag
    ? null
    : parseRange(c.req.header("range"), size);
}

/**
 * The `Range` header of a request, or `null` where the whole is wanted: also for several ranges at once and for other
 * units, which a server may answer with everything (RFC 9110, 14.2).
 *
 * @throws ServerError `RANGE_NOT_SATISFIABLE` for a range that begins behind the end.
 */
function parseRange(header: string | undefined, size: number): ByteRange | null {
  const found = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "");
  if (!found || (found[1] === "" && found[2] === "")) return null;
  const first = found[1] === "" ? Math.max(0, size - Number(found[2])) : Number(found[1]);
  const last = found[1] === "" || found[2] === "" ? size - 1 : Math.min(size - 1, Number(found[2]));
  if (found[1] !== "" && found[2] !== "" && Number(found[2]) < Number(found[1])) return null;
  if (first >= size || (found[1] === "" && Number(found[2]) === 0))
    throw new ServerError("RANGE_NOT_SATISFIABLE", `bytes ${found[1]}-${found[2]} of ${size}`, {
      headers: { "content-range": `bytes */${size}` },
    });
  return { from: first, to: last + 1 };
}
