"""Step 1: packages -> documents -> train and held-out texts, `work/corpus/<domain>.json.xz`.

Held out are whole documents. A document that shares much with a training one (a header file kept in two
packages, a help page repeated for two programs) would make the held-out numbers too good, so: exact copies are
dropped everywhere, and a held-out candidate with over 20 % of its 10-word shingles in the training texts is
moved to the training side.
"""
import argparse
import hashlib
import json
import lzma
import random
import re
from pathlib import Path

from readers import Document, read
from registries import fetch

HERE = Path(__file__).resolve().parent
HELD_OUT = 0.03  # of a domain's documents
SHINGLE_WORDS = 10
SHARED_LIMIT = 0.2


def build(recipe: dict, work: Path) -> None:
    (work / "corpus").mkdir(parents=True, exist_ok=True)
    (work / "packages").mkdir(exist_ok=True)
    for domain, entry in recipe["domains"].items():
        target = work / "corpus" / f"{domain}.json.xz"
        if target.exists():
            continue
        documents = collect(entry, work)
        split = divide(documents, random.Random(f"moescope {domain}"))
        used = {side: tally(split[side]) for side in split}
        print(domain, {side: (len(split[side]), sum(map(size, split[side]))) for side in split}, used, flush=True)
        write(target, {"domain": domain, "sources": used, **split})


def size(document: Document) -> int:
    return len(document[1].encode())


def collect(entry: dict, work: Path) -> list[Document]:
    """The domain's documents up to its cap, each named `<package>:<path>`; copies dropped."""
    documents, seen = [], set()
    for source in entry["sources"]:
        for name, text in read(source, fetch(source, work / "packages")):
            digest = hashlib.sha256(re.sub(r"\s+", " ", text).encode()).digest()
            if digest not in seen:
                seen.add(digest)
                documents.append((f"{source['package']}:{name}", text))
    total, cap = sum(map(size, documents)), entry["cap_mb"] * 1_000_000
    if total > cap:
        random.Random("cap").shuffle(documents)
        kept, used = [], 0
        for document in documents:
            if used + size(document) <= cap:
                kept.append(document)
                used += size(document)
        documents = sorted(kept)
    return documents


def divide(documents: list[Document], r: random.Random) -> dict[str, list[Document]]:
    """Hold out by name, so that two translations of one chapter fall on the same side, then check for shared text."""
    names = sorted({unit(name) for name, _ in documents})
    chosen = set(r.sample(names, max(2, round(HELD_OUT * len(names)))))
    held_out = [document for document in documents if unit(document[0]) in chosen]
    train = [document for document in documents if unit(document[0]) not in chosen]
    wanted = {shingle for _, text in held_out for shingle in shingles(text)}
    present = set()
    for _, text in train:
        present.update(wanted.intersection(shingles(text)))
    clean, copies = [], []
    for document in held_out:
        own = set(shingles(document[1]))
        (copies if own and len(own & present) > SHARED_LIMIT * len(own) else clean).append(document)
    return {"train": sorted(train + copies), "held_out": clean}


def unit(name: str) -> str:
    """What is held out together."""
    return name.split(":", 1)[1] if ":bible/" in name else name


def shingles(text: str) -> list[int]:
    words = re.findall(r"\w+", text.lower())
    return [hash(tuple(words[at:at + SHINGLE_WORDS])) for at in range(len(words) - SHINGLE_WORDS + 1)]


def tally(documents: list[Document]) -> dict[str, int]:
    """Bytes by package, for the data sheet."""
    by_package: dict[str, int] = {}
    for document in documents:
        package = document[0].split(":")[0]
        by_package[package] = by_package.get(package, 0) + size(document)
    return by_package


def write(path: Path, data: dict) -> None:
    with lzma.open(path, "wt", encoding="utf-8", preset=3) as file:
        json.dump(data, file, ensure_ascii=False)


def load(path: Path) -> dict:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    arguments = parser.parse_args()
    build(json.loads((HERE / "recipe.json").read_text()), arguments.work)
