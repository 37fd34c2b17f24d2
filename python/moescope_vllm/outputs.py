"""What a run's requests brought forth, as the steps of the engine hand it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .news import COMPLETE
from .plan import Plan
from .sampling import ended, reason, wants


class Outputs:
    """requests: of the run, by sample."""

    def __init__(self, requests: list[Mapping[str, Any]], plan: Plan) -> None:
        self._requests = requests
        self._plan = plan
        self._drawn: dict[int, list[int]] = {}
        self._texts: dict[int, str] = {}
        self._lengths: dict[int, int] = {}
        self._logprobs: dict[int, list[float]] = {}
        self._prompt_logprobs: dict[int, list[float | None]] = {}

    def take(self, outputs: Iterable[Any]) -> dict[str, list[dict[str, Any]]]:
        """outputs: vLLM's of one step. Returns `drawn` and `finished` of the message about it."""
        step: dict[str, list[dict[str, Any]]] = {"drawn": [], "finished": []}
        for output in outputs:
            sample = int(output.request_id)
            if output.prompt_token_ids:
                self._lengths[sample] = len(output.prompt_token_ids)
            if hasattr(output.outputs, "data"):
                step["finished"].append(self._embedded(sample, output.outputs.data))
                continue
            completion = output.outputs[0]
            if output.prompt_logprobs:
                tokens = output.prompt_token_ids or self._requests[sample]["tokens"]
                self._prompt_logprobs[sample] = [at and at[token].logprob for token, at in zip(tokens, output.prompt_logprobs, strict=True)]
            if self._requests[sample].get("maxTokens", 0):
                self._drawn.setdefault(sample, []).extend(completion.token_ids)
                self._texts[sample] = self._texts.get(sample, "") + completion.text
                if wants(self._requests[sample], "generated"):
                    pairs = zip(completion.token_ids, completion.logprobs or (), strict=True)
                    self._logprobs.setdefault(sample, []).extend(at[token].logprob for token, at in pairs)
                step["drawn"] += [{"sample": sample, "tokenId": token} for token in completion.token_ids]
            if output.finished:
                step["finished"].append(self._finished(sample, completion))
        return step

    def _finished(self, sample: int, completion: Any) -> dict[str, Any]:
        tokens, how = self._drawn.pop(sample, []), ended(completion)
        finished: dict[str, Any] = {"sample": sample, "tokens": tokens, "text": self._texts.pop(sample, "")}
        if wants(self._requests[sample], "generated"):
            finished["logprobs"] = self._logprobs.pop(sample, [])
        if wants(self._requests[sample], "prompt"):
            finished["promptLogprobs"] = self._prompt_logprobs.pop(sample, [])
        if how != COMPLETE:
            return {**finished, "reason": how}
        # The token drawn last never went through the model.
        fed = self._lengths[sample] + max(0, len(tokens) - 1)
        return {**finished, "reason": reason(completion), "rows": self._plan.select.count(fed, self._lengths[sample])}

    def _embedded(self, sample: int, vector: Any) -> dict[str, Any]:
        """vector: float tensor [size]."""
        rows = self._plan.select.count(self._lengths[sample], self._lengths[sample])
        finished = {"sample": sample, "tokens": [], "text": "", "reason": "length", "rows": rows}
        return {**finished, "embedding": vector.float().flatten().tolist()}
