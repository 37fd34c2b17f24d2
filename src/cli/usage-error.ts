/** The command line itself is wrong: exit code 2, as for an unknown option. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A command that has printed its result, and the result is a failure: exit code 1 and no further word. */
export class CommandFailed extends Error {}
