import type { z } from "zod";

export type Method = "get" | "post" | "delete";

/** An answer in JSON. */
export interface JsonTold<T = unknown> {
  readonly kind: "json";
  readonly description: string;
  readonly schema: () => z.ZodType<T>;
  /** Default 200. */
  readonly status?: 202;
}

/** An answer of little-endian bytes; `x-dtype` and `x-shape` say what they are. */
export interface ValuesTold {
  readonly kind: "values";
  readonly description: string;
  /** Whether a `Range` reads only the rows that hold it; otherwise it is cut from the whole. */
  readonly partial: boolean;
}

/** Server-sent events, whose data have the schema. */
export interface EventsTold<T = unknown> {
  readonly kind: "events";
  readonly description: string;
  readonly schema: () => z.ZodType<T>;
}

export type Told = JsonTold | ValuesTold | EventsTold;

export const json = <T>(description: string, schema: () => z.ZodType<T>): JsonTold<T> => ({
  kind: "json",
  description,
  schema,
});

/** For work that goes on after the answer. */
export const accepted = <T>(description: string, schema: () => z.ZodType<T>): JsonTold<T> => ({
  ...json(description, schema),
  status: 202,
});

export const values = (description: string, { partial = false } = {}): ValuesTold => ({
  kind: "values",
  description,
  partial,
});

export const events = <T>(description: string, schema: () => z.ZodType<T>): EventsTold<T> => ({
  kind: "events",
  description,
  schema,
});

/**
 * A part of the API, declared once: the route and its checks, its place in the OpenAPI document and the explorer's
 * typed client all come from it.
 */
export interface Declaration<
  M extends Method = Method,
  P extends string = string,
  A extends z.ZodObject = z.ZodObject,
  B extends z.ZodType = z.ZodType,
  T extends Told = Told,
> {
  readonly method: M;
  /** With parameters as `{id}`. */
  readonly path: P;
  readonly tag: string;
  readonly summary: string;
  /** What the path and the query say: names that are in the path are read from there. */
  readonly asked?: A;
  readonly body?: B;
  readonly answer: T;
  /** Whether it may take minutes: asked too early, it answers 202 with how far it is. */
  readonly slow?: boolean;
  /** How it says what went wrong. Default: as the rest of the API does. */
  readonly problem?: z.ZodType;
}

/** Names of a path's parameters. */
export const pathNames = (path: string): string[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
