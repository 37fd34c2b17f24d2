import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { definitions, lineOf, oneLine, structs, withoutComments } from "./cpp-source.mjs";
import { readCall, Unreadable } from "./read-calls.mjs";
import { checkInitialValues, readLoader } from "./read-loader.mjs";

/**
 * SHA-256 of `build_moe_ffn` from logits to weights, without comments and spaces between words. What it does with its
 * arguments was read by people: `route` and the entries here follow it. Another text has to be read anew.
 */
const BUILD_MOE_FFN = "f2ff31011d7481b2291de43fd269c4f3049d5aacab085933188485431f4da5f0";

/**
 * The gating rules that llama.cpp's source states.
 *
 * @param folder llama.cpp's source.
 * @returns {{ version: string, rules: Record<string, object>, calls: string[], draft: string[] }} the rules by
 * architecture; where model files call `build_moe_ffn`; those calls that only drafts (multi-token prediction) run.
 */
export function readSource(folder) {
  const read = (path) => withoutComments(readFileSync(join(folder, "src", path), "utf8"));
  // Strings are blanked out where comments are.
  const strings = readFileSync(join(folder, "src", "llama-arch.cpp"), "utf8");
  const namesOf = (kind) =>
    new Map(
      [...strings.matchAll(new RegExp(`\\{\\s*${kind}_(\\w+),\\s*"(?:%s\\.)?([^"]+)"\\s*\\}`, "g"))].map(
        (m) => [m[1], m[2]],
      ),
    );
  checkInitialValues(read("llama-hparams.h"));
  const inGraph = byArchitecture(read("llama-graph.cpp"));
  const classes = new Map(structs(read("models/models.h")).map((found) => [found.name, found]));
  const files = readdirSync(join(folder, "src", "models"))
    .filter((name) => name.endsWith(".cpp"))
    .sort()
    .map((name) => ({ name, text: read(join("models", name)) }));
  const functions = files.flatMap((file) => definitions(file.text).map((found) => ({ ...found, file })));
  const models = new Models(classes, functions, namesOf("LLM_KV"));
  const names = namesOf("LLM_ARCH");
  const rules = {};
  for (const [, constant, model] of read("llama-model.cpp").matchAll(
    /case LLM_ARCH_(\w+):\s*return new (\w+)\(/g,
  )) {
    const rule = models.rule(model, inGraph(constant));
    if (rule) rules[names.get(constant)] = rule;
  }
  const calls = files.flatMap((file) => callsIn(file, 0, file.text.length));
  const left = calls.filter(({ place }) => !models.used.has(place));
  return {
    version: versionOf(readFileSync(join(folder, "CMakeLists.txt"), "utf8")),
    rules: Object.fromEntries(Object.entries(rules).sort(([a], [b]) => (a < b ? -1 : 1))),
    calls: calls.map(({ place }) => place),
    draft: left.map(({ place }) => place),
  };
}

const versionOf = (cmake) =>
  `v${["MAJOR", "MINOR", "PATCH"].map((part) => new RegExp(`LLAMA_VERSION_${part} (\\d+)`).exec(cmake)[1]).join(".")}`;

/** What `build_moe_ffn` does otherwise for one architecture. */
function byArchitecture(graph) {
  const body = definitions(graph)
    .filter(({ name, owner }) => name === "build_moe_ffn" && owner === "llm_graph_context")
    .map(({ from, to }) => oneLine(graph.slice(from, to)))
    .find((text) => text.includes("ggml_argsort_top_k"));
  const gate = body?.slice(0, body.indexOf("ggml_build_forward_expand(gf, weights);"));
  const hash = createHash("sha256")
    .update(gate ?? "")
    .digest("hex");
  if (hash !== BUILD_MOE_FFN)
    throw new Error(
      `build_moe_ffn is not the one that was read (${hash}): read it, then change the rules' meaning`,
    );
  const only = (pattern) => {
    const [, name] = pattern.exec(body) ?? [];
    if (name) return name;
    throw new Error(`build_moe_ffn has no ${pattern.source}`);
  };
  const onInputs = only(/bool weight_before_ffn = arch == LLM_ARCH_(\w+);/);
  const byLogits = only(/if \(arch == LLM_ARCH_(\w+)\) \{ selection_probs = logits; \}/);
  const bySigmoid = only(/if \(arch == LLM_ARCH_(\w+)\) \{ selection_probs = ggml_sigmoid\(ctx0, logits\);/);
  return (constant) => ({
    ...(constant === byLogits && { chosenBy: "logits" }),
    ...(constant === bySigmoid && { chosenBy: "sigmoid" }),
    ...(constant === onInputs && { weighted: "inputs" }),
  });
}

/** Calls in a part of a file: `place` is `file.cpp:line`. */
function callsIn({ name, text }, from, to) {
  return [...text.slice(from, to).matchAll(/\bbuild_moe_ffn\(/g)].map(({ index, 0: { length } }) => ({
    place: `${basename(name)}:${lineOf(text, from + index)}`,
    open: from + index + length - 1,
  }));
}

class Models {
  /** Calls that some model's own graph runs. */
  used = new Set();
  #classes;
  #functions;
  #keys;

  constructor(classes, functions, keys) {
    this.#classes = classes;
    this.#functions = functions;
    this.#keys = keys;
  }

  /** The rule of a model's class, or `null` for a dense one. */
  rule(model, special) {
    let from = this.#callsOfFiles(model);
    try {
      const bodies = this.#graphsOf(model).flatMap((graph) => this.#reachable(graph));
      const calls = bodies.flatMap((at) => callsIn(at.file, at.from, at.to).map((call) => ({ ...call, at })));
      const own = bodies.flatMap((at) => ownProducts(at));
      if (own.length > 0) throw new Unreadable(`its graph multiplies by experts itself (${own.join(", ")})`);
      if (calls.length === 0 && !this.#loadsRouter(model)) return null;
      from = [...new Set(calls.map(({ place }) => place))];
      if (calls.length === 0)
        throw new Unreadable("its experts are loaded, but its graph calls no build_moe_ffn");
      return { ...this.#ruleOf(model, calls), ...special, from };
    } catch (error) {
      if (error instanceof Unreadable) return { unknown: error.message, from };
      throw error;
    } finally {
      for (const place of from) this.used.add(place);
    }
  }

  #ruleOf(model, calls) {
    const loader = readLoader(this.#body(this.#inherited(model, "load_arch_hparams")), this.#keys);
    const read = calls.map(({ open, at, place }) => this.#call(at, open, place));
    const rules = read.filter(({ weights }) => weights === "ffn_up_exps").map((call) => ruleOf(call, loader));
    const distinct = new Map(rules.map((rule) => [JSON.stringify(rule), rule]));
    if (distinct.size !== 1) throw new Unreadable(`its calls differ: ${[...distinct.keys()].join(" and ")}`);
    const beside = read.map(({ weights }) => weights).filter((weights) => weights !== "ffn_up_exps");
    return { ...rules[0], ...(beside.length > 0 && { beside }) };
  }

  /** All calls in the files where a class is defined. */
  #callsOfFiles(model) {
    const files = this.#functions.filter(({ owner }) => owner === model).map(({ file }) => file);
    return [...new Set(files)]
      .flatMap((file) => callsIn(file, 0, file.text.length))
      .map(({ place }) => place);
  }

  #call(at, open, place) {
    try {
      return readCall(at.file.text, open, at.file.text.slice(at.from, at.to));
    } catch (error) {
      if (error instanceof Unreadable) throw new Unreadable(`${place}: ${error.message}`);
      throw error;
    }
  }

  #body({ file, from, to }) {
    return file.text.slice(from, to);
  }

  /** A method of a class, or of the nearest it derives from that has one. */
  #inherited(model, method) {
    for (let at = model; at; at = this.#classes.get(at)?.base) {
      const found = this.#functions.find(({ owner, name }) => owner === at && name === method);
      if (found) return found;
    }
    throw new Error(`${model} has no ${method}`);
  }

  #loadsRouter(model) {
    return this.#body(this.#inherited(model, "load_arch_tensors")).includes("LLM_TENSOR_FFN_GATE_INP,");
  }

  /** The structs that build a model's graph; those for drafts are left out, as no context here is made for drafts. */
  #graphsOf(model) {
    const text = oneLine(this.#body(this.#inherited(model, "build_arch_graph")));
    // A projector for images, which llama.cpp runs elsewhere.
    if (/^\{ GGML_ABORT\(/.test(text)) return [];
    const run = text.replace(/if \(params\.gtype == LLM_GRAPH_TYPE_DECODER_MTP\) \{[^}]*\}/g, "");
    const names = new Set([...run.matchAll(/make_unique<(\w+)(?:<\w+>)?> ?\(/g)].map(([, name]) => name));
    if (names.size === 0) throw new Unreadable(`it makes no graph that the script knows`);
    return [...names].map((name) => this.#nested(model, name));
  }

  #nested(model, name) {
    for (let at = model; at; at = this.#classes.get(at)?.base) {
      const alias = this.#classes.get(at)?.aliases[name];
      if (alias) return alias;
      if (this.#classes.has(`${at}::${name}`)) return `${at}::${name}`;
    }
    throw new Unreadable(`${model}::${name} is not declared in models.h`);
  }

  /** The functions of a graph's struct that its constructor calls, directly or through others. */
  #reachable(graph) {
    const own = [];
    for (let at = graph; at; at = this.#classes.get(at)?.base)
      own.push(...this.#functions.filter(({ owner }) => owner === at));
    const struct = graph.split("::").at(-1);
    const found = new Set(own.filter(({ owner, name }) => owner === graph && name === struct));
    if (found.size === 0) throw new Unreadable(`${graph} has no constructor that the script can find`);
    // A Set is walked to its end while it grows.
    for (const at of found)
      for (const [, name] of this.#body(at).matchAll(/\b(\w+)\(/g))
        for (const called of own) if (called.name === name) found.add(called);
    return [...found];
  }
}

/** Products with the matrices of several experts that are not `build_moe_ffn`'s. */
const ownProducts = ({ file, from, to }) =>
  [...file.text.slice(from, to).matchAll(/\b(?:ggml_mul_mat_id|build_lora_mm_id)\(/g)].map(
    ({ index }) => `${basename(file.name)}:${lineOf(file.text, from + index)}`,
  );

/** One pass's rule; what goes without saying is left out (see `ArchitectureRule`). */
function ruleOf(call, loader) {
  const { score, normalize, scale, selectionBias, routerBias, logits, topK, experts, byToken } = call;
  if (experts !== "all" || topK === "chunks") throw new Unreadable("its experts are not all of them");
  return {
    score,
    ...(score === "file" && { scoreDefault: loader.score ? loader.scoreDefault : null }),
    // A value that the loader does not read stays as it begins: no normalisation, no scale.
    normalize: normalize === "file" && !loader.normalize ? false : normalize,
    scale: scale === "file" && !loader.scale ? 1 : scale,
    selectionBias,
    ...(routerBias && { routerBias }),
    ...(logits !== "router" && { logits }),
    ...(topK !== "first" && { topK }),
    ...(byToken && { byToken: loader.keyOf(byToken) }),
  };
}
