"""The lines of several `speed.py` processes as one table: python bench/vllm/compare.py LOG ...

To no capture: median over rounds of a round's time by the same round's without a capture; beside it the fastest run by the fastest,
which a busy machine disturbs least. To no plugin: medians of two processes.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path


def main() -> None:
    lines = [
        json.loads(line)
        for log in sys.argv[1:]
        for line in Path(log).read_text().splitlines()
        if line.startswith("{")
    ]
    workloads = list(dict.fromkeys(line["workload"] for line in lines))
    print(
        "| requests x (prompt + generated) | what | seconds (median) | to no capture | fastest | to no plugin |"
    )
    print("|---|---|---|---|---|---|")
    for workload in workloads:
        of = [line for line in lines if line["workload"] == workload]
        bare = {
            line["gpus"]: statistics.median(line["seconds"]["none"])
            for line in of
            if line["kind"] == "bare"
        }
        for line in of:
            for mode, seconds in line["seconds"].items():
                median = statistics.median(seconds)
                to_bare = (
                    f"{median / bare[line['gpus']]:.3f}" if line["gpus"] in bare else ""
                )
                to_none = fastest = ""
                if mode in line.get("ratio", {}):
                    to_none = f"{line['ratio'][mode]:.3f}"
                    fastest = f"{min(seconds) / min(line['seconds']['none']):.3f}"
                print(
                    f"| {workload} | {describe(line)}, {mode} | {median:.3f} | {to_none} | {fastest} | {to_bare} |"
                )


def describe(line: dict) -> str:
    text = line["kind"]
    if text == "plugin" and not line["hidden_states"]:
        text += " without hidden states"
    return text if line["gpus"] == 1 else f"{text}, {line['gpus']} GPUs"


if __name__ == "__main__":
    main()
