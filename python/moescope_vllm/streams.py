"""The streams this engine delivers; `src/core/streams.ts` defines what they mean."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import CaptureError, shown

ROUTER_LOGITS, EXPERT_IDS, EXPERT_WEIGHTS, HIDDEN_STATES = "router_logits", "expert_ids", "expert_weights", "hidden_states"

STREAMS = (ROUTER_LOGITS, EXPERT_IDS, EXPERT_WEIGHTS, HIDDEN_STATES)

#: Streams that only MoE layers have.
ROUTED = frozenset((ROUTER_LOGITS, EXPERT_IDS, EXPERT_WEIGHTS))


def parse_streams(names: Iterable[str]) -> tuple[str, ...]:
    """Each once, in the order of :data:`STREAMS`. Raises UNKNOWN_STREAM."""
    wanted = [name.strip() for name in names if name.strip()]
    for name in wanted:
        if name not in STREAMS:
            raise CaptureError("UNKNOWN_STREAM", f'unknown stream {shown(name)}; the streams are {", ".join(STREAMS)}')
    return tuple(name for name in STREAMS if name in wanted)
