/** Refusals and failures that are the server's own, with their HTTP status. */
export const SERVER_ERRORS = {
  NOT_FOUND: 404,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  INVALID_REQUEST: 400,
  TOO_LARGE: 413,
  RANGE_NOT_SATISFIABLE: 416,
  BUSY: 503,
  CANCELLED: 503,
  STOPPING: 503,
  TIMEOUT: 504,
  FAILED: 500,
} as const;
export type ServerErrorCode = keyof typeof SERVER_ERRORS;

/** What HTTP wants said beside a status (RFC 9110: 10.2.3 and 11.6.1). */
const HEADERS: Partial<Record<ServerErrorCode, Readonly<Record<string, string>>>> = {
  BUSY: { "retry-after": "1" },
  UNAUTHORIZED: { "www-authenticate": 'Bearer realm="moescope"' },
};

interface ServerErrorOptions extends ErrorOptions {
  readonly param?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class ServerError extends Error {
  override readonly name = "ServerError";
  readonly code: ServerErrorCode;
  readonly status: (typeof SERVER_ERRORS)[ServerErrorCode];
  readonly retryable: boolean;
  /** What of the request is wrong, e.g. `messages.0.role`. */
  readonly param: string | null;

  /** Of the response. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ServerErrorCode, message: string, options?: ServerErrorOptions) {
    super(message, options);
    this.code = code;
    this.status = SERVER_ERRORS[code];
    this.param = options?.param ?? null;
    this.headers = options?.headers ?? HEADERS[code] ?? {};
    this.retryable = code === "BUSY" || code === "FAILED";
  }
}
