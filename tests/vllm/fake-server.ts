import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Plan } from "../../src/core/plan.ts";
import { SOFTMAX } from "../analysis/synthetic.ts";
import { EXPERTS, LAYERS, labelled, rowsBytes } from "./rows.ts";

export interface Behaviour {
  readonly apiKey?: string;
  readonly plugin?: boolean;
  readonly protocol?: number;
  /** Where it says that its files lie. */
  readonly spool?: string;
  /** Whether it says that it shares a folder with its client when it does. */
  readonly near?: boolean;
  /** A file that it names, whoever asked. */
  readonly names?: string;
  /** What becomes of the stream of rows after its first file. */
  readonly ending?: "gone" | "error" | "nonsense" | "cut" | "another sample";
  /** Whether it takes images: each `*` of a prompt is one, of three tokens. */
  readonly vision?: boolean;
  /** Whether requests are answered. */
  readonly answers?: "never" | "refused";
  /** What it answers to a capture, or to every request. */
  readonly fails?: { readonly at: "capture" | "requests"; readonly status: number; readonly body: object };
}

/** What requests bring; each its part. */
interface Body {
  readonly prompt: string | readonly number[];
  readonly tokens: readonly number[];
  readonly max_tokens: number;
  readonly vllm_xargs: { readonly moescope: string; readonly moescope_sample: number };
  readonly samples: number;
  readonly plan: { readonly streams: readonly { readonly name: string }[]; readonly select: Plan["select"] };
  readonly near?: { readonly folder: string; readonly nonce: string };
  readonly texts?: readonly { readonly text: string }[];
  readonly [name: string]: unknown;
}

/** A `vllm serve` with the plugin, as far as moescope can tell. A token is a character. */
export class FakeServer {
  readonly requests: { readonly method: string; readonly url: string; readonly body: Body }[] = [];
  readonly #behaviour: Behaviour;
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  /** By capture, its samples' prompts as they arrive. */
  readonly #captures = new Map<
    string,
    {
      readonly samples: number;
      readonly prompts: (readonly number[])[];
      readonly select: Plan["select"];
      readonly folder: string | undefined;
    }
  >();
  #files = 0;

