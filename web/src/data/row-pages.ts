import { useEffect, useState } from "preact/hooks";
import type { CaptureSummary } from "../../../src/server/captures/summary.ts";
import { captureKey } from "./captures.ts";
import { Lru } from "./lru.ts";
import { loadRows } from "./routing.ts";

/** A row of a capture, as a strip shows it. */
export interface TokenRow {
  readonly row: number;
  readonly sample: number;
  readonly position: number;
  readonly tokenId: number;
  readonly text: string;
  readonly generated: boolean;
}

/** Rows come in pages, so that neighbouring windows ask for the same. */
const PAGE = 256;
/** Pages kept: 64,000 tokens. */
const pages = new Lru<readonly TokenRow[]>(250);

type Id = Pick<CaptureSummary, "id" | "version">;

async function loadPage(capture: Id, page: number, signal: AbortSignal): Promise<readonly TokenRow[]> {
  const key = captureKey(capture, `rows/${page}`);
  const known = pages.get(key);
  if (known) return known;
  const columns = await loadRows(capture, { from: page * PAGE, limit: PAGE }, signal);
  const rows = columns.row.map((row, i) => ({
    row,
    sample: columns.sample[i]!,
    position: columns.position[i]!,
    tokenId: columns.tokenId[i]!,
    text: columns.text[i]!,
    generated: columns.phase[i] === "generated",
  }));
  pages.set(key, rows, 1);
  return rows;
}

/** The rows `[from, to)`, as soon as they are here; what is kept is there at once. */
export function useRowWindow(capture: Id, from: number, to: number): readonly TokenRow[] | null {
  const first = Math.floor(from / PAGE);
  const last = Math.max(first, Math.ceil(to / PAGE) - 1);
  const [, redraw] = useState(0);
  const wanted = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const have = wanted.map((page) => pages.get(captureKey(capture, `rows/${page}`)));
  useEffect(() => {
    const controller = new AbortController();
    Promise.all(wanted.map((page) => loadPage(capture, page, controller.signal))).then(
      () => !controller.signal.aborted && redraw((n) => n + 1),
      // The map above says when the server is gone; a strip without text needs no second alarm.
      () => {},
    );
    return () => controller.abort();
  }, [capture.id, capture.version, first, last]);
  if (have.includes(undefined)) return null;
  return (have as (readonly TokenRow[])[]).flat().filter(({ row }) => row >= from && row < to);
}
