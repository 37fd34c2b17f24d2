import { useEffect, useRef, useState } from "preact/hooks";
import { Lru } from "./lru.ts";

/** Something that comes from the server: not yet, or why not, or there. */
export type Resource<T> =
  | { readonly state: "loading"; readonly data: T | undefined }
  | { readonly state: "error"; readonly error: Error; readonly retry: () => void; readonly data: undefined }
  | { readonly state: "ready"; readonly data: T };

/** Answers kept, so that going back is immediate. A view's data is some KB to some MB; 64 of them are a long visit. */
const answers = new Lru<unknown>(64);

/**
 * Load what a key names and load again when the key changes; what is no longer wanted is aborted. While the next
 * answer is under way the last one stays in `data`, so that a view can keep its picture instead of jumping.
 *
 * @param key everything the answer depends on; `null` loads nothing yet.
 */
export function useResource<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Resource<T> {
  const [, redraw] = useState(0);
  const [attempt, setAttempt] = useState(0);
  const current = useRef<{ key: string | null; value: Resource<T> }>({
    key: null,
    value: { state: "loading", data: undefined },
  });
  if (current.current.key !== key) {
    const known = key === null ? undefined : (answers.get(key) as T | undefined);
    current.current = {
      key,
      value:
        known !== undefined
          ? { state: "ready", data: known }
          : { state: "loading", data: current.current.value.data },
    };
  }
  useEffect(() => {
    if (key === null || current.current.value.state === "ready") return;
    const controller = new AbortController();
    const settle = (value: Resource<T>) => {
      if (controller.signal.aborted) return;
      current.current = { key, value };
      redraw((n) => n + 1);
    };
    load(controller.signal).then(
      (data) => {
        answers.set(key, data, 1);
        settle({ state: "ready", data });
      },
      (error: Error) =>
        settle({
          state: "error",
          error,
          data: undefined,
          retry: () => {
            current.current = { key, value: { state: "loading", data: undefined } };
            setAttempt((n) => n + 1);
          },
        }),
    );
    return () => controller.abort();
  }, [key, attempt]);
  return current.current.value;
}
