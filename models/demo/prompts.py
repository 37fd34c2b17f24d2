"""Step 6: held-out excerpts for `moescope demo`, `prompts.jsonl`, one `{"prompt", "label"}` a line.

From documents of permissive or public-domain packages only, one excerpt a document, begun well inside it (past licence
headers and tables of contents), at a paragraph's start where the document has blank lines.
"""
import argparse
import json
import random
import re
from pathlib import Path

from tokenizers import Tokenizer

from corpus import HERE, load

EXCERPTS = 6  # a domain
SHORTEST, LONGEST = 60, 120  # tokens
# LibreOffice's help holds the key names of two platforms side by side, run together once its markup is gone.
RUN_TOGETHER = re.compile(r"Befehl(Strg|Alt|Wahl)|Commande(Ctrl|Alt)|Option(Alt|Wahl)|PréférencesOutils|EinstellungenExtras")


def excerpt(text: str, tokenizer: Tokenizer) -> str | None:
    """Whole lines from a third of the way in; None where no such run of lines has the length."""
    lines = text.split("\n")
    blank = any(not line.strip() for line in lines)
    for first in range(len(lines) // 3, len(lines)):
        if not lines[first].strip() or (blank and first and lines[first - 1].strip()):
            continue
        taken = ""
        for line in lines[first:]:
            longer = f"{taken}\n{line}" if taken else line
            length = len(tokenizer.encode(longer, add_special_tokens=False).ids)
            if length > LONGEST:
                break
            taken = longer
            if length >= 0.8 * LONGEST:
                break
        if len(tokenizer.encode(taken, add_special_tokens=False).ids) >= SHORTEST and not RUN_TOGETHER.search(taken):
            return taken.rstrip()
    return None


def build(recipe: dict, work: Path, target: Path) -> None:
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    rows = []
    for domain, entry in recipe["domains"].items():
        restricted = {source["package"] for source in entry["sources"] if "GPL" in source["licence"]}
        held_out = load(work / "corpus" / f"{domain}.json.xz")["held_out"]
        candidates = [text for name, text in held_out if name.split(":")[0] not in restricted and len(text) > 800]
        random.Random(f"prompts {domain}").shuffle(candidates)
        found = (taken for text in candidates if (taken := excerpt(text, tokenizer)))
        rows += [{"prompt": prompt, "label": domain} for prompt, _ in zip(found, range(EXCERPTS))]
    target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{target.name}: {len(rows)} prompts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--out", type=Path, default=HERE / "prompts.jsonl")
    arguments = parser.parse_args()
    build(json.loads((HERE / "recipe.json").read_text()), arguments.work, arguments.out)