  constructor(behaviour: Behaviour = {}) {
    this.#behaviour = behaviour;
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Does not keep the process alive. */
  unref(): void {
    this.#server.unref();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  told(method: string): string[] {
    return this.requests.filter((request) => request.method === method).map(({ url }) => url);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const {
      apiKey,
      plugin = true,
      protocol = 4,
      spool = "/nowhere",
      near = true,
      answers,
      vision = false,
    } = this.#behaviour;
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString() || "{}") as Body;
    const { method = "", url = "" } = request;
    this.requests.push({ method, url, body });
    const json = (value: unknown, status = 200) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    if (apiKey && request.headers.authorization !== `Bearer ${apiKey}`)
      return json({ error: "Unauthorized" }, 401);
    if (url === "/v1/models") return json({ data: [{ id: "served" }] });
    if (url === "/detokenize") return json({ prompt: String.fromCodePoint(...body.tokens) });
    const { fails } = this.#behaviour;
    if (fails?.at === "requests" && url === "/v1/completions") return json(fails.body, fails.status);
    if (fails?.at === "capture" && url === "/v1/moescope/captures") return json(fails.body, fails.status);
    if (url === "/v1/completions") {
      if (answers === "never") return;
      if (answers === "refused")
        return json({ error: { message: "the prompt is too long", code: 400 } }, 400);
      const { moescope, moescope_sample: sample } = body.vllm_xargs;
      this.#captures.get(moescope)!.prompts[sample] = body.prompt as readonly number[];
      const ids = Array.from({ length: body.max_tokens }, (_, i) => 97 + i);
      const choice = { text: String.fromCodePoint(...ids), finish_reason: "length", token_ids: ids };
      return json({ choices: [choice] });
    }
    if (!plugin || !url.startsWith("/v1/moescope/")) return json({ detail: "Not Found" }, 404);
    if (url === "/v1/moescope/info") return json({ ...info(protocol), vision, spool });
    if (url === "/v1/moescope/tokenize")
      return json({
        tokens: body.texts!.map(({ text }) => [...text].map((letter) => letter.codePointAt(0))),
      });
    if (url === "/v1/moescope/encode") return json(expanded(body.prompt as string));
    if (url === "/v1/moescope/completions") {
      const { key, sample, prompt, maxTokens } = body as unknown as {
        readonly [name in "key" | "prompt"]: string;
      } & { readonly [name in "sample" | "maxTokens"]: number };
      this.#captures.get(key)!.prompts[sample] = expanded(prompt).tokens;
      return json({
        tokens: Array.from({ length: Math.max(1, maxTokens) }, () => 97),
        text: "a",
        reason: "length",
      });
    }
    if (method === "POST") {
      const key = `key-${this.#captures.size}`;
      if (body.plan.streams.some(({ name }) => name !== "router_logits"))
        return json(
          { error: { code: "UNKNOWN_STREAM", message: "this server captures router_logits" } },
          400,
        );
      const shared =
        near && body.near && readFileSync(join(body.near.folder, "nonce"), "utf8") === body.near.nonce;
      const folder = shared ? body.near!.folder : undefined;
      this.#captures.set(key, { samples: body.samples, prompts: [], select: body.plan.select, folder });
      return json({ key, local: folder !== undefined || this.#behaviour.names !== undefined });
    }
    if (method === "DELETE") return void response.writeHead(204).end();
    const key = url.split("/").at(-1)!;
    await this.#stream(key, response);
  }

  async #stream(key: string, response: ServerResponse): Promise<void> {
    const { ending, names } = this.#behaviour;
    const { samples, prompts, select, folder } = this.#captures.get(key)!;
    const line = (value: object) => response.write(`${JSON.stringify(value)}\n`);
    response.writeHead(200);
    response.flushHeaders();
    for (let sample = 0; sample < samples; sample++) {
      while (!prompts[sample] && !response.destroyed) await new Promise((resolve) => setTimeout(resolve, 5));
      if (response.destroyed) return;
      const positions = [...prompts[sample]!.keys()].filter(
        (position) => select.phase !== "generated" && (select.positions?.includes(position) ?? true),
      );
      const tokens = positions.map((position) => prompts[sample]![position]!);
      const bytes = rowsBytes(labelled(ending === "another sample" ? 99 : sample, tokens, positions));
      const newTokens = tokens.map((token) => [token, String.fromCodePoint(token)]);
      const head = { type: "rows", rows: tokens.length, newTokens };
      if (folder !== undefined || names !== undefined) {
        const name = names ?? `key.${this.#files++}.safetensors`;
        if (names === undefined) writeFileSync(join(folder!, name), bytes);
        line({ ...head, bytes: 0, name });
      } else {
        line({ ...head, bytes: bytes.length });
        response.write(ending === "cut" ? bytes.subarray(0, 100) : bytes);
      }
      if (ending === "gone") return void response.destroy();
      if (ending === "cut") return void response.end();
      if (ending === "nonsense") line({ type: "song" });
      if (ending === "error")
        line({
          type: "error",
          error: { code: "OUT_OF_MEMORY", message: "MOESCOPE_SPOOL_BYTES", retryable: true },
        });
      line({ type: "ended", sample, rows: tokens.length, tokens: tokens.length, how: "complete" });
    }
    line({ type: "end" });
    response.end();
  }
}

function expanded(prompt: string) {
  const tokens: number[] = [];
  const media: { kind: string; offset: number; length: number }[] = [];
  for (const letter of prompt) {
    if (letter === "*") media.push({ kind: "image", offset: tokens.length, length: 3 });
    tokens.push(...Array.from({ length: letter === "*" ? 3 : 1 }, () => letter.codePointAt(0)!));
  }
  return { tokens, media };
}

const info = (protocol: number) => ({
  protocol,
  plugin: "0.1.0",
  vllm: "0.31.0",
  model: {
    name: "fake",
    architecture: "FakeMoe",
    layers: 3,
    hiddenSize: 8,
    vocabSize: 256,
    contextLength: 512,
    parameters: 1000,
    bytes: 4000,
    quantization: "F32",
    moe: {
      layers: LAYERS,
      experts: EXPERTS,
      topK: 2,
      sharedExperts: 0,
      gating: SOFTMAX,
    },
  },
  contextSize: 512,
  task: "generate",
  causal: true,
  embedding: null,
  streams: { router_logits: { layers: LAYERS, width: EXPERTS } },
  chatTemplate: null,
  specialTokens: { bos: "", eos: "" },
  tested: true,
  newestTested: "0.32.0",
  devices: ["NVIDIA H100"],
});
