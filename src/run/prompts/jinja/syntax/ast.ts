/** Where in the template something stands. */
interface At {
  readonly line: number;
}

export interface Arguments {
  readonly args: readonly Expression[];
  readonly kwargs: readonly (readonly [name: string, value: Expression])[];
  /** `*args` and `**kwargs`. */
  readonly spread: Expression | null;
  readonly kwSpread: Expression | null;
}

export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type CompareOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

export type Expression = At &
  (
    | { readonly kind: "literal"; readonly value: null | boolean | bigint | number | string }
    | { readonly kind: "name"; readonly name: string }
    | { readonly kind: "list" | "tuple"; readonly items: readonly Expression[] }
    | { readonly kind: "dict"; readonly items: readonly (readonly [key: Expression, value: Expression])[] }
    | { readonly kind: "attribute"; readonly object: Expression; readonly name: string }
    | { readonly kind: "item"; readonly object: Expression; readonly index: Expression }
    | {
        readonly kind: "slice";
        readonly object: Expression;
        readonly start: Expression | null;
        readonly stop: Expression | null;
        readonly step: Expression | null;
      }
    | ({ readonly kind: "call"; readonly callee: Expression } & Arguments)
    | ({ readonly kind: "filter"; readonly name: string; readonly input: Expression | null } & Arguments)
    | ({ readonly kind: "test"; readonly name: string; readonly input: Expression } & Arguments)
    | { readonly kind: "not" | "negative" | "positive"; readonly operand: Expression }
    | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
    | {
        readonly kind: "binary";
        readonly operator: BinaryOperator;
        readonly left: Expression;
        readonly right: Expression;
      }
    | {
        readonly kind: "compare";
        readonly first: Expression;
        readonly rest: readonly (readonly [CompareOperator, Expression])[];
      }
    | { readonly kind: "concat"; readonly items: readonly Expression[] }
    | {
        readonly kind: "if";
        readonly test: Expression;
        readonly yes: Expression;
        readonly no: Expression | null;
      }
  );

export type Target = At &
  (
    | { readonly kind: "name"; readonly name: string }
    | { readonly kind: "namespace"; readonly name: string; readonly attribute: string }
    | { readonly kind: "tuple"; readonly items: readonly Target[] }
  );

export interface Signature {
  readonly parameters: readonly { readonly name: string; readonly fallback: Expression | null }[];
}

export type Body = readonly Statement[];

export type Statement = At &
  (
    | { readonly kind: "text"; readonly text: string }
    | { readonly kind: "output"; readonly value: Expression }
    | { readonly kind: "set"; readonly target: Target; readonly value: Expression }
    | {
        readonly kind: "set block";
        readonly target: Target;
        readonly filter: Expression | null;
        readonly body: Body;
      }
    | {
        readonly kind: "if";
        readonly branches: readonly { readonly test: Expression; readonly body: Body }[];
        readonly otherwise: Body;
      }
    | {
        readonly kind: "for";
        readonly target: Target;
        readonly iterable: Expression;
        readonly test: Expression | null;
        readonly recursive: boolean;
        readonly body: Body;
        readonly otherwise: Body;
      }
    | { readonly kind: "break" | "continue" }
    | ({ readonly kind: "macro"; readonly name: string; readonly body: Body } & Signature)
    | ({
        readonly kind: "call block";
        readonly call: Expression & { kind: "call" };
        readonly body: Body;
      } & Signature)
    | { readonly kind: "filter block"; readonly filter: Expression; readonly body: Body }
    | {
        readonly kind: "with";
        readonly values: readonly (readonly [target: Target, value: Expression])[];
        readonly body: Body;
      }
    /** A scope of its own and nothing else: `{% generation %}` and `{% block %}`. */
    | { readonly kind: "scope"; readonly body: Body }
  );
