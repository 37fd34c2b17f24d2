"""Every decoder layer class of a vLLM by what its source says it hands on, against what was written down: python check_layers.py
[FOLDER]

FOLDER: an unpacked wheel; default the installed vLLM. A class that is new, or hands on something else, is named: the plugin still finds
out by running it, and refuses what it cannot prove, but somebody should look. MOESCOPE_WRITE=1 writes down what is found.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections import Counter
from pathlib import Path

import decoder_layers

KNOWN = Path(__file__).with_name("decoder_layers.json")

#: What the plugin proves of a class that hands this on; anything else it must have refused.
CONTRACTS = {"sum": {"sum"}, "first": {"first"}, "tensor": {"whole"}}


def expected_contracts(layer: str) -> set[str] | None:
    """What `hidden.py` may say of a layer's class; None: nothing is known of it."""
    kind = json.loads(KNOWN.read_text()).get(layer.removeprefix("vllm."))
    return CONTRACTS.get(kind) if kind else None


def main() -> None:
    package = Path(sys.argv[1]) / "vllm" if len(sys.argv) > 1 else Path(importlib.util.find_spec("vllm").origin).parent
    found = decoder_layers.layers_of(package)
    print(", ".join(f"{count} {kind}" for kind, count in sorted(Counter(found.values()).items())), flush=True)
    if os.environ.get("MOESCOPE_WRITE"):
        KNOWN.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    known = json.loads(KNOWN.read_text())
    changed = [
        f"{name}: {known.get(name, 'new')} -> {found.get(name, 'gone')}"
        for name in sorted(known.keys() | found.keys())
        if known.get(name) != found.get(name)
    ]
    print("\n".join(changed) or f"layers: all {len(found)} as written down", flush=True)
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
