import type { ComponentChildren } from "preact";
import { memo } from "preact/compat";
import { TokenText, visibleText } from "./token-text.tsx";

interface StripToken {
  /** Index that hovering and choosing speak of. */
  readonly row: number;
  readonly text: string;
  readonly generated: boolean;
  /** Background, or `null` where nothing is known. */
  readonly colour: string | null;
  readonly ink: string;
  /** What the colour says, in words. */
  readonly said: string;
}

export interface TokenStripProps {
  readonly tokens: readonly StripToken[];
  readonly hovered: number | null;
  readonly chosen: number | null;
  readonly onHover: (row: number | null) => void;
  readonly onPick: (row: number) => void;
  readonly label: string;
  readonly after?: ComponentChildren;
}

/** Text as the model sees it: token by token, everything visible, generated ones underlined. */
export function TokenStrip({ tokens, hovered, chosen, onHover, onPick, label, after }: TokenStripProps) {
  return (
    <ol class="strip" aria-label={label} onPointerLeave={() => onHover(null)}>
      {tokens.map((token) => (
        <Token
          key={token.row}
          token={token}
          state={token.row === chosen ? "chosen" : token.row === hovered ? "hovered" : ""}
          onHover={onHover}
          onPick={onPick}
        />
      ))}
      {after}
    </ol>
  );
}

interface TokenProps {
  readonly token: StripToken;
  readonly state: string;
  readonly onHover: (row: number | null) => void;
  readonly onPick: (row: number) => void;
}

const Token = memo(
  ({ token, state, onHover, onPick }: TokenProps) => {
    const { row, text, generated, colour, ink, said } = token;
    return (
      <>
        <li>
          <button
            type="button"
            class={`token ${generated ? "generated" : ""} ${state}`}
            style={colour ? { backgroundColor: colour, color: ink } : {}}
            aria-label={`${visibleText(text)}, ${said}`}
            aria-pressed={state === "chosen"}
            onPointerEnter={() => onHover(row)}
            onFocus={() => onHover(row)}
            onClick={() => onPick(row)}
          >
            <TokenText text={text} />
          </button>
        </li>
        {text.includes("\n") && <li class="break" aria-hidden="true" />}
      </>
    );
  },
  (a: TokenProps, b: TokenProps) =>
    a.state === b.state &&
    a.token.row === b.token.row &&
    a.token.colour === b.token.colour &&
    a.token.text === b.token.text &&
    a.onPick === b.onPick &&
    a.onHover === b.onHover,
);
