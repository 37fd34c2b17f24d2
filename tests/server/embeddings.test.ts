import OpenAI, { BadRequestError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import type { JobList, ModelList } from "../../src/server/jobs/schemas.ts";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import { embeddingGguf } from "../fixtures/embedding-families.ts";
import { ggufOf } from "../fixtures/families.ts";
import { allEvents, serving } from "./serving.ts";

const TEXTS = ["the router sends", "experts", "the experts chosen"];

/** OpenAI's own client, on an embedding model beside one that generates. */
describe("POST /v1/embeddings", () => {
  let embed: LanguageModel;
  let generate: LanguageModel;
  beforeAll(async () => {
    embed = await load(embeddingGguf("nomic_bert_moe"), { threads: 1 });
    generate = await load(ggufOf("qwen3_moe"), { threads: 1 });
  });
  afterAll(() => Promise.all([embed.close(), generate.close()]));

  const start = async () => {
    const models = new Map([
      ["chat", generate],
      ["nomic", embed],
    ]);
    const server = await serving({ models });
    return { server, client: new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 }) };
  };

  it("gives the vectors the library gives, as numbers and as bytes, and records the rows", async () => {
    const { client, server } = await start();
    const direct = await embed.capture(TEXTS);
    for (const encoding_format of [undefined, "float", "base64"] as const) {
      const { data, usage, model, object } = await client.embeddings.create({
        model: "nomic",
        input: TEXTS,
        ...(encoding_format && { encoding_format }),
      });
      expect({ object, model }).toEqual({ object: "list", model: "nomic" });
      expect(data.map(({ index, object }) => [index, object])).toEqual(TEXTS.map((_, i) => [i, "embedding"]));
      expect(usage).toEqual({ prompt_tokens: direct.rows.length, total_tokens: direct.rows.length });
      const vectors = data.map(({ embedding }) => {
        // Asked for bytes, the client hands on what came.
        if (typeof embedding !== "string") return Float32Array.from(embedding as number[]);
        const bytes = Buffer.from(embedding, "base64");
        return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
      });
      expect(vectors).toEqual(direct.outputs.map(({ embedding }) => embedding));
    }
    const { captures } = await server.json<CaptureList>("/api/captures");
    expect(captures).toHaveLength(3);
    expect(captures[0]).toMatchObject({ origin: "recording", rows: direct.rows.length, complete: true });
    const { jobs } = await server.json<JobList>("/api/jobs");
    expect(jobs[0]).toMatchObject({ kind: "embedding", model: "nomic", state: "done" });
  });

  it("takes one text, and token ids", async () => {
    const { client } = await start();
    const of = async (input: string | number[] | number[][]) =>
      (await client.embeddings.create({ model: "nomic", input, encoding_format: "float" })).data.map(
        ({ embedding }) => embedding,
      );
    const ids = [...(await embed.encode(TEXTS[0]!))];
    const text = await of(TEXTS[0]!);
    expect(await of(ids)).toEqual(text);
    expect(await of([ids, ids])).toEqual([...text, ...text]);
  });

  it("goes to the model that makes embeddings where another name is asked for, and chats to the other", async () => {
    const { client, server } = await start();
    const { model } = await client.embeddings.create({ model: "text-embedding-3-small", input: "x" });
    expect(model).toBe("nomic");
    const completion = await client.completions.create({ model: "gpt-4", prompt: "x", max_tokens: 1 });
    expect(completion.model).toBe("chat");
    const { models } = await server.json<ModelList>("/api/models");
    expect(models.map(({ id, task }) => [id, task])).toEqual([
      ["chat", "generate"],
      ["nomic", "embed"],
    ]);
  });

  it("refuses in words what a model was not loaded for", async () => {
    const { client, server } = await start();
    const refusal = async (what: Promise<unknown>) => {
      const error = await what.then(
        () => null,
        (error: unknown) => error,
      );
      expect(error).toBeInstanceOf(BadRequestError);
      return (error as BadRequestError).message;
    };
    expect(await refusal(client.embeddings.create({ model: "chat", input: "x" }))).toContain("--task embed");
    expect(await refusal(client.embeddings.create({ model: "nomic", input: "x", dimensions: 8 }))).toContain(
      "dimensions can only be 32",
    );
    for (const stream of [true, false]) {
      const prompt = { model: "nomic", prompt: "x", max_tokens: 1, stream } as const;
      expect(await refusal(client.completions.create(prompt))).toContain("/v1/embeddings");
      const messages = [{ role: "user" as const, content: "x" }];
      expect(await refusal(client.chat.completions.create({ model: "nomic", messages, stream }))).toContain(
        "/v1/embeddings",
      );
    }
    const long = Array.from({ length: 5000 }, () => 7);
    expect(await refusal(client.embeddings.create({ model: "nomic", input: long }))).toContain("context");
    // The explorer's request runs the text; with tokens to generate it fails.
    const generated = async (body: object) =>
      allEvents(await server.post("/api/generate", { model: "nomic", prompt: { prompt: "x" }, ...body }));
    expect((await generated({})).at(-1)).toMatchObject({ event: "end", data: { job: { state: "done" } } });
    expect((await generated({ maxTokens: 4 })).at(-1)!.data.job).toMatchObject({
      state: "failed",
      error: { message: expect.stringContaining("not causal") },
    });
  });
});
