import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { address } from "../route.ts";
import { announce } from "./announce.tsx";

/** What a view can be saved as. */
export interface Exports {
  /** File name without its ending. */
  readonly name: string;
  readonly png: () => Promise<Blob>;
  readonly csv: () => string | Promise<string>;
}

const current = signal<Exports | null>(null);

/** Offer what the view shows as files while it is there. */
export function useExports(exports: Exports | null): void {
  useEffect(() => {
    current.value = exports;
  });
  useEffect(
    () => () => {
      current.value = null;
    },
    [],
  );
}

const csvBlob = async (exports: Exports): Promise<Blob> =>
  new Blob([await exports.csv()], { type: "text/csv;charset=utf-8" });

export function ExportMenu() {
  const exports = current.value;
  const [failed, setFailed] = useState<string | null>(null);
  const save = async (kind: "png" | "csv") => {
    if (!exports) return;
    setFailed(null);
    const file = kind === "png" ? exports.png() : csvBlob(exports);
    const blob = await file.catch((error: Error) => {
      setFailed(`Not saved: ${error.message}`);
      return null;
    });
    if (!blob) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${exports.name}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    announce(`Saved ${link.download}`);
  };
  const share = async () => {
    await navigator.clipboard?.writeText(address());
    announce("The address of this view is in the clipboard");
  };
  return (
    <div class="exports">
      {failed && (
        <span class="warning-text small" role="alert">
          {failed}
        </span>
      )}
      <button
        type="button"
        class="quiet"
        title="Copy the address of exactly this view"
        onClick={() => void share()}
      >
        Link
      </button>
      <button
        type="button"
        class="quiet"
        disabled={!exports}
        title="Save as a picture"
        onClick={() => void save("png")}
      >
        PNG
      </button>
      <button
        type="button"
        class="quiet"
        disabled={!exports}
        title="Save the numbers"
        onClick={() => void save("csv")}
      >
        CSV
      </button>
    </div>
  );
}
