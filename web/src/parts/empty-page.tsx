import { useState } from "preact/hooks";
import { captureList } from "../data/captures.ts";
import { href } from "../route.ts";
import { DemoButton } from "./demo-button.tsx";

/** Nothing to show yet: what to run, with a button that does it. */
export function EmptyPage() {
  const [error, setError] = useState<Error | null>(null);
  const broken = captureList.value?.broken ?? [];
  const others = captureList.value?.captures.length ?? 0;
  return (
    <section class="empty">
      <h1>{others > 0 ? "That capture is not here" : "No captures yet"}</h1>
      <p>
        {others > 0
          ? "The address names a capture that this server does not have. Choose another one above, or serve its folder."
          : "A capture holds, for every token, what each layer's router said and which experts were used."}
      </p>
      <ol class="steps">
        <li>
          <p>Try it on the model that comes with moescope: 42 short texts in seven domains, a few seconds.</p>
          <DemoButton onError={setError} />
          {error && (
            <p class="error-text" role="alert">
              {error.message}
            </p>
          )}
        </li>
        <li>
          <p>Or watch the model think, token by token.</p>
          <a class="button" href={href("live")}>
            Open the live view
          </a>
        </li>
        <li>
          <p>Or capture your own model and text, and serve the folder.</p>
          <pre>{`npx moescope capture model.gguf --prompts texts.jsonl --out runs/one
npx moescope serve runs`}</pre>
        </li>
      </ol>
      {broken.length > 0 && (
        <div class="note error">
          <p>
            <strong>These folders look like captures and cannot be read:</strong>
          </p>
          <ul>
            {broken.map(({ folder, message }) => (
              <li key={folder}>
                <code>{folder}</code>: {message}
              </li>
            ))}
          </ul>
        </div>
      )}
    </section>
  );
}
