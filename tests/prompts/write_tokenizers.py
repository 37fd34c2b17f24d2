"""write_tokenizers.py MODEL.gguf FOLDER: the same model with other tokenizers, sound ones and such that llama.cpp does not survive.

MODEL: a fixture with 288 tokens, 256 of them bytes as GPT-2 writes them.
"""

import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

SOURCE, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

reader = GGUFReader(SOURCE)
architecture = reader.fields["general.architecture"].contents()
own = {name: field.contents() for name, field in reader.fields.items() if name.startswith("tokenizer.")}
size = len(own["tokenizer.ggml.tokens"])


def write(name: str, tokenizer: dict[str, object]) -> None:
    """tokenizer: all keys that begin with `tokenizer.`, those behind `tokenizer.ggml.` without that."""
    writer = GGUFWriter(FOLDER / f"{name}.gguf", architecture)
    for key, field in reader.fields.items():
        if key.startswith(("GGUF.", "tokenizer.")) or key == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(key, field.contents(), kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for key, value in tokenizer.items():
        add(writer, key if key.startswith("tokenizer.") else f"tokenizer.ggml.{key}", value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add(writer: GGUFWriter, key: str, value: object) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, bytes):
        writer.add_key_value(key, list(value), GGUFValueType.ARRAY, GGUFValueType.UINT8)
    elif isinstance(value[0], float):
        writer.add_key_value(key, value, GGUFValueType.ARRAY, GGUFValueType.FLOAT32)
    else:
        writer.add_array(key, value)


def filled(tokens: list[str]) -> list[str]:
    return tokens + [f"unused{i}" for i in range(size - len(tokens))]


SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]


def types(tokens: list[str], byte: int = BYTE) -> list[int]:
    kinds = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL, "[CLS]": CONTROL, "[SEP]": CONTROL, "[UNK]": UNKNOWN}
    return [kinds.get(token, byte if token in BYTES else NORMAL) for token in tokens]


def of(model: str, tokens: list[str], **further: object) -> dict[str, object]:
    tokens = filled(tokens)
    scores = [-float(i) for i in range(size)]
    return {"model": model, "tokens": tokens, "scores": scores, "token_type": types(tokens), **further}


def gpt2(**further: object) -> dict[str, object]:
    keys = ("model", "pre", "tokens", "token_type", "merges", "bos_token_id", "eos_token_id")
    return {**{key: own[f"tokenizer.ggml.{key}"] for key in keys}, **further}


write("no-vocab", {"model": "no_vocab"})
write("none", {"model": "none"})
write("unknown-kind", of("frobnicator", SPECIAL))

spm = SPECIAL + BYTES + ["▁"] + LETTERS
write("spm", of("llama", spm))
write("spm-eos", of("llama", spm, add_eos_token=True))
write("spm-without-bytes", of("llama", [*SPECIAL, "▁", *LETTERS, "é"]))

gapped = own["tokenizer.ggml.tokens"].copy()
gapped[gapped.index("Z")] = "notZ"
write("bpe", gpt2())
write("bpe-bos", gpt2(add_bos_token=True))
write("bpe-without-a-byte", gpt2(tokens=gapped))
write("bpe-regex", gpt2(pre="deepseek-llm"))
write("bpe-whitespace", gpt2(pre="whitespace"))
write("bpe-unknown-pre", gpt2(pre="frobnicate"))
write("gemma4-without-bos", of("gemma4", [*SPECIAL, *BYTES], merges=["a b"]))
write("empty-collision", gpt2(tokens=["", "[EMPTY_0]", *own["tokenizer.ggml.tokens"][2:]]))
write("named-templates", {**gpt2(), "tokenizer.chat_template": "default:{{ messages[0].content }}", "tokenizer.chat_template.tool_use": "tools:{{ messages[0].content }}"})

words = ["[PAD]", *["[unused%d]" % i for i in range(99)], "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
write("wpm", of("bert", [*words, *["▁" + letter for letter in LETTERS], *LETTERS, "▁hello"]))
broken = of("bert", [*words, "<0x41>"])
write("wpm-byte", broken)

pieces = ["<pad>", "</s>", "<unk>", "▁", *LETTERS]
write("ugm", of("t5", pieces))
write("ugm-without-bos", of("t5", pieces, add_bos_token=True))
# A table of one entry, whose root leads behind its end, and a replacement that ends.
write("ugm-damaged-table", of("t5", pieces, precompiled_charsmap=struct.pack("<II", 4, 7 << 10) + b"x\0"))
# 256 entries that all belong to nobody: no text is replaced.
write("ugm-table", of("t5", pieces, precompiled_charsmap=struct.pack("<I", 1024) + struct.pack("<256I", 0, *[1 << 31] * 255) + b"x\0"))

rwkv = ["<s>", *[f"\\x{byte:02x}" for byte in range(1, 256)], "hello"]
write("rwkv", of("rwkv", rwkv))
write("rwkv-foreign", of("rwkv", ["<s>", "▁the", "hello", "\\n"]))
write("rwkv-endless", of("rwkv", ["<s>", "\\nx"]))

write("plamo2", of("plamo2", [*SPECIAL, "<pad>", *BYTES, *LETTERS]))
write("plamo2-without-bytes", of("plamo2", [*SPECIAL, *LETTERS]))
write("test", of("test", SPECIAL))
