"""What of vLLM the plugin builds on, and which versions were run with it."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path

#: "run": rows were compared with Hugging Face transformers. "layout": every name below is in its source, which
#: `tests/check_layouts.py` reads without installing it. Other versions are tried and refused when a name is missing.
TESTED = {
    "0.25.0": "layout",
    "0.25.1": "run on GPUs and a CPU",
    "0.26.0": "run on a CPU",
    "0.27.0": "layout",
    "0.27.1": "run on a CPU",
    "0.28.0": "run on a CPU",
    "0.29.0": "run on a CPU",
    "0.30.0": "run on a CPU",
    "0.31.0": "run on a CPU",
    "0.32.0": "run on a CPU",
    "0.33.0": "layout",
}

#: module -> attributes, each of which must exist. `?` behind a module: it may be missing as a whole.
REQUIRED: dict[str, tuple[str, ...]] = {
    "vllm.config.vllm": ("VllmConfig.compute_hash",),
    "vllm.model_executor.layers.fused_moe.router.base_router": ("BaseRouter._select_experts", "BaseRouter._apply_eplb_mapping"),
    "vllm.model_executor.layers.fused_moe.runner.moe_runner": (
        "MoERunner._maybe_dispatch",
        "MoERunner._forward_impl",
        "MoERunner._quant_method",
        "MoERunner.layer_id",
    ),
    "vllm.v1.core.sched.scheduler": ("Scheduler.schedule", "Scheduler._free_request"),
    "vllm.v1.request": ("Request.get_skip_reading_prefix_cache", "Request.num_tokens"),
    "vllm.v1.worker.cpu_model_runner": ("CPUModelRunner.load_model",),
    "vllm.v1.worker.gpu.model_runner": (
        "GPUModelRunner.load_model",
        "GPUModelRunner.execute_model",
        "GPUModelRunner.sample_tokens",
        "GPUModelRunner.prepare_inputs",
    ),
    "vllm.v1.worker.gpu_model_runner": (
        "GPUModelRunner.load_model",
        "GPUModelRunner.execute_model",
        "GPUModelRunner.sample_tokens",
    ),
    "vllm.v1.worker.worker_base": ("WorkerBase",),
}

#: Need what not every platform has: Triton here, a CPU build there.
OPTIONAL = frozenset({"vllm.v1.worker.gpu.model_runner", "vllm.v1.worker.cpu_model_runner"})


def missing_here() -> list[str]:
    """Names of :data:`REQUIRED` that the installed vLLM lacks."""
    missing = []
    for module, names in REQUIRED.items():
        try:
            namespace = importlib.import_module(module)
        except ImportError as error:
            if module not in OPTIONAL:
                missing.append(f"{module} ({error})")
            continue
        for name in names:
            owner, _, attribute = name.partition(".")
            if not hasattr(getattr(namespace, owner, None), attribute or "__name__"):
                missing.append(f"{module}.{name}")
    return missing


def missing_in(read: Callable[[str], str]) -> list[str]:
    """The same for a vLLM that is not installed. read: text of a file by its path in the package; raises KeyError or OSError."""
    missing = []
    for module, names in REQUIRED.items():
        try:
            defined = definitions(read(f"{module.replace('.', '/')}.py"))
        except (KeyError, OSError):
            missing.append(module)
            continue
        missing += [f"{module}.{name}" for name in names if name not in defined]
    return missing


def definitions(source: str) -> set[str]:
    """Classes of a module and what their bodies define, as `Class` and `Class.name`."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef))}
    return found


def read_package(root: Path) -> Callable[[str], str]:
    return lambda path: (root / path).read_text()
