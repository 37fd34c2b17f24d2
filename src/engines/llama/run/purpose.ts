import type { EmbeddingInfo, Pooling, Task } from "../../../core/embedding.ts";
import { RequestError } from "../../../core/errors.ts";
import type { FirstLook } from "../tap/first-look.ts";

/** What a model is to be loaded for, and what its file says of that. */
export interface PurposeRequest {
  /** As the user gave them; `null`: not given. */
  readonly task: Task | null;
  readonly pooling: Pooling | null;
  readonly normalize: boolean | null;
  /** `<architecture>.pooling_type` and `.attention.causal`; `null`: the file does not say. */
  readonly filePooling: Pooling | null;
  readonly fileCausal: boolean | null;
  /** Whether the file has the classifier that `rank` needs. */
  readonly classifier: boolean;
  /** Whether the file has the layers of an encoder that reads tokens, beside a decoder or alone. */
  readonly encoder: boolean;
}

/** What a model is loaded for. */
export interface Purpose {
  readonly task: Task;
  /** Whether each token sees only those before it. */
  readonly causal: boolean;
  /** `null`: no pooled embedding is made. */
  readonly embedding: EmbeddingInfo | null;
  /** A prompt goes into one step whole: its tokens see each other, or are pooled together. */
  readonly whole: boolean;
  /** Whether prompts may share a step: each is then within 1e-5 of what it is alone. */
  readonly together: boolean;
}

const GENERATE: Purpose = {
  task: "generate",
  causal: true,
  embedding: null,
  whole: false,
  together: true,
};

/** What a model is most probably loaded for, before its graph is known. */
export function likelyPurpose(asked: PurposeRequest): Purpose {
  try {
    return purposeOf(asked, { causal: asked.fileCausal ?? true, gelu: false });
  } catch {
    // The graph may say otherwise; if it does not, it is said then.
    return GENERATE;
  }
}

/**
 * What is asked for, with the model's own defaults.
 *
 * The last bits of a value depend on what shares a step. Where attention is not causal and values go through a GELU,
 * whose table makes 1e-3 of a last bit, nothing does.
 *
 * @param look what llama.cpp's graph does, not what a file says.
 * @throws RequestError `INVALID_ARGUMENT` for what the model cannot do.
 */
export function purposeOf(asked: PurposeRequest, { causal, gelu }: FirstLook): Purpose {
  const made = asked.filePooling !== null && asked.filePooling !== "none";
  const task = asked.task ?? (made || !causal ? "embed" : "generate");
  if (task === "generate") {
    if (!causal)
      throw new RequestError(
        "INVALID_ARGUMENT",
        'the model cannot generate: its attention is not causal (each token sees those after it); leave task out, or set it to "embed"',
      );
    for (const name of ["pooling", "normalize"] as const)
      if (asked[name] !== null)
        throw new RequestError("INVALID_ARGUMENT", `${name} is for embeddings: set task to "embed"`);
    return GENERATE;
  }
  const pooling = asked.pooling ?? asked.filePooling ?? (causal ? "last" : "mean");
  if (pooling === "rank" && !asked.classifier)
    throw new RequestError(
      "INVALID_ARGUMENT",
      "pooling rank needs a classifier, and the model's file has none (no cls.output.weight); use mean, cls or last",
    );
  const embedding =
    pooling === "none" ? null : { pooling, normalize: pooling !== "rank" && (asked.normalize ?? true) };
  // The last token of a causal prompt has seen all others, in whatever steps they came.
  const whole = !causal || (embedding !== null && pooling !== "last");
  return { task, causal, embedding, whole, together: causal || !gelu };
}
