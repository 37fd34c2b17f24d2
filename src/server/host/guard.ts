import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { Context, MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { ServerError } from "./server-error.ts";

/** Who may talk to the server. */
export interface Access {
  /** The address it is bound to. */
  readonly host: string;
  /** Asked of everybody when there is one. */
  readonly token: string | null;
  /** Further names it is reached under. */
  readonly names: readonly string[];
}

const COOKIE = "moescope_token";

/** Addresses that only this machine reaches. */
export const isLoopback = (host: string) =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

/**
 * Refuses requests that did not come from who they should.
 *
 * - `Host`: a page of another site can make its own name point here (DNS rebinding); its requests then carry that name.
 * - `Origin` and `Sec-Fetch-Site`: pages of other sites neither read nor start anything.
 * - The token: as a bearer token, or once as `?token=`, which becomes a cookie that scripts cannot read.
 */
export function guard(access: Access): MiddlewareHandler {
  return async (c, next) => {
    checkHost(c.req.header("host"), access);
    // Of an address that is written in full, that is what counts (RFC 9112, 3.2.2).
    checkHost(new URL(c.req.url).host, access);
    checkOrigin(c);
    if (access.token !== null) {
      const given = c.req.query("token");
      if (given !== undefined && c.req.method === "GET" && isPage(c)) return enter(c, given, access.token);
      checkToken(c, access.token);
    }
    await next();
  };
}

function checkHost(header: string | undefined, { host, names, token }: Access): void {
  const name = hostOf(header);
  if (name !== null) {
    if (isLoopback(name) || name === host.toLowerCase() || names.includes(name)) return;
    // Rebinding needs a name. With a token the machine's own name is safe too: another site has no cookie for it.
    if (token !== null && (isIP(name) !== 0 || name === hostname().toLowerCase())) return;
  }
  throw new ServerError(
    "FORBIDDEN",
    `the host ${JSON.stringify(header ?? "")} is not this server's; open it by its address, or start it with --allow-host`,
  );
}

/** The name of a `Host` header without its port, lower case, or `null` where it is none. */
function hostOf(header: string | undefined): string | null {
  const found = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? "");
  return (found?.[1] ?? found?.[2])?.toLowerCase() ?? null;
}

function checkOrigin(c: Context): void {
  const origin = c.req.header("origin");
  if (
    origin !== undefined &&
    origin !== `http://${c.req.header("host")}` &&
    origin !== `https://${c.req.header("host")}`
  )
    throw new ServerError("FORBIDDEN", `pages of ${origin} may not use this server`);
  const site = c.req.header("sec-fetch-site");
  const foreign = site === "cross-site" || site === "same-site";
  // Following a link to the explorer is no harm: the page that has it learns nothing.
  if (foreign && !(c.req.header("sec-fetch-mode") === "navigate" && isPage(c)))
    throw new ServerError("FORBIDDEN", "pages of other sites may not use this server");
}

/** Whether it is the explorer that is asked for, and no data. */
const isPage = (c: Context) => !/^\/(api|v1)(\/|$)/.test(c.req.path);

function checkToken(c: Context, token: string): void {
  const bearer = /^Bearer (.+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
  const given = bearer ?? getCookie(c, COOKIE);
  if (given === undefined || !same(given, token))
    throw new ServerError(
      "UNAUTHORIZED",
      "a token is needed: open the address that the server printed, or send Authorization: Bearer TOKEN",
    );
}

/** Take the token out of the address, where history and screenshots would keep it. */
function enter(c: Context, given: string, token: string): Response {
  if (!same(given, token))
    throw new ServerError("UNAUTHORIZED", "the token is wrong: open the address that the server printed");
  setCookie(c, COOKIE, token, { httpOnly: true, sameSite: "Strict", path: "/" });
  const url = new URL(c.req.url);
  url.searchParams.delete("token");
  // Two slashes at its start would name another host.
  return c.redirect(`${url.pathname.replace(/^\/+/, "/")}${url.search}`, 303);
}

/** Takes as long for a wrong token as for the right one. */
function same(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
