/** Where the server is, seen from the page: behind a proxy it may be mounted anywhere. */
const BASE = new URL("./", document.baseURI);

/** What the server answered instead of data: the same code and words as in a terminal. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status: number) {
    super(message);
    this.code = code;
    this.status = status;
  }

  /** Whether the same request may succeed later. */
  get retry(): boolean {
    return this.status === 0 || this.status >= 500 || this.status === 429;
  }
}

/**
 * @param path as the API's description has it, e.g. `/api/captures`.
 * @throws ApiError; the signal's reason when aborted.
 */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(new URL(path.slice(1), BASE), init);
  } catch {
    init.signal?.throwIfAborted();
    throw new ApiError(
      "OFFLINE",
      "The server does not answer. Is `moescope serve` still running in its terminal?",
      0,
    );
  }
  if (response.ok) return response;
  const body = (await response.json().catch(() => null)) as {
    error?: { code?: string; message?: string };
  } | null;
  throw new ApiError(
    body?.error?.code ?? `HTTP_${response.status}`,
    body?.error?.message ?? `The server answered ${response.status} ${response.statusText}.`,
    response.status,
  );
}
