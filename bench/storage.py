"""The Python side of bench/storage.mjs: storage.py FOLDER LAYER. Reads one layer of all shards with safetensors."""

import sys
from pathlib import Path

import numpy as np
from runs import serve
from safetensors import safe_open

FOLDER, LAYER = Path(sys.argv[1]), sys.argv[2]


def read() -> dict:
    parts = []
    for path in sorted(FOLDER.glob("hidden_states-*.safetensors")):
        with safe_open(path, "np") as file:
            parts.append(file.get_tensor(f"hidden_states.{LAYER}"))
    values = np.concatenate(parts).ravel()
    return {"values": values.size, "first": float(values[1]), "last": float(values[-1])}


serve({"read": read})
