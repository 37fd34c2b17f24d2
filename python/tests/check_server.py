"""`vllm serve` with the plugin: twenty clients at once, remote and local, the API key, and what happens to wrong requests.

usage: python check_server.py [further arguments of vllm serve, e.g. --data-parallel-size 2]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import torch
from check_worker import below

KEY = "secret"
CLIENTS = 20

#: The processes that wrote rows, e.g. `d1p0`: the second data-parallel rank.
delivering: set[str] = set()


def start(checkpoint: Path, port: int, arguments: list[str]) -> subprocess.Popen:
    import vllm

    # What `vllm serve` runs. The command itself asks for a distribution named vllm, which the one for CPUs is not.
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint), "--served-model-name", "m"),
        *("--port", str(port), "--api-key", KEY, *harness.flags(harness.SMALL), *arguments),
    ]
    if tuple(int(part) for part in vllm.__version__.split(".")[:2]) < (0, 32):
        command += ["--middleware", "moescope_vllm.http.Middleware"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MOESCOPE", "VLLM_ENABLE_V1"))}
    plugins = {"VLLM_PLUGINS": "moescope"}
    if "--data-parallel-size" in arguments and not torch.cuda.is_available():
        path = os.pathsep.join([str(Path(__file__).parent / "cpu_collectives"), environment["PYTHONPATH"]])
        plugins = {"VLLM_PLUGINS": "moescope,cpu_collectives", "PYTHONPATH": path}
    return subprocess.Popen(command, env=environment | plugins, start_new_session=True)


async def capture(client: Any, sample: int, local: bool, info: dict[str, Any]) -> tuple[list[dict], list[int]]:
    """One client: two samples, of which the second is checked. Returns rows files and that sample's tokens."""
    from safetensors.torch import load, load_file

    plan = {"streams": [{"name": name, "layers": stream["layers"]} for name, stream in info["streams"].items()]}
    own = Path(info["spool"]).parent / f"moescope-rows-{os.getpid()}-{sample}"
    own.mkdir(mode=0o700)
    (own / "nonce").write_text("of this client")
    body = {"plan": plan, "samples": 2, **({"near": {"folder": str(own), "nonce": "of this client"}} if local else {})}
    created = (await client.post("/v1/moescope/captures", json=body)).json()
    assert created["local"] == local, created

    async def complete(number: int) -> dict[str, Any]:
        request = {
            "model": "m", "prompt": [30 + sample, *range(40, 60 + number)], "max_tokens": 4, "temperature": 0, "ignore_eos": True,
            "return_token_ids": True, "vllm_xargs": {"moescope": created["key"], "moescope_sample": number},
        }  # fmt: skip
        answer = await client.post("/v1/completions", json=request)
        return answer.json()["choices"][0]

    async def read() -> list[dict]:
        files, ended, named, buffer = [], [], set(), b""
        async with client.stream("GET", f"/v1/moescope/captures/{created['key']}") as stream:
            assert stream.status_code == 200, await stream.aread()
            pieces = stream.aiter_bytes()
            while True:
                while b"\n" not in buffer:
                    buffer += await anext(pieces)
                line, _, buffer = buffer.partition(b"\n")
                frame = json.loads(line)
                if frame["type"] == "end":
                    assert sorted(entry["sample"] for entry in ended) == [0, 1], ended
                    assert named == {token for file in files for token in file["rows.token_id"].tolist()}, "tokens without a name"
                    return files
                assert frame["type"] in ("rows", "ended"), frame
                named.update(token for token, _ in frame.get("newTokens", ()))
                if frame["type"] == "ended":
                    ended.append(frame)
                elif local:
                    files.append(load_file(own / frame["name"]))
                    delivering.add(frame["name"].split(".")[2])
                    os.unlink(own / frame["name"])
                else:
                    while len(buffer) < frame["bytes"]:
                        buffer += await anext(pieces)
                    files.append(load(buffer[: frame["bytes"]]))
                    buffer = buffer[frame["bytes"] :]

    files, _, choice = await asyncio.gather(read(), complete(0), complete(1))
    assert [path.name for path in own.iterdir()] == ["nonce"]
    shutil.rmtree(own)
    return files, [30 + sample, *range(40, 61), *choice["token_ids"]]


async def told(client: Any, key: str) -> tuple[list[dict], list[dict]]:
    """What a remote client reads of a capture until its end: rows files and `ended` frames."""
    from safetensors.torch import load

    body = (await client.get(f"/v1/moescope/captures/{key}")).content
    files, ended = [], []
    while body:
        line, _, body = body.partition(b"\n")
        frame = json.loads(line)
        assert frame["type"] != "error", frame
        if frame["type"] == "rows":
            files.append(load(body[: frame["bytes"]]))
            body = body[frame["bytes"] :]
        elif frame["type"] == "ended":
            ended.append(frame)
    return files, ended


