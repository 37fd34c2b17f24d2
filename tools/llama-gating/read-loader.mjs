import { oneLine } from "./cpp-source.mjs";
import { scoreNamed, unreadable } from "./read-calls.mjs";

const FIELDS = {
  score: ["EXPERT_GATING_FUNC", "expert_gating_func"],
  normalize: ["EXPERT_WEIGHTS_NORM", "expert_weights_norm"],
  scale: ["EXPERT_WEIGHTS_SCALE", "expert_weights_scale"],
};

/** `llama_hparams` before a loader has read anything; checked against the header. */
const INITIAL = {
  expert_gating_func: "LLAMA_EXPERT_GATING_FUNC_TYPE_NONE",
  expert_weights_norm: "false",
  expert_weights_scale: "0.0f",
};

const NONE = "hparams.expert_gating_func == LLAMA_EXPERT_GATING_FUNC_TYPE_NONE";
const SCORE = "hparams.expert_gating_func = (LLAMA_EXPERT_GATING_FUNC_TYPE_\\w+);";
/** What a loader may do with the score function beside reading it. */
const DEFAULT = new RegExp(`if \\(${NONE}\\) \\{ ${SCORE} \\}`);
/** DeepSeek-V2's loader, which GLM-4.7-Lite's files go through without saying so. */
const DEFAULT_BY_SIZE = new RegExp(
  `if \\(${NONE}\\) \\{ if \\(\\(([^)]*\\(\\) == \\d+(?: \\|\\| [^)]*\\(\\) == \\d+)*)\\) && n_vocab == (\\d+)\\) ` +
    `\\{ ${SCORE} \\} else \\{ ${SCORE} \\} \\}`,
);
const ONLY = /if \(hparams\.expert_gating_func != (LLAMA_EXPERT_GATING_FUNC_TYPE_\w+)\) \{ throw /;

/** @param header `llama-hparams.h` without comments. */
export function checkInitialValues(header) {
  for (const [field, value] of Object.entries(INITIAL))
    if (!new RegExp(`\\b${field} *= ${value};`).test(header))
      throw new Error(`llama_hparams::${field} does not begin as ${value} any more`);
}

/**
 * Which keys of the file a loader reads, and what holds without them.
 *
 * @param body of `load_arch_hparams`, without comments.
 * @param keys names of GGUF keys, without the architecture, by llama.cpp's constants.
 * @throws Unreadable
 */
export function readLoader(body, keys) {
  const text = oneLine(body);
  if (/load_arch_hparams\(/.test(text)) return unreadable("its loader calls another");
  let rest = text;
  const read = {};
  for (const [name, [key, field]] of Object.entries(FIELDS)) {
    const call = new RegExp(`ml\\.get_key\\(LLM_KV_${key}, hparams\\.${field}(?:, false)?\\);`);
    const match = call.exec(rest);
    read[name] = match !== null;
    if (!match) continue;
    if (depthAt(rest, match.index) !== 1) unreadable(`its loader reads ${field} only sometimes`);
    rest = rest.replace(call, "");
  }
  let scoreDefault = null;
  rest = rest.replace(DEFAULT, (_, score) => {
    scoreDefault = scoreNamed(score);
    return "";
  });
  rest = rest.replace(DEFAULT_BY_SIZE, (_, layers, vocabulary, special, otherwise) => {
    scoreDefault = {
      layers: [...layers.matchAll(/hparams\.n_layer\(\) == (\d+)/g)].map(([, n]) => Number(n)),
      vocabSize: Number(vocabulary),
      score: scoreNamed(special),
      otherwise: scoreNamed(otherwise),
    };
    return "";
  });
  rest = rest.replace(ONLY, "");
  for (const [, field] of Object.values(FIELDS))
    if (rest.includes(field)) unreadable(`its loader does with ${field} what the script does not know`);
  const keyOf = (field) => {
    const [, constant] = new RegExp(`ml\\.get_key\\(LLM_KV_(\\w+), hparams\\.${field}\\);`).exec(text) ?? [];
    return keys.get(constant) ?? unreadable(`its loader does not read ${field}`);
  };
  return { ...read, scoreDefault, keyOf };
}

function depthAt(text, index) {
  let depth = 0;
  for (let i = 0; i < index; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}") depth--;
  }
  return depth;
}
