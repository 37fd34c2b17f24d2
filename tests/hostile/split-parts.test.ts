import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { MoescopeError } from "../../src/core/errors.ts";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { ggufOf } from "../fixtures/families.ts";
import { splitGguf } from "../fixtures/split-gguf.ts";
import { type GgufDocument, parse, TYPE, write } from "./gguf-document.ts";
import { Loader } from "./loader.ts";
import { set } from "./mutation.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-split-"));
const loader = new Loader("process");
afterAll(() => {
  loader.stop();
  rmSync(folder, { recursive: true });
});

/** A change of one part, told what the first part is. */
const edited =
  (part: number, edit: (document: GgufDocument, first: GgufDocument) => void) =>
  (files: readonly string[]) => {
    const [document, first] = [parse(readFileSync(files[part]!)), parse(readFileSync(files[0]!))];
    edit(document, first);
    writeFileSync(files[part]!, write(document));
  };
const number = (key: string, value: number, type: number = TYPE.u16) =>
  edited(1, (document) => set(document, key, type, value));

/** What is wrong with one of three parts. */
const FAULTS: Readonly<Record<string, (files: readonly string[]) => void>> = {
  "it is numbered as the first": number("split.no", 0),
  "it is numbered as one there is not": number("split.no", 7),
  "it has no number": edited(1, (document) => {
    document.entries = document.entries.filter(({ key }) => key !== "split.no");
  }),
  "its number is a text": edited(1, (document) => set(document, "split.no", TYPE.string, "1")),
  "its number is one of 32 bits": number("split.no", 1, TYPE.u32),
  "it is one of two": number("split.count", 2),
  "it is one of 65,535": number("split.count", 65_535),
  "it counts fewer tensors": number("split.tensors.count", 1, TYPE.i32),
  "the first counts more tensors": edited(0, (document) =>
    set(document, "split.tensors.count", TYPE.i32, 2 ** 31 - 1),
  ),
  "the first counts fewer than none": edited(0, (document) =>
    set(document, "split.tensors.count", TYPE.i32, -1),
  ),
  "it has a tensor of the first": edited(1, (document, first) => {
    document.tensors[0] = { ...document.tensors[0]!, name: first.tensors[0]!.name };
  }),
  "it lacks a tensor": edited(1, (document) => void document.tensors.pop()),
  "it has no tensors": edited(1, (document) => {
    document.tensors = [];
  }),
  "its tensors have other types": edited(1, (document) => {
    for (const tensor of document.tensors) tensor.type = 1;
  }),
  "its tensors are transposed": edited(1, (document) => {
    for (const tensor of document.tensors) tensor.shape.reverse();
  }),
  "it says it is of another architecture": edited(1, (document) =>
    set(document, "general.architecture", TYPE.string, "gpt-oss"),
  ),
  "it is aligned otherwise": edited(1, (document) => set(document, "general.alignment", TYPE.u32, 64)),
  "it is of another model": (files) => {
    const others = splitGguf(ggufOf("deepseek_v3"), 3, join(folder, "other"));
    copyFileSync(others[1]!, files[1]!);
  },
  "it is a whole model": (files) => copyFileSync(ggufOf("mixtral"), files[1]!),
  "it is a link to the first": (files) => {
    rmSync(files[1]!);
    symlinkSync(files[0]!, files[1]!);
  },
  "it is cut off": (files) => truncateSync(files[1]!, readFileSync(files[1]!).length - 64),
  "it is empty": (files) => truncateSync(files[1]!, 0),
  "it is missing": (files) => rmSync(files[1]!),
  "all are in the wrong order": (files) => {
    const bytes = files.map((file) => readFileSync(file));
    for (const [i, file] of files.entries()) writeFileSync(file, bytes[(i + 1) % 3]!);
  },
};

test.each(Object.entries(FAULTS))("a part of a split model that is wrong: %s", async (name, spoil) => {
  const files = splitGguf(ggufOf("mixtral"), 3, join(folder, name.replaceAll(/\W/g, "-")));
  spoil(files);
  for (const file of files) {
    const error = await inspectFile(file).then(
      () => null,
      (error) => error,
    );
    if (error !== null) expect(error).toBeInstanceOf(MoescopeError);
    else expect((await loader.load(file)).outcome).toMatch(/^(loaded|MODEL_INVALID)$/);
  }
});