async def check_ends(client: Any, raw: dict[str, Any], expected: harness.Reference) -> None:
    """Branches are samples; a client that lost its connection may ask again; a beam search is refused, and its sample says so."""
    import httpx
    from moescope_vllm.plan import parse_plan

    prompt = list(range(40, 60))

    async def announced(samples: int) -> str:
        return (await client.post("/v1/moescope/captures", json={"samples": samples, "plan": raw})).json()["key"]

    def request(key: str, **further: Any) -> dict[str, Any]:
        named = {"moescope": key, "moescope_sample": 0}
        return {"model": "m", "prompt": prompt, "ignore_eos": True, "return_token_ids": True, "vllm_xargs": named, **further}

    def compare(files: list[dict], samples: int, sample: int, drawn: list[int]) -> None:
        tokens = [*prompt, *drawn[:-1]]
        got = harness.sample_of(files, parse_plan(raw, samples), sample)
        harness.judge(f"sample {sample} of {samples}", harness.check_sample(got, expected.values(tokens), tokens, len(prompt), "ends"))

    key = await announced(3)
    reading = asyncio.create_task(told(client, key))
    answer = await client.post("/v1/completions", json=request(key, n=3, max_tokens=5, temperature=1.0))
    files, ended = await reading
    assert sorted((end["sample"], end["how"]) for end in ended) == [(0, "complete"), (1, "complete"), (2, "complete")], ended
    for choice in answer.json()["choices"]:
        compare(files, 3, choice["index"], choice["token_ids"])

    key = await announced(1)
    reading = asyncio.create_task(told(client, key))
    long = request(key, max_tokens=200, temperature=0)
    try:
        await client.post("/v1/completions", json=long, timeout=0.2)
        raise AssertionError("the request was to be given up in the middle")
    except httpx.TimeoutException:
        pass
    answer = await client.post("/v1/completions", json=long)
    files, ended = await reading
    assert {end["how"] for end in ended[:-1]} <= {"aborted"}, ended
    if ended[-1]["how"] == "complete":
        compare(files, 1, 0, answer.json()["choices"][0]["token_ids"])
    else:  # what another replica has handed over of the sample is not known to the one that was asked second
        assert "--data-parallel-size" in sys.argv and "another data-parallel rank has begun it" in ended[-1]["why"], ended

    key = await announced(1)
    answer = await client.post("/v1/completions", json=request(key, use_beam_search=True, n=2, max_tokens=4))
    assert answer.status_code == 400 and "beam search" in answer.text, answer.text
    files, ended = await told(client, key)
    assert not files and ended[0]["how"] == "failed" and "beam search" in ended[0]["why"], ended


async def check(base: str, expected: harness.Reference) -> None:
    import httpx

    async with httpx.AsyncClient(base_url=base, timeout=300) as stranger:
        assert (await stranger.get("/v1/moescope/info")).status_code == 401, "the API key is not asked for"
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=base, timeout=300, headers={"Authorization": f"Bearer {KEY}"}, limits=limits) as client:
        info = (await client.get("/v1/moescope/info")).json()
        print(json.dumps({name: info[name] for name in ("vllm", "streams", "stages", "model")}), flush=True)
        from moescope_vllm.plan import parse_plan

        raw = {"streams": [{"name": name, "layers": stream["layers"]} for name, stream in info["streams"].items()]}
        plan, spool = parse_plan(raw, 2), Path(info["spool"])
        results = await asyncio.gather(*(capture(client, sample, sample % 2 == 0, info) for sample in range(CLIENTS)))
        differences = []
        for number, (files, tokens) in enumerate(results):
            got, through = harness.sample_of(files, plan, 1), tokens[:-1]
            differences.append(harness.check_sample(got, expected.values(through), through, 22, f"client {number}"))
        harness.judge(f"{CLIENTS} clients", harness.worst(differences))
        far = {"samples": 1, "plan": {"streams": [{"name": "router_logits", "layers": [77]}]}}
        for body, code in ((far, "UNKNOWN_LAYER"), ({}, "INVALID_ARGUMENT")):
            answer = await client.post("/v1/moescope/captures", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
        assert (await client.get("/v1/moescope/captures/nobody")).status_code == 404
        # A request that names no capture, and one that names a deleted one, are answered all the same.
        key = (await client.post("/v1/moescope/captures", json={"samples": 1, "plan": raw})).json()["key"]
        assert (await client.delete(f"/v1/moescope/captures/{key}")).status_code == 204
        for extra in ({}, {"vllm_xargs": {"moescope": key}}):
            answer = await client.post("/v1/completions", json={"model": "m", "prompt": [30, 31], "max_tokens": 2, **extra})
            assert answer.status_code == 200, answer.text
        await check_ends(client, raw, expected)
        left = [path for path in spool.rglob("*.safetensors")]
        assert not left, f"files nobody wants: {left}"


def main() -> None:
    expected = harness.reference("qwen3_moe")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = start(expected.checkpoint, port, sys.argv[1:])
    try:
        import httpx

        deadline = time.monotonic() + 900
        while True:
            assert server.poll() is None and time.monotonic() < deadline, "the server did not come up"
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(1)
        asyncio.run(check(f"http://127.0.0.1:{port}", expected))
        ranks = {"d0p0", "d1p0"} if "--data-parallel-size" in sys.argv else {"d0p0"}
        assert delivering == ranks, f"rows came from {delivering}"
        processes = [server.pid, *below(server.pid)]
        server.send_signal(signal.SIGINT)
        server.wait(60)
        roots = {Path("/dev/shm"), Path(tempfile.gettempdir())}
        left = [path for root in roots for process in processes for path in root.glob(f"moescope-{process}-*")]
        assert not left, left
        print("server: all good", flush=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
