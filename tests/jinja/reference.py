"""reference.py TEMPLATES...: what transformers renders, for jinja.test.ts. Needs transformers 5.

Writes constructs.json (pieces of Jinja, and expressions made at random from a seed, with what they render to) and renderings.json
(for each template file of the given folders and each shape of a chat in shapes.json the beginning of the rendered text's SHA-256; null where
transformers refuses). A template is known by its own SHA-256, so that those whose licence keeps them out of here can be tested where they lie.
"""

import copy
import datetime
import hashlib
import json
import random
import signal
import sys
from pathlib import Path

from expressions import Expressions
from transformers.utils import chat_template_utils

HERE = Path(__file__).resolve().parent
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
SEED, EXPRESSIONS = 7, 1200
VARIABLES = {
    "d": {"x": 1, "y": "yy", "z": [1, {"q": None}]}, "l": ["p", "q", 3], "s": "héllo wörld", "n": 42, "f": 1.25,
    "e0": [], "i3": [1, 2, 3], "N": None, "T": True, "F": False,
}


class Clock(datetime.datetime):
    """A day whose numbers have zeros in front."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 7, 9, 5, 2)


chat_template_utils.datetime = Clock


def rendered(render) -> str | None:
    signal.alarm(2)
    try:
        return render()
    except Exception:
        return None
    finally:
        signal.alarm(0)


def construct(source: str) -> dict | None:
    text = rendered(lambda: chat_template_utils._cached_compile_jinja_template(source).render(**copy.deepcopy(VARIABLES)))
    if text is not None and (" at 0x" in text or len(text) > 2000):
        return None
    return {"template": source, "text": text}


def digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()[:12]


def chat(source: str, shape: dict, tools: list) -> str | None:
    given = shape.get("tools")
    texts = rendered(lambda: chat_template_utils.render_jinja_template(
        [copy.deepcopy(shape["messages"])], tools=tools if given == "tools" else given, documents=shape.get("documents"),
        chat_template=source, continue_final_message=shape.get("continue_final_message", False),
        add_generation_prompt=shape.get("add_generation_prompt", True), **SPECIAL, **shape.get("kwargs", {}))[0])
    return None if texts is None else texts[0]


def main(folders: list[str]) -> None:
    pieces = json.loads((HERE / "pieces.json").read_text())
    draw = Expressions(random.Random(SEED))
    constructs = [construct(source) for source in pieces]
    while len(constructs) < len(pieces) + EXPRESSIONS:
        constructs.append(construct("{{ " + draw.expression(draw.random.choice([1, 1, 2, 2, 3])) + " }}"))
    kept = [each for each in constructs if each]
    lines = ",\n".join(json.dumps(each, ensure_ascii=True) for each in kept)
    (HERE / "constructs.json").write_text(f'{{"variables": {json.dumps(VARIABLES)},\n"cases": [\n{lines}\n]}}\n')
    data = json.loads((HERE / "shapes.json").read_text())
    out = {}
    for folder in [HERE / "templates", *map(Path, folders)]:
        for path in sorted(folder.glob("*.jinja")):
            source = path.read_bytes().decode()
            key = hashlib.sha256(source.encode()).hexdigest()[:16]
            out[key] = {"name": path.name, "texts": [digest(chat(source, shape, data["tools"])) for shape in data["shapes"]]}
    lines = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in out.items())
    (HERE / "renderings.json").write_text(f"{{\n{lines}\n}}\n")
    print(len(kept), "constructs,", len(out), "templates")


if __name__ == "__main__":
    main(sys.argv[1:])
