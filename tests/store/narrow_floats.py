"""Reference for float16 and bfloat16: read float32 values (hex) on stdin, print the bits and the values back."""

import json
import sys

import ml_dtypes
import numpy as np

values = np.frombuffer(bytes.fromhex(sys.stdin.read()), dtype="<f4")
with np.errstate(over="ignore", invalid="ignore"):
    narrowed = {"float16": values.astype(np.float16), "bfloat16": values.astype(ml_dtypes.bfloat16)}
print(
    json.dumps(
        {
            name: {"bits": data.view(np.uint16).tolist(), "hex": data.astype(np.float32).tobytes().hex()}
            for name, data in narrowed.items()
        }
    )
)
