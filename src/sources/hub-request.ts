import { setTimeout as sleep } from "node:timers/promises";
import { ModelError } from "../core/errors.ts";
import type { HubSettings } from "./hub-settings.ts";

/** Tries without any progress before a request or download is given up. */
const ATTEMPTS = 5;
/** Wait before the first new try, doubled for each further one: 0.5 + 1 + 2 + 4 s outlast a restarted router or server. */
const FIRST_WAIT_MS = 500;
/** A server that asks for more patience than this is better asked again by hand. */
const LONGEST_WAIT_MS = 30_000;
/** A connection that is silent for this long is dead: a laptop that slept, a network that changed. */
export const SILENCE_MS = 60_000;
/** The Hub redirects once or twice: a renamed repository, then the host that has the bytes. */
const REDIRECTS = 5;

/** What requests about one repository share. */
export interface HubSession {
  readonly settings: HubSettings;
  readonly repo: string;
  readonly revision: string;
  readonly fetch: typeof fetch;
  readonly signal: AbortSignal | undefined;
  /** Replaced by tests that do not want to wait. */
  readonly wait?: ((ms: number) => Promise<void>) | undefined;
  /** Default {@link SILENCE_MS}; shorter in tests. */
  readonly silenceMs?: number | undefined;
}

/** A failure that another try may not meet: a cut connection, a busy server. */
export class TransientFailure extends Error {
  /** What the server asked to wait. */
  readonly waitMs: number | undefined;

  constructor(message: string, options?: ErrorOptions & { waitMs?: number | undefined }) {
    super(message, options);
    this.waitMs = options?.waitMs;
  }
}

/**
 * Run `attempt` until it succeeds, waiting longer after every {@link TransientFailure}. Only tries that brought nothing
 * are counted: a download that is cut every minute still ends.
 *
 * @param progress bytes that have arrived so far.
 * @throws ModelError `MODEL_DOWNLOAD_FAILED`, retryable, when the tries are used up; any other error at once.
 */
export async function retrying<T>(
  session: HubSession,
  attempt: () => Promise<T>,
  {
    attempts = ATTEMPTS,
    progress = () => 0,
  }: { attempts?: number | undefined; progress?: () => number } = {},
): Promise<T> {
  for (let failures = 0; ; ) {
    const before = progress();
    try {
      session.signal?.throwIfAborted();
      return await attempt();
    } catch (error) {
      session.signal?.throwIfAborted();
      if (!(error instanceof TransientFailure)) throw error;
      failures = progress() > before ? 1 : failures + 1;
      if (failures >= attempts) throw givenUp(session, error);
      await pause(session, Math.min(error.waitMs ?? FIRST_WAIT_MS * 2 ** (failures - 1), LONGEST_WAIT_MS));
    }
  }
}

async function pause({ signal, wait }: HubSession, ms: number): Promise<void> {
  if (wait) await wait(ms);
  else await sleep(ms, undefined, { signal }).catch(() => {});
  signal?.throwIfAborted();
}

function givenUp({ settings, repo }: HubSession, cause: TransientFailure): ModelError {
  return new ModelError(
    "MODEL_DOWNLOAD_FAILED",
    `cannot get ${repo} from ${settings.endpoint}: ${cause.message}. Try again: what has arrived is kept. ` +
      "Without a network, HF_HUB_OFFLINE=1 uses what is in the cache",
    { cause, retryable: true },
  );
}

/**
 * Ask once, following redirects. The token goes to the Hub's own origin and to no other: the hosts that serve the bytes
 * are reached through signed addresses.
 *
 * @throws TransientFailure when another try may help; ModelError when the Hub says no.
 */
