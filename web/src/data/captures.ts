import { computed, signal } from "@preact/signals";
import type { CaptureSummary } from "../../../src/server/captures/summary.ts";
import type { CaptureList } from "../../../src/server/questions/captures.ts";
import { param } from "../route.ts";
import { server } from "./server.ts";

/** What the server has; `null` until it has answered. */
export const captureList = signal<CaptureList | null>(null);
export const captureListError = signal<Error | null>(null);

export async function loadCaptureList(): Promise<void> {
  captureListError.value = null;
  try {
    captureList.value = await server.get("/api/captures", {});
  } catch (error) {
    captureListError.value = error as Error;
  }
}

const asked = param("c");

/** The capture that is looked at: the one in the address, else the newest, those in folders before recordings. */
export const currentSummary = computed<CaptureSummary | null>(() => {
  const list = captureList.value?.captures ?? [];
  const wanted = asked.value;
  if (wanted !== null) return list.find(({ id }) => id === wanted) ?? null;
  const rank = ({ origin, createdAt }: CaptureSummary) => `${origin === "folder" ? 1 : 0}${createdAt}`;
  return list.length === 0 ? null : list.reduce((a, b) => (rank(a) < rank(b) ? b : a));
});

export const loadDetails = (id: string, signal: AbortSignal) =>
  server.get("/api/captures/{id}", { id }, signal);

/** Where a capture's answers are; its version is part of every cache key. */
export const captureKey = ({ id, version }: Pick<CaptureSummary, "id" | "version">, rest: string): string =>
  `${id}@${version}/${rest}`;

/** Layers whose routing was captured, ascending. */
export function routedLayers(capture: CaptureSummary): number[] {
  const layers = new Set<number>();
  for (const { name, layers: of } of capture.streams)
    if (name === "expert_ids" || name === "router_logits") for (const layer of of) layers.add(layer);
  return [...layers].sort((a, b) => a - b);
}

export const hasStream = (capture: CaptureSummary, name: string): boolean =>
  capture.streams.some((stream) => stream.name === name && stream.layers.length > 0);
