"""Print what numpy and pandas make of exported files, as JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd


def describe(path):
    if path.is_dir():
        return {child.name: describe(child) for child in path.iterdir()}
    if path.suffix == ".npy":
        array = np.load(path)
        return {"dtype": str(array.dtype), "shape": array.shape, "fortran": np.isfortran(array), "hex": array.tobytes().hex()}
    if path.suffix == ".json":
        return json.loads(path.read_text())
    # Only what is absent is missing: a label may be empty or read "NA".
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, keep_default_na=False, na_values={"weight": [""]})
    return {"dtypes": {name: str(dtype) for name, dtype in table.dtypes.items()}, "rows": json.loads(table.to_json(orient="records", double_precision=15))}


print(json.dumps({Path(arg).name: describe(Path(arg)) for arg in sys.argv[1:]}))
