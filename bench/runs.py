"""The Python side of bench/python.mjs: answers each line of stdin with one timed run."""

import json
import sys
import time
from collections.abc import Callable


def serve(runs: dict[str, Callable[[], object]]) -> None:
    print(json.dumps({"runs": list(runs)}), flush=True)
    for line in sys.stdin:
        run = runs[json.loads(line)]
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall * 1e3, "cpu": cpu * 1e3, "result": result}), flush=True)
