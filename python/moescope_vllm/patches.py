"""Every place where the plugin reaches into vLLM. All are class level and set before a model is built, so that torch.compile and CUDA
graph recording see them. `layout.py` names the same places and checks them."""

from __future__ import annotations

import functools
import hashlib
import logging
from typing import Any

from . import __version__, graphs, lifetime, process
from .layout import OPTIONAL, missing_here, tested
from .recorder import LENGTHS
from .requests import KEY_ARG
from .settings import settings
from .taps import TAPS, tap

logger = logging.getLogger("vllm.moescope")

_installed = False


def install() -> None:
    """Once a process."""
    global _installed
    if _installed:
        return
    _installed = True
    lifetime.follow_owner()
    missing = missing_here()
    if missing:
        logger.error("moescope: this vLLM is not known, nothing can be captured: it has no %s", ", ".join(missing))
        return
    if tested(vllm_version()) is None:
        logger.warning("moescope: vLLM %s was not tried with this plugin; everything it builds on is there", vllm_version())
    settings()
    patch_request()
    patch_scheduler()
    patch_cache_key()
    patch_router()
    patch_runners()
    patch_worker()
    graphs.install(TAPS.replayed)


def vllm_version() -> str:
    import vllm

    return str(vllm.__version__)


def patch_request() -> None:
    """Captured requests compute every token: a prefix that comes out of the cache has no rows. Others keep the cache."""
    from vllm.v1.request import Request

    original = Request.get_skip_reading_prefix_cache

    @functools.wraps(original)
    def get_skip_reading_prefix_cache(self: Request) -> bool:
        arguments = getattr(self.sampling_params, "extra_args", None)
        return True if arguments and KEY_ARG in arguments else original(self)

    Request.get_skip_reading_prefix_cache = get_skip_reading_prefix_cache


