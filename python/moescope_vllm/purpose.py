"""What a model was loaded for, in the words of the TypeScript side (`src/core/embedding.ts`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import CaptureError

#: What a pooling model can be asked for, best first: a vector of a prompt, or scores of it.
POOLED = ("embed", "classify")


def purpose_of(model: Any, tasks: Iterable[str]) -> dict[str, Any]:
    """model: vLLM's ModelConfig. tasks: that vLLM says it can do. Returns `task`, `causal` and `embedding` of the introduction."""
    causal = model.attn_type not in ("encoder_only", "encoder")
    if model.runner_type != "pooling":
        return {"task": "generate", "causal": causal, "embedding": None}
    task, pooler = next((task for task in POOLED if task in tasks), None), model.pooler_config
    pooling = {"embed": str(pooler.seq_pooling_type).lower(), "classify": "rank"}.get(str(task), "none")
    return {
        "task": "embed",
        "causal": causal,
        "embedding": {"pooling": pooling, "normalize": task == "embed" and pooler.use_activation is not False},
    }


def pooled_task(tasks: Iterable[str]) -> str:
    """The task that makes one vector of a prompt. Raises INVALID_ARGUMENT."""
    offered = list(tasks)
    task = next((task for task in POOLED if task in offered), None)
    if task is None:
        raise CaptureError("INVALID_ARGUMENT", f"vLLM makes no vector of a prompt with this model; it can do: {', '.join(offered)}")
    return task
