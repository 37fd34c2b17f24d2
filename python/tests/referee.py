"""vLLM's own capture of routed experts, bound to the engine that is captured: both must say the same of every row."""

from __future__ import annotations

from typing import Any

from moescope_vllm import process, step
from moescope_vllm.streams import EXPERT_IDS


class Referee:
    """compared, differing: rows of a layer. why: what keeps vLLM's own capture from running with this model, if something does.

    Binds when the model is loaded, so that what is compiled or recorded as a graph has both."""

    def __init__(self) -> None:
        self.compared = self.differing = 0
        self.why = ""
        self._capturer: Any = None

    def __enter__(self) -> Referee:
        self._start, self._chunks = process.start, step.Step.chunks
        process.start, step.Step.chunks = self._bound(), self._watched()
        return self

    def __exit__(self, *_: Any) -> None:
        process.start, step.Step.chunks = self._start, self._chunks

    def _bound(self) -> Any:
        from vllm.model_executor.layers.fused_moe.routed_experts_capturer import RoutedExpertsCapturer, bind_routed_experts_capturer

        start = self._start

        def started(runner: Any) -> Any:
            recorder = start(runner)
            config = runner.vllm_config
            try:
                self._capturer = RoutedExpertsCapturer(config.scheduler_config.max_num_batched_tokens, config)
                bind_routed_experts_capturer(runner.get_model(), self._capturer)
            except (ValueError, AttributeError) as error:
                self.why = str(error)
            return recorder

        return started

    def _watched(self) -> Any:
        original, referee = self._chunks, self

        def chunks(self: Any) -> Any:
            made, failed = original(self)
            if referee.why:
                return made, failed
            rows = {id(group.capture): group.rows for group in self.groups()}
            for chunk in made:
                if chunk.arrived is not None:  # before, the memory on the host holds what was there
                    chunk.arrived.synchronize()
                referee.compare(chunk, rows[id(chunk.capture)])
            return made, failed

        return chunks

    def compare(self, chunk: Any, rows: Any) -> None:
        for layer, ours in zip(chunk.capture.layers.get(EXPERT_IDS, ()), chunk.streams.get(EXPERT_IDS, ()), strict=True):
            theirs = self._capturer.device_buffer[rows, layer].long()
            ours = ours.to(theirs.device).long()
            moe = process.info()["moe"][0]
            if moe["zeroExperts"]:  # theirs has expert 0 in their place
                ours = ours.masked_fill(ours >= moe["experts"] - moe["zeroExperts"], 0)
            self.compared += len(ours)
            self.differing += int((ours != theirs).any(-1).sum())

    def judge(self, what: str) -> None:
        if self.why:
            print(f"{what}: vLLM's own capture does not run: {self.why}", flush=True)
            return
        print(f"{what}: {self.differing} of {self.compared} rows differ from vLLM's own capture", flush=True)
        assert self.compared and not self.differing, f"{what}: rows differ from vLLM's own capture"
