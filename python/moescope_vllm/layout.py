"""What of vLLM the plugin builds on, and which versions were run with it."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

#: "run": rows were compared with Hugging Face transformers. "layout": every name below is in its source and takes what it should,
#: which `tests/check_layouts.py` reads without installing it. Other versions are tried, with a warning, and refused when something is
#: missing.
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


@dataclass(frozen=True)
class Takes:
    """What a function must take. first: its first parameters, in order. named: further ones by name, or any name. whole: the plugin
    calls it itself, so nothing else may be wanted of it."""

    first: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    whole: bool = False


#: Must exist, whatever it takes.
EXISTS = Takes()

#: module -> attributes, each of which must exist and take what the plugin hands or reads. What the plugin wraps may take more: that
#: is handed on.
REQUIRED: dict[str, dict[str, Takes]] = {
    "vllm.config.vllm": {"VllmConfig.compute_hash": Takes(("self",))},
    "vllm.forward_context": {"get_forward_context": EXISTS, "is_forward_context_available": EXISTS},
    "vllm.model_executor.layers.fused_moe.router.base_router": {
        "BaseRouter._select_experts": Takes(("self", "hidden_states", "router_logits")),
        "BaseRouter.set_capture_fn": Takes(("self", "capture_fn"), whole=True),
    },
    "vllm.model_executor.layers.fused_moe.router.fused_moe_router": {
        "FusedMoERouter.select_experts": Takes(("self", "hidden_states", "router_logits"))
    },
    "vllm.model_executor.layers.fused_moe.router.zero_expert_router": {
        "ZeroExpertRouter._compute_routing": Takes(("self", "hidden_states", "router_logits"))
    },
    "vllm.model_executor.layers.fused_moe.fused_moe": {"zero_experts_compute_triton": Takes(("expert_indices", "expert_scales"))},
    "vllm.model_executor.layers.fused_moe.runner.moe_runner": {
        "MoERunner._maybe_dispatch": Takes(("self", "hidden_states", "router_logits")),
        "MoERunner._quant_method": EXISTS,
        "MoERunner.layer_id": EXISTS,
    },
    "vllm.v1.core.sched.scheduler": {
        "Scheduler.add_request": Takes(("self", "request")),
        "Scheduler.schedule": Takes(("self",)),
        "Scheduler._free_request": Takes(("self", "request")),
    },
    "vllm.v1.engine.output_processor": {
        "OutputProcessor.add_request": Takes(("self", "request")),
        "OutputProcessor.process_outputs": Takes(("self",)),
    },
    "vllm.v1.engine.parallel_sampling": {"ParentRequest.get_child_info": Takes(("self", "index"))},
    "vllm.v1.request": {"Request.get_skip_reading_prefix_cache": Takes(("self",)), "Request.num_tokens": EXISTS},
    "vllm.v1.worker.cpu_model_runner": {"CPUModelRunner.load_model": Takes(("self",))},
    "vllm.v1.worker.gpu.model_runner": {
        "GPUModelRunner.load_model": Takes(("self",)),
        "GPUModelRunner.execute_model": Takes(("self", "scheduler_output"), ("dummy_run",)),
        "GPUModelRunner.sample_tokens": Takes(("self",)),
        "GPUModelRunner.prepare_inputs": Takes(("self",)),
        "GPUModelRunner._dummy_run": Takes(("self", "num_tokens"), ("skip_attn", "skip_eplb", "is_profile"), whole=True),
    },
    "vllm.v1.worker.gpu_model_runner": {
        "GPUModelRunner.load_model": Takes(("self",)),
        "GPUModelRunner.execute_model": Takes(("self", "scheduler_output")),
        "GPUModelRunner.sample_tokens": Takes(("self",)),
        "GPUModelRunner._dummy_run": Takes(("self", "num_tokens"), ("skip_eplb", "is_profile"), whole=True),
    },
    "vllm.v1.worker.worker_base": {"WorkerBase": EXISTS},
}

#: The same of `vllm serve`, whose modules the processes that run the model do not import.
SERVED: dict[str, dict[str, Takes]] = {
    "vllm.entrypoints.openai.completion.protocol": {"CompletionRequest.to_beam_search_params": Takes(("self",))},
    "vllm.entrypoints.openai.chat_completion.protocol": {"ChatCompletionRequest.to_beam_search_params": Takes(("self",))},
    "vllm.entrypoints.pooling.base.serving": {"PoolingBaseServing._init_ctx": Takes(("self",))},
}

#: Need what not every platform has: Triton here, a CPU build there.
OPTIONAL = frozenset({"vllm.v1.worker.gpu.model_runner", "vllm.v1.worker.cpu_model_runner"})


@dataclass(frozen=True)
class Parameter:
    """kind: "positional", "keyword", "args" or "kwargs"."""

    name: str
    kind: str
    optional: bool


#: What is known of an attribute: its parameters, None where it is no function.
Known = list[Parameter] | None


@cache
def missing_here(served: bool = False) -> tuple[str, ...]:
    """What of :data:`REQUIRED` the installed vLLM lacks, in words; served: of :data:`SERVED`. Looked at once, before anything is patched."""
    missing = []
    for module, names in (SERVED if served else REQUIRED).items():
        try:
            namespace = importlib.import_module(module)
        except ImportError as error:
            if module not in OPTIONAL:
                missing.append(f"{module} ({error})")
            continue
        missing += lacking(
            module, names, {name: parameters_of(value) for name in names if (value := find(namespace, name)) is not None}
        )
    return tuple(missing)


def missing_in(read: Callable[[str], str]) -> list[str]:
    """The same for a vLLM that is not installed. read: text of a file by its path in the package; raises KeyError or OSError."""
    missing = []
    for module, names in (REQUIRED | SERVED).items():
        try:
            defined = definitions(read(f"{module.replace('.', '/')}.py"))
        except (KeyError, OSError):
            missing.append(module)
            continue
        missing += lacking(module, names, defined)
    return missing


def lacking(module: str, names: Mapping[str, Takes], found: Mapping[str, Known]) -> list[str]:
    missing = []
    for name, takes in names.items():
        if name not in found:
            missing.append(f"{module}.{name}")
            continue
        wrong = disagreement(takes, found[name])
        if wrong:
            missing.append(f"{module}.{name} as the plugin knows it: {wrong}")
    return missing


def disagreement(takes: Takes, parameters: Known) -> str | None:
    """What a function does not take that it should, or wants that nobody will hand it."""
    if parameters is None:
        return None
    positional = [parameter for parameter in parameters if parameter.kind == "positional"]
    if tuple(parameter.name for parameter in positional[: len(takes.first)]) != takes.first:
        return f"it takes ({', '.join(parameter.name for parameter in parameters)}), not ({', '.join(takes.first)}, ...)"
    names = {parameter.name for parameter in parameters}
    if not any(parameter.kind == "kwargs" for parameter in parameters):
        unknown = [name for name in takes.named if name not in names]
        if unknown:
            return f"it takes no {unknown[0]}"
    wanted = [one.name for one in parameters if not one.optional and one.name not in (*takes.first, *takes.named)]
    return f"it wants {wanted[0]}" if takes.whole and wanted else None


def find(namespace: Any, name: str) -> Any:
    for part in name.split("."):
        namespace = getattr(namespace, part, None)
    return namespace


def parameters_of(value: Any) -> Known:
    """None for what is no function, and for what hides its parameters."""
    if not inspect.isfunction(value):
        return None
    kinds = {
        inspect.Parameter.VAR_POSITIONAL: "args",
        inspect.Parameter.VAR_KEYWORD: "kwargs",
        inspect.Parameter.KEYWORD_ONLY: "keyword",
    }
    return [
        Parameter(
            one.name, kinds.get(one.kind, "positional"), one.default is not one.empty or kinds.get(one.kind) in ("args", "kwargs")
        )
        for one in inspect.signature(value).parameters.values()
    ]


def definitions(source: str) -> dict[str, Known]:
    """Functions and classes of a module and what their bodies define, as `name` and `Class.name`."""
    found: dict[str, Known] = {}
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.parse(source).body:
        if isinstance(node, functions):
            found[node.name] = parameters_in(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = None
            for inner in node.body:
                if isinstance(inner, functions):
                    decorated = any(ast.unparse(one).endswith("property") for one in inner.decorator_list)
                    found[f"{node.name}.{inner.name}"] = None if decorated else parameters_in(inner)
    return found


def parameters_in(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Parameter]:
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    optional = len(plain) - len(arguments.defaults)
    found = [Parameter(one.arg, "positional", index >= optional) for index, one in enumerate(plain)]
    if arguments.vararg:
        found.append(Parameter(arguments.vararg.arg, "args", True))
    found += [
        Parameter(one.arg, "keyword", default is not None)
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        found.append(Parameter(arguments.kwarg.arg, "kwargs", True))
    return found


def tested(version: str) -> str | None:
    """How a version was tried, as :data:`TESTED` has it. A build's own suffix (`+cpu`) does not matter."""
    return TESTED.get(version.partition("+")[0])


def read_package(root: Path) -> Callable[[str], str]:
    return lambda path: (root / path).read_text()
