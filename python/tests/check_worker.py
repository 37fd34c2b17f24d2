"""The owned worker over its pipe: answers, rows while it generates, cancelling, errors, and that nothing outlives its parent.

usage: python check_worker.py [tensor_parallel_size] [pipeline_parallel_size]
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness
import torch
from safetensors.torch import load_file


class Client:
    def __init__(self, arguments: dict[str, Any], model: Path | str, **start: Any) -> None:
        command = [sys.executable, "-m", "moescope_vllm.worker"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MOESCOPE")}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.send(type="start", model=str(model), engineArgs=arguments, **start)

    def send(self, **message: Any) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def next(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        assert line, f"the worker ended with status {self.process.wait()}"
        return json.loads(line)

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        messages = [self.next()]
        while messages[-1]["type"] not in kinds:
            messages.append(self.next())
        return messages


def plan_for(ready: dict[str, Any], **select: Any) -> dict[str, Any]:
    return {"streams": [{"name": name, "layers": stream["layers"]} for name, stream in ready["streams"].items()], "select": select}


def run(client: Client, id: int, requests: list[dict[str, Any]], plan: dict[str, Any]) -> tuple[list[dict], list[dict], list[dict]]:
    """rows files (read and deleted), finished, all messages."""
    client.send(type="run", id=id, requests=requests, plan=plan)
    messages = client.until("end", "error")
    assert messages[-1]["type"] == "end", messages[-1]
    files = []
    for message in messages:
        if message["type"] == "rows":
            files.append(load_file(message["path"]))
            assert len(files[-1]["rows.sample"]) == message["rows"]
            os.unlink(message["path"])
    return files, [entry for message in messages if message["type"] == "steps" for entry in message["finished"]], messages


def sampling(**changes: Any) -> dict[str, Any]:
    return {"temperature": 0, "topK": 0, "topP": 1, "minP": 0, "seed": 1, "stop": [], "ignoreEos": True, **changes}


def check_run(client: Client, ready: dict[str, Any], expected: harness.Reference) -> None:
    prompts = [list(range(20, 100)), list(range(50, 60))]
    requests = [{"tokens": prompt, "maxTokens": tokens, "sampling": sampling()} for prompt, tokens in zip(prompts, (6, 0), strict=True)]
    files, finished, messages = run(client, 1, requests, plan_for(ready))
    by_sample = {entry["sample"]: entry for entry in finished}
    assert [by_sample[sample]["reason"] for sample in (0, 1)] == ["length", "length"]
    assert len(by_sample[0]["tokens"]) == 6 and by_sample[1]["tokens"] == [] and by_sample[1]["text"] == ""
    from moescope_vllm.plan import parse_plan

    plan = parse_plan(plan_for(ready), 2)
    differences = []
    for sample, prompt in enumerate(prompts):
        tokens = [*prompt, *by_sample[sample]["tokens"][:-1]]
        got = harness.sample_of(files, plan, sample)
        differences.append(harness.check_sample(got, expected.values(tokens), tokens, len(prompt), f"sample {sample}"))
    harness.judge("worker", harness.worst(differences))
    assert [by_sample[sample]["rows"] for sample in (0, 1)] == [85, 10], by_sample
    kinds = [message["type"] for message in messages]
    named = {token for message in messages if message["type"] == "steps" for token, _ in message["newTokens"]}
    assert {*prompts[0], *prompts[1], *by_sample[0]["tokens"]} <= named, "tokens without a name"
    processed = sum(message["processed"] for message in messages if message["type"] == "steps")
    assert processed == 80 + 5 + 10, processed
    print(f"run: {kinds.count('rows')} files, first after {kinds.index('rows')} of {len(kinds)} messages", flush=True)

    files, finished, _ = run(client, 2, [{"tokens": prompts[0], "maxTokens": 5, "sampling": sampling()}], plan_for(ready, last=3))
    positions = [position for file in files for position in file["rows.position"].tolist()]
    assert positions == [81, 82, 83] and finished[0]["rows"] == 3, (positions, finished)


def check_answers(client: Client) -> None:
    text = "Zürich is 4 °C."
    client.send(type="tokenize", id=10, texts=[{"text": text, "addSpecial": False, "parseSpecial": False}])
    [tokens] = client.until("reply")[-1]["value"]
    client.send(type="detokenize", id=11, tokens=tokens)
    assert client.until("reply")[-1]["value"] == text
    client.send(type="run", id=12, requests=[{"tokens": [5] * 300, "maxTokens": 0}], plan={"streams": []})
    assert client.until("error")[-1]["error"]["code"] == "CONTEXT_OVERFLOW"
    client.send(type="run", id=13, requests=[{"tokens": [5]}], plan={"streams": [{"name": "router_logits", "layers": [99]}]})
    assert client.until("error")[-1]["error"]["code"] == "UNKNOWN_LAYER"
    client.send(type="encode", id=16, prompt=text)
    assert client.until("reply")[-1]["value"] == {"tokens": tokens, "media": []}
    client.send(type="sing", id=14)
    assert client.until("error")[-1]["error"]["code"] == "INVALID_ARGUMENT"


def check_cancel(client: Client, ready: dict[str, Any]) -> None:
    request = {"tokens": [30] * 8, "maxTokens": 240, "sampling": sampling()}
    client.send(type="run", id=20, requests=[request] * 6, plan=plan_for(ready))
    while client.next()["type"] != "rows":
        pass
    client.send(type="cancel", id=20)
    end = client.until("end", "error")
    assert end[-1] == {"type": "end", "id": 20, "cancelled": True}, end[-1]
    drawn = sum(len(message["drawn"]) for message in end if message["type"] == "steps")
    assert drawn < 6 * 240, "ran to its end"
    files, _, _ = run(client, 21, [{"tokens": [30] * 8, "maxTokens": 2, "sampling": sampling()}], plan_for(ready))
    assert sum(len(file["rows.sample"]) for file in files) == 9


def below(process: int) -> list[int]:
    from moescope_vllm.lifetime import children

    level, found = [process], []
    while level:
        level = [child for parent in level for child in children(parent)]
        found += level
    return found


def check_parent_killed(arguments: dict[str, Any], model: Path) -> None:
    """A parent that starts a worker and is killed with SIGKILL in the middle of a run."""
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import check_worker as c, json\n"
        "client = c.Client(json.loads(sys.argv[2]), sys.argv[3]); ready = client.until('ready')[-1]\n"
        "request = {'tokens': [30] * 8, 'maxTokens': 240, 'sampling': c.sampling()}\n"
        "client.send(type='run', id=1, requests=[request] * 8, plan=c.plan_for(ready))\n"
        "client.until('rows'); print(json.dumps([client.process.pid, ready['spool']]), flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), json.dumps(arguments), str(model)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    worker, spool = json.loads(next(line for line in parent.stdout if line.startswith("[")))
    processes = [worker, *below(worker)]
    segments = {segment for process in processes for segment in shared_memory(process)}
    assert Path(spool).is_dir()
    assert segments or arguments["tensor_parallel_size"] * arguments["pipeline_parallel_size"] == 1, processes
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while any(alive(process) for process in processes) or Path(spool).exists():
        assert time.monotonic() < deadline, f"still there: {[p for p in processes if alive(p)]}, {spool}: {Path(spool).exists()}"
        time.sleep(0.05)
    while any(segment.exists() for segment in segments):  # vLLM's own, which a helper process of Python's removes
        assert time.monotonic() < deadline, f"left: {[str(segment) for segment in segments if segment.exists()]}"
        time.sleep(0.05)
    print(f"parent killed: {len(processes)} processes gone, nothing left", flush=True)


def shared_memory(process: int) -> set[Path]:
    """Files in /dev/shm that a process has mapped and that still have a name."""
    maps = (line.split(maxsplit=5)[5:] for line in Path(f"/proc/{process}/maps").read_text().splitlines())
    return {Path(path[0]) for path in maps if path and path[0].startswith("/dev/shm/") and not path[0].endswith("(deleted)")}


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def check_bad_starts(model: Path) -> None:
    for arguments, name, code in (({"max_model_length": 5}, model, "INVALID_ARGUMENT"), ({}, "/no/such/model", "MODEL_NOT_FOUND")):
        client = Client({**harness.SMALL, **arguments}, name)
        error = client.until("error")[-1]
        assert (error["id"], error["error"]["code"]) == (None, code), error
        assert client.process.wait(60) == 1
        print(f"bad start: {error['error']['message'][:100]}", flush=True)


def main() -> None:
    tensor, pipeline = (int(value) for value in [*sys.argv[1:], "1", "1"][:2])
    arguments = harness.SMALL | {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    if pipeline > 1 and not torch.cuda.is_available():
        # Without torch.compile vLLM 0.32's CPU runner never makes the tensors that its later stages receive into.
        arguments |= {"enforce_eager": False, "compilation_config": {"mode": 2, "backend": "eager"}}
    expected = harness.reference("qwen3_moe")
    client = Client(arguments, expected.checkpoint)
    started = client.until("ready", "error")
    ready = started[-1]
    assert ready["type"] == "ready", ready
    print(json.dumps({key: ready[key] for key in ("vllm", "model", "streams", "stages", "refused", "contextSize")}), flush=True)
    print("progress: " + ", ".join(dict.fromkeys(message["stage"] for message in started[:-1])), flush=True)
    check_run(client, ready, expected)
    check_answers(client)
    check_cancel(client, ready)
    client.send(type="close")
    assert client.process.wait(30) == 0
    assert not Path(ready["spool"]).exists()
    check_parent_killed(arguments, expected.checkpoint)
    if tensor * pipeline == 1:
        check_bad_starts(expected.checkpoint)
    print("worker: all good", flush=True)


if __name__ == "__main__":
    main()
