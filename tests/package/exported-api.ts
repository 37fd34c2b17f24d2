import { join } from "node:path";
import ts from "typescript";
import { packageRoot } from "../../src/core/package-root.ts";

/** Something that the package exports, as the compiler knows it. */
export interface Exported {
  /** As a user writes it: `load`, `hs.capture`, `Capture`. */
  readonly name: string;
  readonly symbol: ts.Symbol;
}

/** What is written above a declaration. */
export interface Docs {
  readonly text: string;
  readonly tags: ReadonlyMap<string, readonly string[]>;
}

/** The code of an `@example`, and whose it is. */
export interface Example {
  readonly name: string;
  readonly code: string;
}

/** A parameter that takes options, of an exported function or a method. */
export interface OptionsParameter {
  /** What is called: `load`, `LanguageModel.capture`, `new FolderSink`. */
  readonly call: string;
  /** The names of the options; nested ones behind the option they belong to: `select.last`. */
  readonly names: readonly string[];
}

/** The exports of the package's entry points, read from their sources. */
export class ExportedApi {
  readonly #checker: ts.TypeChecker;
  readonly exports: readonly Exported[];

  constructor(entries: readonly string[]) {
    const config = ts.readConfigFile(join(packageRoot, "tsconfig.json"), ts.sys.readFile).config;
    const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, packageRoot);
    const paths = entries.map((entry) => join(packageRoot, entry));
    const program = ts.createProgram(paths, options);
    this.#checker = program.getTypeChecker();
    this.exports = paths.flatMap((path) =>
      this.#exportsOf(this.#checker.getSymbolAtLocation(program.getSourceFile(path)!)!, ""),
    );
  }

  /** The documentation of a symbol: its text, and the texts of its tags by their name. */
  docsOf(symbol: ts.Symbol): Docs {
    const tags = new Map<string, string[]>();
    for (const { name, text } of symbol.getJsDocTags(this.#checker))
      tags.set(name, [...(tags.get(name) ?? []), ts.displayPartsToString(text)]);
    return { text: ts.displayPartsToString(symbol.getDocumentationComment(this.#checker)), tags };
  }

  /** The examples of everything that is exported, and of the members of classes and interfaces. */
  examples(): Example[] {
    const documented = this.exports.flatMap(({ name, symbol }) => [
      { name, symbol },
      ...(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)
        ? this.membersOf(symbol).map((member) => ({ name: `${name}.${member.name}`, symbol: member }))
        : []),
    ]);
    // One thing may be exported under two names.
    const bySymbol = new Map(documented.map(({ name, symbol }) => [symbol, name]));
    return [...bySymbol].flatMap(([symbol, name]) =>
      (this.docsOf(symbol).tags.get("example") ?? []).map((code) => ({ name, code })),
    );
  }

  /** Whether there is something to call, or to make with `new`. */
  isCallable(symbol: ts.Symbol): boolean {
    return this.#signatures(symbol).length > 0;
  }

  /** The public methods and properties of a class or an interface that are declared in this package. */
  membersOf(symbol: ts.Symbol): ts.Symbol[] {
    const type = this.#checker.getDeclaredTypeOfSymbol(symbol);
    return type.getProperties().filter((member) => this.#isPublic(member));
  }

  /** Every call that takes options. */
  optionsParameters(): OptionsParameter[] {
    const found = this.exports.flatMap(({ name, symbol }) => [
      ...this.#parametersOf(name, symbol),
      ...(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)
        ? this.membersOf(symbol).flatMap((member) => this.#parametersOf(`${name}.${member.name}`, member))
        : []),
    ]);
    // Overloads, and a function that two entry points have.
    const byCall = new Map<string, Set<string>>();
    for (const { call, names } of found) byCall.set(call, new Set([...(byCall.get(call) ?? []), ...names]));
    return [...byCall].map(([call, names]) => ({ call, names: [...names] }));
  }

  #exportsOf(module: ts.Symbol, prefix: string): Exported[] {
    return this.#checker.getExportsOfModule(module).flatMap((exported) => {
      const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
      const symbol = isAlias ? this.#checker.getAliasedSymbol(exported) : exported;
      const name = `${prefix}${exported.name}`;
      return symbol.flags & ts.SymbolFlags.ValueModule
        ? this.#exportsOf(symbol, `${name}.`)
        : [{ name, symbol }];
    });
  }

  #isPublic(member: ts.Symbol): boolean {
    const [declaration] = member.declarations ?? [];
    if (!declaration || declaration.getSourceFile().fileName.includes("node_modules")) return false;
    const flags = ts.getCombinedModifierFlags(declaration);
    return (
      !(flags & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) &&
      !member.name.startsWith("__") &&
      !ts.isPrivateIdentifier(ts.getNameOfDeclaration(declaration) ?? declaration) &&
      !this.docsOf(member).tags.has("internal")
    );
  }

  #signatures(symbol: ts.Symbol): readonly ts.Signature[] {
    const [declaration] = symbol.declarations ?? [];
    if (!declaration || !(symbol.flags & (ts.SymbolFlags.Value | ts.SymbolFlags.Method))) return [];
    const type = this.#checker.getTypeOfSymbolAtLocation(symbol, declaration);
    return [...type.getCallSignatures(), ...type.getConstructSignatures()].filter(
      ({ declaration }) =>
        !declaration ||
        !(ts.getCombinedModifierFlags(declaration as ts.Declaration) & ts.ModifierFlags.Private),
    );
  }

  #parametersOf(name: string, symbol: ts.Symbol): OptionsParameter[] {
    const isClass = (symbol.flags & ts.SymbolFlags.Class) !== 0;
    const parameters = this.#signatures(symbol).flatMap((signature) => signature.getParameters());
    return parameters.flatMap((parameter) => {
      const [declaration] = parameter.declarations ?? [];
      if (!declaration) return [];
      const type = this.#checker.getNonNullableType(
        this.#checker.getTypeOfSymbolAtLocation(parameter, declaration),
      );
      const typeName = type.aliasSymbol?.name ?? type.symbol?.name ?? "";
      if (parameter.name !== "options" && !typeName.endsWith("Options")) return [];
      return [{ call: isClass ? `new ${name}` : name, names: this.#optionNames(type, "") }];
    });
  }

  /** The properties of all members of a union, with those of plain option objects within. */
  #optionNames(type: ts.Type, prefix: string): string[] {
    const parts = type.isUnion() ? type.types : [type];
    return parts.flatMap((part) =>
      part.getProperties().flatMap((property) => {
        const [declaration] = property.declarations ?? [];
        const name = `${prefix}${property.name}`;
        if (!declaration) return [name];
        const inner = this.#checker.getNonNullableType(
          this.#checker.getTypeOfSymbolAtLocation(property, declaration),
        );
        return [name, ...(this.#isOptionsObject(inner) ? this.#optionNames(inner, `${name}.`) : [])];
      }),
    );
  }

  /** An object of which nothing must be given, and nothing can be called. */
  #isOptionsObject(type: ts.Type): boolean {
    if (!(type.flags & ts.TypeFlags.Object) || this.#checker.isArrayLikeType(type)) return false;
    const properties = type.getProperties();
    return (
      type.getCallSignatures().length === 0 &&
      properties.length > 0 &&
      properties.every((property) => (property.flags & ts.SymbolFlags.Optional) !== 0)
    );
  }
}
