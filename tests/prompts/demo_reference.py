"""demo_reference.py CHECKPOINT: token ids that transformers makes of every shape of chat, for demo-chats.test.ts. Needs transformers 5.

CHECKPOINT: of models/demo/to_hf.py. The demo model's template takes text alone, so parts are joined and no content is empty text; the
rest goes in as it is.
"""

import copy
import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent


def as_text(message: dict) -> dict:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    return {**message, "content": content or ""}


def ids(tokenizer, shape: dict, tools: list) -> list[int] | None:
    given = shape.get("tools")
    try:
        return tokenizer.apply_chat_template(
            [as_text(message) for message in copy.deepcopy(shape["messages"])], tools=tools if given == "tools" else given,
            documents=shape.get("documents"), add_generation_prompt=shape.get("add_generation_prompt", True),
            continue_final_message=shape.get("continue_final_message", False), return_dict=False, **shape.get("kwargs", {}))
    except KeyError:
        # A part that is no text.
        return None


tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
data = json.loads((HERE / "../jinja/shapes.json").read_text())
chats = {shape["name"]: ids(tokenizer, shape, data["tools"]) for shape in data["shapes"]}
lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(tokens)}" for name, tokens in chats.items())
(HERE / "demo-chats.json").write_text(f"{{\n{lines}\n}}\n")
print(len(chats), "chats,", sum(tokens is None for tokens in chats.values()), "of them refused")
