"""Every place where the plugin reaches into vLLM. All are class level and set before a model is built, so that torch.compile and CUDA
graph recording see them. `layout.py` names the same places and checks them."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import logging
from typing import Any

from . import __version__, graphs, lifetime, process
from .arguments import KEY_ARG, SAMPLE_ARG, arguments_of, sample_in
from .layout import OPTIONAL, missing_here, tested
from .news import NEWS
from .settings import settings
from .stops import Stops
from .taps import TAPS, tap
from .watch import Watch

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
    patch_branches()
    patch_outputs()
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
    def get_skip_reading_prefix_cache(self: Request, *args: Any, **kwargs: Any) -> bool:
        return True if arguments_of(self) is not None else original(self, *args, **kwargs)

    Request.get_skip_reading_prefix_cache = get_skip_reading_prefix_cache


def patch_branches() -> None:
    """With `n`, vLLM makes a request of each branch: each becomes a sample, from the one the client named on."""
    from vllm.v1.engine.parallel_sampling import ParentRequest

    original = ParentRequest.get_child_info

    @functools.wraps(original)
    def get_child_info(self: ParentRequest, index: int, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        name, params = original(self, index, *args, **kwargs)
        arguments = params.extra_args
        if arguments and KEY_ARG in arguments:
            params = copy.copy(params)  # the branches share one
            with contextlib.suppress(ValueError):  # what is no number is refused where it starts
                params.extra_args = {**arguments, SAMPLE_ARG: sample_in(arguments) + index}
        return name, params

    ParentRequest.get_child_info = get_child_info


def patch_outputs() -> None:
    """Stop strings are found where text is made, and the engine is told to abort: that such a request is complete is known here only."""
    from vllm.v1.engine.output_processor import OutputProcessor

    add, process_outputs = OutputProcessor.add_request, OutputProcessor.process_outputs

    @functools.wraps(add)
    def add_request(self: OutputProcessor, request: Any, *args: Any, **kwargs: Any) -> Any:
        self.__dict__.setdefault("_moescope", Stops(settings().spool)).added(request)
        return add(self, request, *args, **kwargs)

    @functools.wraps(process_outputs)
    def process_and_tell(self: OutputProcessor, *args: Any, **kwargs: Any) -> Any:
        processed = process_outputs(self, *args, **kwargs)
        stops = self.__dict__.get("_moescope")
        if stops is not None:
            stops.processed(processed, self.request_states)
        return processed

    OutputProcessor.add_request, OutputProcessor.process_outputs = add_request, process_and_tell


def patch_scheduler() -> None:
    """Which rows are a captured request's own, and how it ends, is known here; the processes that run the model are told with their step."""
    from vllm.v1.core.sched.scheduler import Scheduler

    add, free, schedule = Scheduler.add_request, Scheduler._free_request, Scheduler.schedule

    def watch(scheduler: Scheduler) -> Watch:
        known = scheduler.__dict__.get("_moescope")
        if known is None:
            known = scheduler._moescope = Watch(settings().spool)
        return known

    @functools.wraps(add)
    def add_request(self: Scheduler, request: Any, *args: Any, **kwargs: Any) -> Any:
        watch(self).added(request)
        return add(self, request, *args, **kwargs)

    @functools.wraps(free)
    def _free_request(self: Scheduler, request: Any, *args: Any, **kwargs: Any) -> Any:
        watch(self).freed(request)
        return free(self, request, *args, **kwargs)

    @functools.wraps(schedule)
    def schedule_with_news(self: Scheduler, *args: Any, **kwargs: Any) -> Any:
        output = schedule(self, *args, **kwargs)
        process.scheduled_tokens += output.total_num_scheduled_tokens
        news = watch(self).news(output.num_scheduled_tokens, output.finished_req_ids)
        if news is not None:
            setattr(output, NEWS, news)
        return output

    Scheduler.add_request, Scheduler._free_request, Scheduler.schedule = add_request, _free_request, schedule_with_news


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
        for method, wrapper in (
            ("load_model", load_model),
            ("execute_model", execute_model),
            ("sample_tokens", after_the_model),
            ("pool", after_the_model),
            ("prepare_inputs", prepare_inputs),
        ):
            original = cls.__dict__.get(method)
            if original is not None:
                setattr(cls, method, functools.wraps(original)(wrapper(original)))


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
        if not is_second(self):  # the first runner keeps its batch, and lays it out before the model runs
            recorder.batch(lambda: layout_of(self.input_batch.req_ids, self.query_start_loc.np))
        try:
            result = original(self, scheduler_output, *args, **kwargs)
        except BaseException:
            recorder.abandon()
            raise
        recorder.ran(lambda: labels(self))
        if result is not None:  # else tokens are drawn next, or vectors pooled
            recorder.deliver()
        return result

    return execute_model


def after_the_model(original: Any) -> Any:
    """Rows leave the device after the drawn tokens (`sample_tokens`) or the vectors (`pool`), which the engine waits for: copies to the
    host go one after the other. A drafter that runs in here is not the model, and is not captured."""

    def after_the_model(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = self.__dict__.get("_moescope")
        try:
            result = original(self, *args, **kwargs)
        except BaseException:
            if recorder is not None:
                recorder.abandon()
            raise
        if recorder is not None:
            recorder.deliver()
        return result

    return after_the_model


def is_second(runner: Any) -> bool:
    """Whether it is the second runner (`vllm.v1.worker.gpu`)."""
    return hasattr(runner, "input_buffers")


def layout_of(requests: list[str], starts: Any) -> list[tuple[str, int]]:
    """The requests of a batch, in order, with how many of its rows each has. starts: the first row of each, and one behind the last."""
    return list(zip(requests, (starts[1 : len(requests) + 1] - starts[: len(requests)]).tolist(), strict=True))


def labels(runner: Any) -> tuple[Any, Any]:
    """Token ids and positions of the batch, on the device."""
    if is_second(runner):
        return runner._moescope_batch.input_ids, runner._moescope_batch.positions
    return runner.input_ids.gpu, runner.positions


def prepare_inputs(original: Any) -> Any:
    """The second runner makes a new batch for every step."""

    def prepare_inputs(self: Any, *args: Any, **kwargs: Any) -> Any:
        batch = original(self, *args, **kwargs)
        recorder = self.__dict__.get("_moescope")
        if recorder is not None and TAPS.step is not None:
            self._moescope_batch = batch
            recorder.batch(lambda: layout_of(batch.req_ids, batch.query_start_loc_np))
        return batch

    return prepare_inputs


def patch_worker() -> None:
    """What `collective_rpc` reaches."""
    from vllm.v1.worker.worker_base import WorkerBase

    WorkerBase.moescope_info = lambda self: process.info()
