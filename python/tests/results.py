"""Writes what a check found about streams, in the format that fixtures/README.md describes ("Results").

MOESCOPE_RESULTS names the folder to write to; without it nothing is written.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ENGINE = "vllm"


def proven(architecture: str, family: str, differences: dict[str, float], reference: str) -> None:
    """differences: by stream, the largest absolute one to the reference (ids: rows that differ).
    architecture: the class of vLLM's registry. reference: what gave the expected values."""
    rounded = {stream: float(f"{value:.1e}") for stream, value in differences.items()}
    write(architecture, family, {stream: {"difference": value, "reference": reference} for stream, value in rounded.items()}, "proven")


def without_proof(status: str, architecture: str, family: str, reasons: dict[str, str]) -> None:
    """status: "refused", "differs" or "self-consistent". reasons: by stream, in words."""
    write(architecture, family, {stream: {"reason": reason} for stream, reason in reasons.items()}, status)


def write(architecture: str, family: str, by_stream: dict[str, dict[str, Any]], status: str) -> None:
    """Lines with the same architecture, family and stream are replaced, the others stay."""
    folder = os.environ.get("MOESCOPE_RESULTS")
    if not folder:
        return
    path = Path(folder) / f"{ENGINE}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for stream, details in by_stream.items():
        key = {"engine": ENGINE, "architecture": architecture, "family": family, "stream": stream}
        lines = [line for line in lines if any(line[name] != value for name, value in key.items())]
        lines.append({**key, "status": status, **details})
    lines.sort(key=lambda line: (line["architecture"], line["family"], line["stream"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines))
