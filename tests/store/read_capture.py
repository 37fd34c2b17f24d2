"""Read a capture folder with safetensors and pandas alone and print what is in it as JSON (bytes as hex)."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open

folder = Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
# While a run goes on, or after it was killed, the shards are in the journal: a line each, whole once its end is written.
if manifest["format"].endswith("+journal"):
    for line in (folder / "journal.jsonl").read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            manifest["shards"].append(json.loads(line)["shard"])
rows = pd.read_parquet(folder / "rows.parquet")

streams = {}
for name, stream in manifest["streams"].items():
    streams[name] = {}
    for layer in stream["layers"]:
        parts = []
        for shard in manifest["shards"]:
            with safe_open(folder / shard["files"][name], framework="numpy") as file:
                assert file.metadata()["axes"] == ",".join(stream["axes"])
                part = file.get_tensor(f"{name}.{layer}")
                assert len(part) == shard["rows"]
                parts.append(part)
        data = np.concatenate(parts)
        streams[name][layer] = {"dtype": str(data.dtype), "shape": data.shape, "hex": data.tobytes().hex()}

print(
    json.dumps(
        {
            "columns": {column: [None if pd.isna(value) else value for value in rows[column].tolist()] for column in rows},
            "dtypes": {column: str(dtype) for column, dtype in rows.dtypes.items()},
            "streams": streams,
        }
    )
)
