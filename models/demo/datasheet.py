"""Step 7: the numbers of DATASHEET.md, between its `<!-- name -->` and `<!-- /name -->` marks, from what was measured."""
import argparse
import json
import re
from pathlib import Path

from corpus import HERE, load


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def kilobytes(count: int) -> str:
    return f"{count / 1000:,.0f}"


def sources(recipe: dict, work: Path) -> str:
    rows = []
    for domain, entry in recipe["domains"].items():
        used = load(work / "corpus" / f"{domain}.json.xz")["sources"]
        for source in entry["sources"]:
            package = source["package"]
            rows.append([domain, source["registry"], package, source["version"], source["licence"],
                         kilobytes(used["train"].get(package, 0)), kilobytes(used["held_out"].get(package, 0))])
    return table(["domain", "registry", "package", "version", "licence", "training kB", "held-out kB"], rows)


def quality(metrics: dict) -> str:
    found = metrics["domain_recovery"]["accuracy_by_domain"]
    rows = [[domain, f"{bits:.3f}", kilobytes(metrics["held_out_bytes"][domain]), f"{found[domain]:.1%}",
             sum(metrics["domain_recovery"]["confusion"][domain].values())] for domain, bits in metrics["bits_per_byte"].items()]
    recovery = metrics["domain_recovery"]
    return (table(["domain", "bits per byte", "held-out kB", "domain recovered", f"texts of {recovery['window_tokens']} tokens"], rows)
            + f"\n\nDomain recovered over all texts: **{recovery['accuracy']:.2%}** of {recovery['windows']:,} (chance {1 / len(found):.0%}).")


def load_table(metrics: dict) -> str:
    load, balance = metrics["load_balance"], metrics["load_balance"]["all_domains"]
    within = load["within_domain_cv"]
    rows = [[layer, *(f"{balance[key][layer]:.2f}" for key in ("cv", "max_over_mean", "min_over_mean")),
             *(f"{values[layer]:.2f}" for values in within.values())] for layer in range(len(balance["cv"]))]
    return table(["layer", "CV", "max/mean", "min/mean", *(f"CV {domain}" for domain in within)], rows)


def update(recipe: dict, work: Path, folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    sums = json.loads((folder / "checksums.json").read_text())["sha256"]
    parts = {"sources": sources(recipe, work), "quality": quality(metrics), "load": load_table(metrics),
             "sums": table(["file", "sha256"], [[name, f"`{digest}`"] for name, digest in sums.items()])}
    path = folder / "DATASHEET.md"
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        text, found = re.subn(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{part}\n{m[2]}", text, flags=re.S)
        if not found:
            raise RuntimeError(f"DATASHEET.md has no <!-- {name} --> mark")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    update(json.loads((HERE / "recipe.json").read_text()), parser.parse_args().work, HERE)
