/** Why a template could not be rendered. Who is to blame decides what a user can do, so each reason is a class of its own. */
export class JinjaError extends Error {
  /** 1-based line of the template. */
  line: number | null;

  constructor(message: string, line: number | null = null) {
    super(message);
    this.name = new.target.name;
    this.line = line;
  }
}

/** The template is no valid Jinja: no implementation renders it. */
export class TemplateSyntaxError extends JinjaError {}

/** The template itself said no: it called `raise_exception`. */
export class TemplateRefusal extends JinjaError {}

/** An operation that fails in Python's Jinja too: a name that is not defined, text plus a list. */
export class TemplateRuntimeError extends JinjaError {}

/** Python's Jinja would go on; this implementation does not have what the template asks for. */
export class UnsupportedConstruct extends JinjaError {}

export const fail = (message: string): never => {
  throw new TemplateRuntimeError(message);
};

export const unsupported = (what: string): never => {
  throw new UnsupportedConstruct(what);
};
