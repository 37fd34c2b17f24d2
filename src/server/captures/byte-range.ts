import { ServerError } from "../host/server-error.ts";

/**
 * The bytes `[from, to)` that a `Range` header names, or `null` where the whole is wanted: also for several ranges at
 * once and for other units, which a server may answer with everything (RFC 9110, 14.2).
 *
 * @throws ServerError `RANGE_NOT_SATISFIABLE` for a range that begins behind the end.
 */
export function byteRange(
  header: string,
  size: number,
): { readonly from: number; readonly to: number } | null {
  const found = /^bytes=(\d*)-(\d*)$/.exec(header.trim());
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
