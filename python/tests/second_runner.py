"""vLLM's second model runner, the default on GPUs from 0.32 on, on a CPU, with async scheduling. Imported by `harness.py`, before vLLM is.

vLLM has this runner for CPUs where Triton can compile for them, which the package of PyPI cannot. Triton's own interpreter runs the same
kernels, one program after the other in Python: slow, and right. What vLLM switches off for CPUs besides is async scheduling."""

from __future__ import annotations

import os
from typing import Any


class Driver:
    """What vLLM asks of the driver of Triton's backend for CPUs."""

    @staticmethod
    def is_active() -> bool:
        return True


class Backend:
    driver = Driver
    compiler = None


def install() -> None:
    os.environ |= {"TRITON_INTERPRET": "1", "VLLM_USE_V2_MODEL_RUNNER": "1"}
    from triton.backends import backends

    backends["cpu"] = Backend
    from vllm.platforms.cpu import CpuPlatform

    original = CpuPlatform.check_and_update_config.__func__

    def check_and_update_config(cls: Any, config: Any) -> None:
        original(cls, config)
        config.scheduler_config.async_scheduling = True

    CpuPlatform.check_and_update_config = classmethod(check_and_update_config)
