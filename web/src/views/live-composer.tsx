import { useState } from "preact/hooks";
import type { ServedModel } from "../../../src/server/jobs/schemas.ts";
import { count as short } from "../../../src/views/numbers.ts";
import { loadCaptureList } from "../data/captures.ts";
import { cancelRun, generate, liveBusy, watch, watching } from "../data/live-run.ts";
import { param, show } from "../route.ts";

const promptParam = param("prompt");
const EXAMPLE = "def fibonacci(n):\n    ";
const DEFAULT_TOKENS = 48;

export interface Message {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** What to run: a text to continue or a message of a chat, and how. */
export function Composer({
  models,
  messages,
}: {
  readonly models: readonly ServedModel[];
  readonly messages: { value: readonly Message[]; peek(): readonly Message[] };
}) {
  const [text, setText] = useState(promptParam.peek() ?? EXAMPLE);
  const [chat, setChat] = useState(false);
  const [maxTokens, setMaxTokens] = useState(DEFAULT_TOKENS);
  const [temperature, setTemperature] = useState(0);
  const [model, setModel] = useState(models[0]!.id);
  const busy = liveBusy.value;
  const { info, engine, task } = models.find(({ id }) => id === model)!;
  const generates = task === "generate";
  const send = async () => {
    if (text === "") return;
    show({ prompt: text });
    const input = { model, prompt: text, maxTokens: generates ? maxTokens : 0, temperature, messages: null };
    if (!chat) await generate(input);
    else {
      messages.value = [...messages.peek(), { role: "user", content: text }];
      setText("");
      const answer = await generate({ ...input, messages: messages.peek() });
      if (answer !== null) messages.value = [...messages.peek(), { role: "assistant", content: answer }];
    }
    // The run is a capture now.
    void loadCaptureList();
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {chat && messages.value.length > 0 && (
        <ol class="messages">
          {messages.value.map(({ role, content }, i) => (
            <li key={i} class={role}>
              <strong>{role === "user" ? "You" : info.name}</strong> {content}
            </li>
          ))}
        </ol>
      )}
      <label class="hidden-text" for="prompt">
        {chat ? "Message" : "Text to continue"}
      </label>
      <textarea
        id="prompt"
        rows={3}
        value={text}
        placeholder={chat ? "Ask something" : "Text to continue"}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            void send();
          }
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      <div class="composer-row">
        {busy ? (
          <button type="button" onClick={cancelRun}>
            Stop
          </button>
        ) : (
          <button type="submit" class="primary" title="ctrl + enter">
            {chat ? "Send" : generates ? "Continue the text" : "Run the text"}
          </button>
        )}
        <label class="inline">
          <input
            type="checkbox"
            checked={chat}
            onChange={(event) => {
              setChat(event.currentTarget.checked);
              messages.value = [];
            }}
          />
          chat
        </label>
        <label class="inline">
          tokens
          <input
            type="number"
            disabled={!generates}
            title={
              generates ? undefined : "This model makes embeddings: it runs the text and does not continue it"
            }
            min={1}
            max={4096}
            value={maxTokens}
            onChange={(event) =>
              setMaxTokens(Math.max(1, Number(event.currentTarget.value) || DEFAULT_TOKENS))
            }
          />
        </label>
        <label class="inline">
          temperature
          <input
            type="number"
            min={0}
            max={5}
            step={0.1}
            value={temperature}
            onChange={(event) => setTemperature(Math.max(0, Number(event.currentTarget.value) || 0))}
          />
        </label>
        {models.length > 1 ? (
          <label class="inline">
            <span class="hidden-text">Model</span>
            <select value={model} onChange={(event) => setModel(event.currentTarget.value)}>
              {models.map(({ id, info: { name } }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        ) : (
          <span class="muted small">
            {info.name} · {short(info.parameters)} · {engine.kind}
          </span>
        )}
        <button
          type="button"
          class="quiet watch"
          aria-pressed={watching.value}
          title="Show what other apps run through this server's OpenAI-compatible API (/v1)"
          onClick={() => (watching.value ? cancelRun() : void watch())}
        >
          {watching.value ? "Stop watching" : "Watch other apps"}
        </button>
      </div>
    </form>
  );
}
