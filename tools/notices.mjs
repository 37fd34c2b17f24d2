/**
 * Writes the parts of THIRD-PARTY-NOTICES.md that are read from what is there: the npm packages that are installed beside
 * moescope, with the holders that their licence files name, and the chat templates of the tests.
 *
 *     node tools/notices.mjs
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const FILE = join(root, "THIRD-PARTY-NOTICES.md");
const TEMPLATES = join(root, "tests", "jinja", "templates");
const read = (...path) => readFileSync(join(root, ...path), "utf8");
const table = (head, rows) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** The lines of a text that say who holds the rights in it. */
export const holdersIn = (text) => [
  ...new Set(
    text
      .split("\n")
      .filter((line) => /copyright/i.test(line) && /\(c\)|©|\d{4}|^\W*Copyright [A-Z]/i.test(line))
      .filter((line) => !/copyright (notice|holder|statement|owner|license)/i.test(line))
      .map((line) => line.replace(/^[\s#{-]+|[\s#}]+$/g, "").replaceAll(/\s+/g, " ")),
  ),
];

function packages() {
  const { packages } = JSON.parse(read("package-lock.json"));
  const byName = new Map();
  for (const [path, { dev, license }] of Object.entries(packages)) {
    if (path === "" || dev) continue;
    // One line for all platforms of a package: npm installs one of them.
    const name = path
      .replace("node_modules/", "")
      .replace(/(?<=[-/])(android|darwin|freebsd|linux|openbsd|win32)-\w+$/, "*");
    const known = byName.get(name) ?? { license, paths: [] };
    known.paths.push(path);
    byName.set(name, known);
  }
  return [...byName].map(([name, { license, paths }]) => [`\`${name}\``, license, holdersOf(paths)]);
}

function holdersOf(paths) {
  const path = paths.find((each) => existsSync(join(root, each)));
  if (!path) return "see the package";
  const licence = readdirSync(join(root, path)).find((file) => /^(licen[cs]e|copying)/i.test(file));
  const holders = licence ? holdersIn(read(path, licence)) : [];
  if (holders.length > 0) return holders.join("; ");
  const { author } = JSON.parse(read(path, "package.json"));
  return (typeof author === "object" ? author.name : author)?.replace(/ *<.*/, "") ?? "see the package";
}

const templates = () =>
  readdirSync(TEMPLATES)
    .filter((file) => file.endsWith(".jinja"))
    .sort()
    .map((file) => {
      const [, model, licence] = new RegExp(
        `\\| \`${file.replaceAll(".", "\\.")}\` *\\| (\\S+) *\\| (\\S+) `,
      ).exec(read("tests", "jinja", "templates", "README.md"));
      return [
        `\`${file}\``,
        model,
        licence,
        holdersIn(readFileSync(join(TEMPLATES, file), "utf8")).join("; "),
      ];
    });

const PARTS = {
  packages: () => table(["package", "licence", "copyright, as it says"], packages()),
  templates: () => table(["file", "model", "licence", "copyright, where the file itself says"], templates()),
};

/** The notices with the parts that are made. */
export function notices() {
  let text = readFileSync(FILE, "utf8");
  for (const [name, make] of Object.entries(PARTS)) {
    const between = new RegExp(`(<!-- ${name}: [^>]*-->\n)[\\s\\S]*?(\n<!-- end of ${name} -->)`);
    if (!between.test(text)) throw new Error(`no place for the ${name} in ${FILE}`);
    text = text.replace(between, (_, begin, end) => `${begin}\n${make()}\n${end}`);
  }
  return text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(FILE, notices());
