import { RequestError } from "../../core/errors.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import { json as told } from "../host/declaration.ts";
import { inPieces } from "../host/respond.ts";
import { type Route, route } from "../host/route.ts";
import { ServerError } from "../host/server-error.ts";
import { lengthsOf } from "../jobs/encode.ts";
import type { LoadedModel } from "../jobs/models.ts";
import { type OpenAIParts, promptsOf } from "./routes.ts";
import { type EmbeddingRequest, embeddingList, embeddingRequest, openaiError } from "./schemas.ts";

/** The part of OpenAI's API that makes vectors, on models that are loaded for it: every request is recorded. */
export function embeddingRoutes({ jobs, models }: OpenAIParts): Route[] {
  return [
    route(
      {
        method: "post",
        path: "/v1/embeddings",
        tag: "openai",
        problem: openaiError,
        summary: "One vector of each text, by a model that is loaded to make embeddings",
        body: embeddingRequest,
        answer: told("the vectors, in the order of the texts", () => embeddingList),
      },
      async ({ body, c }) => {
        const model = models.any(body.model ?? undefined, "embed");
        assertPools(model, body);
        const { input: prompt, add_special_tokens } = body;
        const prompts: Prompt[] = promptsOf({ prompt, add_special_tokens });
        const encoded = await model.encoder.encode(prompts, c.req.raw.signal);
        const vectors: Float32Array[] = [];
        const { job, finished } = jobs.start({
          kind: "embedding",
          model,
          prompts: encoded,
          options: {},
          onFinished: (samples) => {
            for (const { sample, embedding } of samples) vectors[sample] = embedding!;
          },
        });
        c.req.raw.signal.addEventListener("abort", () => job.cancel(), { once: true });
        await finished;
        const { total } = lengthsOf(encoded);
        const form = body.encoding_format === "base64" ? base64 : (vector: Float32Array) => [...vector];
        return inPieces(pieces(model.id, vectors, form, total));
      },
    ),
  ];
}

/** The answer a vector at a time: thousands of them are megabytes of JSON. */
function* pieces(
  model: string,
  vectors: readonly Float32Array[],
  form: (vector: Float32Array) => unknown,
  tokens: number,
): Generator<string> {
  yield `{"object":"list","model":${JSON.stringify(model)},"data":[`;
  for (const [index, vector] of vectors.entries()) {
    const embedding = JSON.stringify({ object: "embedding", index, embedding: form(vector) });
    yield index === 0 ? embedding : `,${embedding}`;
  }
  yield `],"usage":${JSON.stringify({ prompt_tokens: tokens, total_tokens: tokens })}}`;
}

/** @throws RequestError or ServerError where the model as it was loaded makes no such vectors. */
function assertPools({ id, llm }: LoadedModel, { dimensions }: EmbeddingRequest): void {
  const { embedding, info } = llm;
  if (embedding === null)
    throw new RequestError(
      "INVALID_ARGUMENT",
      llm.task === "generate"
        ? `${id} was loaded to generate; serve it with --task embed to make embeddings of it`
        : `${id} pools nothing; serve it with --pooling mean, cls or last`,
    );
  if (embedding.pooling === "rank")
    throw new RequestError("INVALID_ARGUMENT", `${id} gives scores (pooling rank), and no embeddings`);
  if (dimensions !== undefined && dimensions !== null && dimensions !== info.hiddenSize)
    throw new ServerError(
      "INVALID_REQUEST",
      `dimensions can only be ${info.hiddenSize} for ${id}: cut the vectors and scale them to length 1 yourself`,
      { param: "dimensions" },
    );
}

/** 32-bit floats, little-endian, as OpenAI's clients read them. */
const base64 = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  Buffer.from(buffer, byteOffset, byteLength).toString("base64");
