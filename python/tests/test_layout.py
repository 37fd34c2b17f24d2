"""What of vLLM the plugin builds on, by name and by parameters: python -m unittest discover."""

from __future__ import annotations

import sys
import types
import unittest
from pathlib import Path
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from moescope_vllm import layout, patches, taps
from moescope_vllm.layout import Takes, definitions, disagreement, parameters_of
from moescope_vllm.streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTER_LOGITS
from moescope_vllm.taps import TAPS, Place


def function(source: str):
    namespace: dict = {}
    exec(source, namespace)
    return namespace["f"]


class Signatures(unittest.TestCase):
    WRAPPED = Takes(("self", "hidden_states", "router_logits"))
    CALLED = Takes(("self", "num_tokens"), ("is_profile",), whole=True)

    def disagree(self, takes: Takes, parameters: str) -> str | None:
        """Both ways of looking must see the same."""
        source = f"def f({parameters}): ..."
        seen = disagreement(takes, parameters_of(function(source)))
        self.assertEqual(disagreement(takes, definitions(source)["f"]), seen)
        return seen

    def test_what_is_wrapped_may_take_more(self):
        for parameters in (
            "self, hidden_states, router_logits",
            "self, hidden_states, router_logits, input_ids=None",
            "self, hidden_states, router_logits, *args, new, **kwargs",
            "self, hidden_states, router_logits, new",  # callers of vLLM hand it, and it is handed on
        ):
            self.assertIsNone(self.disagree(self.WRAPPED, parameters), parameters)

    def test_what_is_read_must_stand_where_it_is_read(self):
        for parameters in ("self, router_logits, hidden_states", "self, x, router_logits", "self, hidden_states", "self, *args"):
            self.assertIn("not (self, hidden_states, router_logits, ...)", self.disagree(self.WRAPPED, parameters))

    def test_what_is_called_must_take_what_it_gets_and_want_nothing_else(self):
        self.assertIsNone(self.disagree(self.CALLED, "self, num_tokens, is_profile=False, new=1"))
        self.assertIsNone(self.disagree(self.CALLED, "self, num_tokens, *args, **kwargs"))
        self.assertEqual(self.disagree(self.CALLED, "self, num_tokens"), "it takes no is_profile")
        self.assertEqual(self.disagree(self.CALLED, "self, num_tokens, new, is_profile=False"), "it wants new")
        self.assertEqual(self.disagree(self.CALLED, "self, num_tokens, *, is_profile=False, new"), "it wants new")

    def test_properties_and_classes_have_no_parameters(self):
        found = definitions("class A:\n  @property\n  def b(self): ...\n  def c(self, d): ...")
        self.assertIsNone(found["A"])
        self.assertIsNone(found["A.b"])
        self.assertEqual([parameter.name for parameter in found["A.c"]], ["self", "d"])

    def test_a_version_is_known_whatever_its_build(self):
        self.assertEqual(layout.tested("0.32.0+cpu"), layout.tested("0.32.0"))
        self.assertIsNone(layout.tested("0.99.0"))


class Router:
    """vLLM's BaseRouter of a later version: functions take more than the plugin knows."""

    def __init__(self) -> None:
        self.capture_fn = None

    def set_capture_fn(self, capture_fn, layer=None) -> None:
        self.capture_fn = capture_fn

    def _select_experts(self, hidden_states, router_logits, indices_dtype=None, *, input_ids=None, new=2):
        weights, ids = router_logits.topk(new, -1)
        if self.capture_fn is not None:
            self.capture_fn(ids)
        return weights, ids


class Runner:
    """vLLM's MoERunner, likewise."""

    gate = None

    def _maybe_dispatch(self, hidden_states, router_logits, input_ids=None, *, new=None):
        return hidden_states, router_logits


class Patched(unittest.TestCase):
    """Functions that take more than they did are handed on all of it."""

    def setUp(self):
        base = "vllm.model_executor.layers.fused_moe"
        self.router_class, self.runner_class = (
            type("BaseRouter", (Router,), dict(Router.__dict__)),
            type("MoERunner", (Runner,), dict(Runner.__dict__)),
        )
        modules = {
            f"{base}.router.base_router": {"BaseRouter": self.router_class},
            f"{base}.runner.moe_runner": {"MoERunner": self.runner_class},
        }
        fakes = {}
        for name, content in modules.items():
            parts = name.split(".")
            for length in range(1, len(parts)):
                fakes.setdefault(".".join(parts[:length]), types.ModuleType(".".join(parts[:length])))
            fakes[name] = types.ModuleType(name)
            fakes[name].__dict__.update(content)
        for patch in (mock.patch.dict(sys.modules, fakes), mock.patch.object(taps, "step_rows", lambda: None)):
            patch.start()
            self.addCleanup(patch.stop)
        self.addCleanup(TAPS.reset, [])
        patches.patch_router()

    def mark(self, router, runner):
        places = [
            Place(ROUTER_LOGITS, 0, 4, torch.device("cpu")),
            *(Place(stream, 0, 2, torch.device("cpu")) for stream in (EXPERT_IDS, EXPERT_WEIGHTS)),
        ]
        runner._moescope_logits, router._moescope_ids, router._moescope_weights = places
        runner._moescope_anchor = places[0].anchor
        router.set_capture_fn(router.capture_fn)
        TAPS.reset(places)
        seen: dict = {}
        TAPS.delivers = True
        TAPS.step = types.SimpleNamespace(saw=lambda place, value: seen.setdefault(place.stream, value.x), failed=lambda *_: None)
        return seen

    def test_more_arguments_arrive(self):
        router, runner, logits = self.router_class(), self.runner_class(), torch.randn(3, 4)
        seen = self.mark(router, runner)
        runner._maybe_dispatch(torch.ones(3, 8), logits, torch.arange(3), new=1)
        weights, ids = router._select_experts(torch.ones(3, 8), logits, None, input_ids=None, new=2)
        for stream, value in ((ROUTER_LOGITS, logits), (EXPERT_IDS, ids), (EXPERT_WEIGHTS, weights)):
            torch.testing.assert_close(seen[stream], value)

    def test_vllms_own_capture_is_asked_besides_whenever_it_comes(self):
        for first in (True, False):
            router, theirs = self.router_class(), []
            if first:
                router.set_capture_fn(theirs.append)
            seen = self.mark(router, self.runner_class())
            if not first:
                router.set_capture_fn(theirs.append, layer=3)
            _, ids = router._select_experts(None, torch.randn(3, 4))
            self.assertEqual(len(theirs), 1)
            torch.testing.assert_close(seen[EXPERT_IDS], ids)
            router.set_capture_fn(None)
            router._select_experts(None, torch.randn(3, 4))
            self.assertEqual(len(theirs), 1)

    def test_a_tap_that_fails_does_not_fail_the_model(self):
        router, runner = self.router_class(), self.runner_class()
        self.mark(router, runner)
        TAPS.step.saw = mock.Mock(side_effect=RuntimeError("broken"))
        runner._maybe_dispatch(torch.ones(3, 8), torch.randn(3, 4))
        router._select_experts(None, torch.randn(3, 4))
        self.assertEqual(TAPS.step.saw.call_count, 3)


if __name__ == "__main__":
    unittest.main()
