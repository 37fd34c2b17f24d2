"""Capture from inside an unmodified vLLM: router logits, chosen experts, their weights, hidden states, labelled row by row.

vLLM finds this package through its entry points (`vllm.general_plugins`, `vllm.endpoint_plugins`) in every process it starts. Importing
it is cheap: vLLM is imported inside :func:`register`.
"""

from __future__ import annotations

__version__ = "0.1.0"
#: Of docs/vllm-protocol.md.
PROTOCOL = 4

__all__ = ["PROTOCOL", "__version__", "register"]


def register() -> None:
    """What vLLM calls in each of its processes, before any model is built. Safe to call again."""
    from . import patches

    patches.install()
