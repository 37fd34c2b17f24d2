import type { GroupUsage } from "../../../src/analysis/measures/tallies/group-usage.ts";
import { labelNotes, leastReachable, tooFewToFlip } from "../../../src/views/evidence.ts";

/** What a test between labels rests on: why none can decide, or how small a q can be, and what is compared. */
export function TestNotes({ of }: { readonly of: GroupUsage }) {
  return <Notes notes={[...labelNotes(of), leastReachable(of.leastQ)]} />;
}

/** The same of a test within texts. */
export function FlipNotes({ of }: { readonly of: GroupUsage }) {
  const few = tooFewToFlip(of.leastQ);
  return <Notes notes={[...(few ? [few] : []), leastReachable(of.leastQ)]} />;
}

const Notes = ({ notes }: { readonly notes: readonly string[] }) => (
  <>
    {notes.map((note) => (
      <p key={note} class="muted small">
        {note}.
      </p>
    ))}
  </>
);