def patch_scheduler() -> None:
    """How many of a captured request's tokens count is known where its end is decided; the runner is told with the next step."""
    from vllm.v1.core.sched.scheduler import Scheduler

    free, schedule = Scheduler._free_request, Scheduler.schedule

    @functools.wraps(free)
    def _free_request(self: Scheduler, request: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = getattr(request.sampling_params, "extra_args", None)
        if arguments and KEY_ARG in arguments:
            # The token drawn last never went through the model.
            self.__dict__.setdefault("_moescope_lengths", {})[request.request_id] = request.num_tokens - 1
        return free(self, request, *args, **kwargs)

    @functools.wraps(schedule)
    def schedule_with_lengths(self: Scheduler, *args: Any, **kwargs: Any) -> Any:
        output = schedule(self, *args, **kwargs)
        process.scheduled_tokens += output.total_num_scheduled_tokens
        lengths = self.__dict__.get("_moescope_lengths")
        if lengths:
            ended = {request: lengths.pop(request) for request in output.finished_req_ids if request in lengths}
            if ended:
                setattr(output, LENGTHS, ended)
        return output

    Scheduler._free_request, Scheduler.schedule = _free_request, schedule_with_lengths


def patch_cache_key() -> None:
    """Taps are part of the compiled graph: a graph that was compiled without them must not be loaded, nor one with them elsewhere."""
    from vllm.config.vllm import VllmConfig

    original = VllmConfig.compute_hash
    tag = f"moescope {__version__} {','.join(settings().streams)}"

    @functools.wraps(original)
    def compute_hash(self: VllmConfig) -> str:
        return hashlib.sha256(f"{original(self)} {tag}".encode()).hexdigest()[:10]

    VllmConfig.compute_hash = compute_hash


def patch_router() -> None:
    """Router logits where the model's own or the layer's gate has made them, before other ranks' rows are gathered; experts where
    vLLM's own capture of routed experts asks for them, before they are mapped to replicas; weights as the router returns them."""
    from vllm.model_executor.layers.fused_moe.router.base_router import BaseRouter
    from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

    dispatch, select, set_capture_fn = MoERunner._maybe_dispatch, BaseRouter._select_experts, BaseRouter.set_capture_fn

    @functools.wraps(dispatch)
    def _maybe_dispatch(self: Any, hidden_states: Any, router_logits: Any, *args: Any, **kwargs: Any) -> Any:
        if self._moescope_logits is not None:
            tap(self._moescope_logits, self._moescope_anchor, router_logits)
        return dispatch(self, hidden_states, router_logits, *args, **kwargs)

    def _moescope_chose(self: Any, topk_ids: Any, *args: Any, **kwargs: Any) -> None:
        if self._moescope_ids is not None:
            tap(self._moescope_ids, self._moescope_ids.anchor, topk_ids)
        if self._moescope_theirs is not None:
            self._moescope_theirs(topk_ids, *args, **kwargs)

    @functools.wraps(set_capture_fn)
    def both_capture(self: Any, capture_fn: Any, *args: Any, **kwargs: Any) -> None:
        """Who asks later, vLLM's own capture for instance, is asked besides."""
        if self._moescope_ids is not None:
            if capture_fn != self._moescope_chose:
                self._moescope_theirs = capture_fn
            capture_fn = self._moescope_chose
        set_capture_fn(self, capture_fn, *args, **kwargs)

    @functools.wraps(select)
    def _select_experts(self: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = select(self, *args, **kwargs)
        if self._moescope_weights is not None:
            tap(self._moescope_weights, self._moescope_weights.anchor, chosen[0])
        return chosen

    MoERunner._moescope_logits = None
    BaseRouter._moescope_ids = BaseRouter._moescope_weights = BaseRouter._moescope_theirs = None
    MoERunner._maybe_dispatch = _maybe_dispatch
    BaseRouter._moescope_chose, BaseRouter.set_capture_fn = _moescope_chose, both_capture
    BaseRouter._select_experts = _select_experts


def patch_runners() -> None:
    import importlib

    for module, name in (
        ("vllm.v1.worker.gpu_model_runner", "GPUModelRunner"),
        ("vllm.v1.worker.gpu.model_runner", "GPUModelRunner"),
        ("vllm.v1.worker.cpu_model_runner", "CPUModelRunner"),
    ):
        try:
            cls = getattr(importlib.import_module(module), name)
        except ImportError:
            if module in OPTIONAL:
                continue
            raise
        for wrapper in (load_model, execute_model, sample_tokens, prepare_inputs):
            original = cls.__dict__.get(wrapper.__name__)
            if original is not None:
                setattr(cls, wrapper.__name__, functools.wraps(original)(wrapper(original)))


def load_model(original: Any) -> Any:
    def load_model(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        if "_moescope" not in self.__dict__:
            self._moescope = process.start(self)
        return result

    return load_model


def execute_model(original: Any) -> Any:
    def execute_model(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = self.__dict__.get("_moescope")
        if recorder is None or kwargs.get("dummy_run"):
            return original(self, scheduler_output, *args, **kwargs)
        recorder.before(scheduler_output)
        if TAPS.step is None:
            return original(self, scheduler_output, *args, **kwargs)
        if not hasattr(self, "input_buffers"):  # the first runner keeps its batch, in an order settled before the model runs
            recorder.batch(LiveOrder(self))
        try:
            result = original(self, scheduler_output, *args, **kwargs)
        except BaseException:
            recorder.abandon()
            raise
        if result is not None:  # else `sample_tokens` comes next
            recorder.after(input_ids(self))
        return result

    return execute_model


def sample_tokens(original: Any) -> Any:
    """Rows leave the device after the drawn tokens, which the engine waits for: copies to the host go one after the other."""

    def sample_tokens(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, *args, **kwargs)
        except BaseException:
            TAPS.step = None
            raise
        if TAPS.step is not None:
            self._moescope.after(input_ids(self))
        return result

    return sample_tokens


def input_ids(runner: Any) -> Any:
    """Of the batch, on the device."""
    return runner._moescope_input_ids if hasattr(runner, "input_buffers") else runner.input_ids.gpu


def prepare_inputs(original: Any) -> Any:
    """The second runner (`vllm.v1.worker.gpu`) makes a new batch for every step."""

    def prepare_inputs(self: Any, *args: Any, **kwargs: Any) -> Any:
        batch = original(self, *args, **kwargs)
        recorder = self.__dict__.get("_moescope")
        if recorder is not None and TAPS.step is not None:
            recorder.batch(list(batch.req_ids))
            self._moescope_input_ids = batch.input_ids
        return batch

    return prepare_inputs


class LiveOrder:
    """The first runner's batch order, read when it is asked for: it is settled early in a step, after the wrapper has run."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def __iter__(self) -> Any:
        return iter(self._runner.input_batch.req_ids)

    def __len__(self) -> int:
        return len(self._runner.input_batch.req_ids)


def patch_worker() -> None:
    """What `collective_rpc` reaches."""
    from vllm.v1.worker.worker_base import WorkerBase

    WorkerBase.moescope_info = lambda self: process.info()
