/** Where the API is, seen from the page: a server behind a proxy may be mounted anywhere. */
const BASE = new URL("./api/", document.baseURI);

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

/** @throws ApiError; the signal's reason when aborted. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(new URL(path, BASE), init);
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

export const getJson = async <T>(path: string, signal?: AbortSignal): Promise<T> =>
  (await (await request(path, signal ? { signal } : {})).json()) as T;

export const getBuffer = async (path: string, signal?: AbortSignal): Promise<ArrayBuffer> =>
  (await request(path, signal ? { signal } : {})).arrayBuffer();

export const postJson = async <T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> =>
  (await (
    await request(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    })
  ).json()) as T;
