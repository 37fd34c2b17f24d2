/**
 * Whether a `/`-separated path that came from elsewhere (a server, a user) stays inside the folder it is joined to, on
 * every system: relative, without `..`, and without what Windows reads as a drive, a stream or a separator.
 */
export function isInnerPath(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return !/[\\:\u0000-\u001f\u007f]/.test(path) && path.split("/").every((part) => !/^\.{0,2}$/.test(part));
}
