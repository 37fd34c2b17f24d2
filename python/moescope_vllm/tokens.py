"""Text of tokens, by the model's own tokenizer."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import safe_open

from .rows_file import TOKEN_ID


class Tokens:
    """Names each token once: the other side keeps what it was told."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._told: set[int] = set()
        self._bytes_of = byte_alphabet() if is_byte_level(tokenizer) else None

    def for_client(self) -> Tokens:
        """The same tokenizer for somebody who has been told nothing yet."""
        other = copy.copy(self)
        other._told = set()
        return other

    def copied(self) -> Tokens:
        """With a copy of the tokenizer, for another thread."""
        return Tokens(copy.deepcopy(self.tokenizer))

    def tokenize(self, texts: list[dict[str, Any]]) -> list[list[int]]:
        """Of texts as `text`, `addSpecial` and `parseSpecial` in the protocol."""
        return [
            self.tokenizer.encode(
                asked["text"], add_special_tokens=asked.get("addSpecial", True), split_special_tokens=not asked.get("parseSpecial", True)
            )
            for asked in texts
        ]

    def detokenize(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True)

    def new(self, tokens: Iterable[int]) -> list[tuple[int, str]]:
        """Tokens that were never named before, with their text."""
        fresh = [token for token in dict.fromkeys(tokens) if token not in self._told]
        self._told.update(fresh)
        return [(token, self.text(token)) for token in fresh]

    def of_rows(self, path: Path) -> list[tuple[int, str]]:
        """As :meth:`new`, for the tokens of a rows file."""
        with safe_open(path, "np") as file:
            return self.new(file.get_tensor(TOKEN_ID).tolist())

    def text(self, token: int) -> str:
        """Bytes that are no UTF-8 on their own read `<0xE2>`."""
        piece = self.tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            return f"<{token}>"
        if isinstance(piece, bytes):
            return readable(piece)
        if self._bytes_of is not None and all(character in self._bytes_of for character in piece):
            return readable(bytes(self._bytes_of[character] for character in piece))
        return piece.replace("▁", " ")

    def special(self, name: str) -> str:
        return getattr(self.tokenizer, f"{name}_token", None) or ""


def readable(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in data)


def is_byte_level(tokenizer: Any) -> bool:
    """Whether pieces are written in GPT-2's alphabet, one printable character a byte."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and '"ByteLevel"' in json.dumps(json.loads(backend.to_str()).get("decoder"))


def byte_alphabet() -> dict[str, int]:
    """Character -> byte. Source: `bytes_to_unicode` of GPT-2's encoder: printable bytes stand for themselves, the others come after."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + index): byte for index, byte in enumerate(others)}
