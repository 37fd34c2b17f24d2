import { orElse, Undefined, type Value } from "./values.ts";

/** Names as a part of a template sees them: its own, then those around it. */
export class Scope {
  readonly #own = new Map<string, Value>();
  readonly #around: Scope | ReadonlyMap<string, Value>;

  constructor(around: Scope | ReadonlyMap<string, Value>) {
    this.#around = around;
  }

  find(name: string): Value | undefined {
    let scope: Scope = this;
    for (;;) {
      const value = scope.#own.get(name);
      if (value !== undefined) return value;
      if (!(scope.#around instanceof Scope)) return scope.#around.get(name);
      scope = scope.#around;
    }
  }

  get(name: string): Value {
    return orElse(this.find(name), () => new Undefined(`'${name}' is undefined`));
  }

  set(name: string, value: Value): void {
    this.#own.set(name, value);
  }
}