export async function send(
  session: HubSession,
  address: string | URL,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<Response> {
  const { endpoint, token } = session.settings;
  const hub = new URL(endpoint);
  let url = new URL(address);
  for (let redirects = 0; redirects <= REDIRECTS; redirects++) {
    const own: Record<string, string> =
      token && url.origin === hub.origin ? { authorization: `Bearer ${token}` } : {};
    const response = await session
      .fetch(url, { headers: { ...headers, ...own }, redirect: "manual", signal })
      .catch((cause) => {
        throw new TransientFailure(reason(cause), { cause });
      });
    if (response.ok) return response;
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || !location || !URL.canParse(location, url.href))
      throw await refusal(session, response);
    await response.body?.cancel();
    url = new URL(location, url);
    if (url.protocol !== "https:" && url.protocol !== hub.protocol)
      throw new ModelError(
        "MODEL_DOWNLOAD_FAILED",
        `${endpoint} redirects to ${url.origin}, which is not encrypted; not followed`,
      );
  }
  throw new ModelError("MODEL_DOWNLOAD_FAILED", `${endpoint} redirects more than ${REDIRECTS} times`);
}

/** `fetch failed` says nothing; its cause does. */
export function reason(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message ? `${message} (${cause.message})` : message;
}

/** `fetch` for the hub library: with our token, our redirects, our tries, and errors that say what to do. */
export function hubFetch(session: HubSession, attempts: number | undefined): typeof fetch {
  return (input, init) =>
    retrying(
      session,
      async () => {
        const timeout = AbortSignal.timeout(session.silenceMs ?? SILENCE_MS);
        const signal = session.signal ? AbortSignal.any([session.signal, timeout]) : timeout;
        const headers = Object.fromEntries(new Headers(init?.headers));
        const response = await send(session, String(input), headers, signal);
        // Read here, where a cut is tried again.
        const body = await response.arrayBuffer().catch((cause) => {
          throw new TransientFailure(reason(cause), { cause });
        });
        return new Response(body, { status: response.status, headers: response.headers });
      },
      { attempts },
    );
}

/** What a status other than success means, by the Hub's `X-Error-Code` where there is one. */
async function refusal(session: HubSession, response: Response): Promise<TransientFailure | ModelError> {
  const { settings, repo, revision } = session;
  const { status, headers } = response;
  await response.body?.cancel();
  const page = `${settings.endpoint}/${repo}`;
  if (status === 408 || status === 429 || status >= 500) {
    const advice = status === 429 && !settings.token ? " (with HF_TOKEN set it allows more)" : "";
    const seconds = Number(headers.get("retry-after") ?? Number.NaN);
    return new TransientFailure(`the server answers ${status}${advice}`, {
      waitMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
    });
  }
  switch (headers.get("x-error-code")) {
    case "GatedRepo":
      return new ModelError(
        "MODEL_DOWNLOAD_FAILED",
        `${repo} is gated: accept its terms on ${page}, then set HF_TOKEN to a token of that account (${settings.endpoint}/settings/tokens)`,
      );
    case "RevisionNotFound":
      return new ModelError(
        "MODEL_NOT_FOUND",
        `${repo} has no revision ${revision}; see ${page}/commits/main`,
      );
    case "EntryNotFound":
      return new ModelError(
        "MODEL_NOT_FOUND",
        `${repo} has no such file at ${revision}; see ${page}/tree/${revision}`,
      );
  }
  // The Hub answers 401 for a repository that does not exist: it does not tell strangers which private ones do.
  if (status === 401 || status === 404)
    return new ModelError(
      "MODEL_NOT_FOUND",
      settings.token
        ? `no repository ${repo} at ${settings.endpoint} that your token may see; check its name, and that the token (HF_TOKEN) is still valid`
        : `no public repository ${repo} at ${settings.endpoint}; check its name, or set HF_TOKEN if it is private`,
    );
  if (status === 403)
    return new ModelError(
      "MODEL_DOWNLOAD_FAILED",
      `${settings.endpoint} forbids access to ${repo} ${settings.token ? "with this token: it needs the right to read it" : "without a token: set HF_TOKEN"} (${settings.endpoint}/settings/tokens)`,
    );
  return new ModelError("MODEL_DOWNLOAD_FAILED", `${settings.endpoint} answers ${status} for ${repo}`);
}
