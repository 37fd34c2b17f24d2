/** How a host ended; `what` continues a sentence that begins with its name, as in "was killed by SIGSEGV". */
export interface HostEnd {
  readonly name: string;
  readonly what: string;
  readonly cause?: Error;
}
