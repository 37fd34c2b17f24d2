"""Proves what the taps will say, once, when a model has been loaded: the model runs a few tokens of made-up hidden states, eagerly.

Nothing here is known of an architecture. What cannot be proven is refused, with words, before anybody asks for it."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from . import contracts, gates, gating, hidden
from .chain import Chain, eager
from .moe_layers import MoeLayer, gate_is_outside
from .streams import HIDDEN_STATES, ROUTER_LOGITS
from .taps import TAPS, Place
from .witness import Witness, watch_layers, watch_routers

logger = logging.getLogger("vllm.moescope")

#: Enough rows to tell apart any two of them; few enough to cost nothing.
TOKENS = 8
#: A tap that says what it said before is right once.
STEPS = 2


@dataclass
class Proof:
    """contracts: of decoder layers, empty where hidden states are refused. classes: of decoder layers, by name. refused: streams,
    each with why. gating: the rule of each MoE layer as its values show it, None where they show none. written: taps whose tensor
    does not stay as it passed. seconds: what it took."""

    contracts: dict[int, str] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    gating: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    written: set[tuple[str, int]] = field(default_factory=set)
    seconds: float = 0.0


class SelfCheck:
    """runner: vLLM's model runner, its model loaded and its cache not made yet. streams: those that are wanted and not refused."""

    def __init__(self, runner: Any, model: Any, moe: list[MoeLayer], streams: set[str]) -> None:
        self._runner = runner
        self._model = model
        self._moe = moe
        self._streams = streams
        self._config = runner.vllm_config.model_config
        self._tokens = min(TOKENS, runner.max_num_tokens)

    def run(self, places: list[Place]) -> Proof:
        """places: the taps of the MoE layers. Those of decoder layers are added and installed. Never raises."""
        proof, started = Proof(), time.monotonic()
        others = (getattr(self._runner, name, None) for name in ("drafter", "speculator"))
        models = [self._model, *(other.model for other in others if hasattr(getattr(other, "model", None), "modules"))]
        delivers, TAPS.delivers = TAPS.delivers, False
        try:
            with eager(models):
                chain = self._prove_layers(proof)
                self._find_gates(proof, chain, places)
                TAPS.delivers = delivers
                self._prove_taps(proof, chain, places)
        except Exception as error:
            logger.exception("moescope: the model could not be checked")
            why = f"the model could not be run to check what its taps say ({type(error).__name__}: {error})"
            proof.refused |= dict.fromkeys(self._streams, why)
        finally:
            TAPS.step, TAPS.delivers = None, delivers
        proof.seconds = time.monotonic() - started
        return proof

    def _prove_layers(self, proof: Proof) -> Chain | None:
        """The decoder layers, with contracts as far as their hidden states are proven. None: there are none one could name."""
        chain = None
        try:
            layers = hidden.decoder_layers(self._model, self._config.get_total_num_hidden_layers())
            proof.classes = {number: f"{type(layer).__module__}.{type(layer).__qualname__}" for number, layer in layers}
            chain = Chain(self._model, layers, self._step, self._tokens, self._config.get_hidden_size())
            if HIDDEN_STATES in self._streams:
                proof.contracts = contracts.contracts_of(chain)
        except LookupError as error:
            if HIDDEN_STATES in self._streams:
                proof.refused[HIDDEN_STATES] = (
                    f"what goes from layer to layer in {type(self._model).__name__} cannot be proven: {error}"
                )
        return chain

    def _find_gates(self, proof: Proof, chain: Chain | None, places: list[Place]) -> None:
        """Gates that lie outside of vLLM's MoE layer. Every process of a group looks for them, and finds the same."""
        layers = [layer for layer in self._moe if layer.runner is not None and gate_is_outside(layer.runner)]
        if ROUTER_LOGITS not in self._streams or not layers:
            return
        searches = [gates.GateSearch(self._model, layer, self._tokens) for layer in layers]
        TAPS.reset(places)
        TAPS.step, TAPS.delivers = Witness(self._tokens), True
        with contextlib.ExitStack() as stack:
            for search in searches:
                stack.enter_context(search.watching())
            self._step() if chain is None else chain.run_varied(0)
        found = [search.found(TAPS.step) for search in searches]
        if not all(found):
            where = next(layer.number for layer, gate in zip(layers, found, strict=True) if gate is None)
            proof.refused[ROUTER_LOGITS] = (
                "vLLM runs this model with transformers' modules, which hand on the experts they chose, not the logits they chose "
                f"by; and no module of layer {where} gives numbers that a known rule makes these experts and weights of"
            )
            return
        for layer, gate in zip(layers, found, strict=True):
            place = Place(ROUTER_LOGITS, layer.number, layer.experts, next(self._model.parameters()).device)
            places.append(place)
            gates.install(gate, place)
            proof.gating[layer.number] = gate.rule

    def _prove_taps(self, proof: Proof, chain: Chain | None, places: list[Place]) -> None:
        """Runs steps whose values others see too."""
        device, width = next(self._model.parameters()).device, self._config.get_hidden_size()
        layers = (
            [] if chain is None else [(number, layer, proof.contracts[number]) for number, layer in chain.layers if proof.contracts]
        )
        for number, layer, contract in layers:
            place = Place(HIDDEN_STATES, number, width, device)
            places.append(place)
            hidden.install(layer, place, contract)
        TAPS.reset(places)
        for step in range(STEPS):
            TAPS.step = witness = Witness(self._tokens)
            with watch_layers(witness, layers), watch_routers(witness, self._moe, self._streams):
                self._step() if chain is None else chain.run_varied(step)
            if TAPS.delivers:
                self._judge(proof, witness, places)

    def _judge(self, proof: Proof, witness: Witness, places: list[Place]) -> None:
        for place in places:
            if place.stream not in witness.wrong and (place.stream, place.layer) not in witness.said:
                witness.wrong[place.stream] = f"{place} did not pass its tap"
        proof.refused |= {stream: f"its taps do not say what the model computes: {why}" for stream, why in witness.wrong.items()}
        proof.written |= witness.written()
        for place in places:
            place.held = place.held and (place.stream, place.layer) not in proof.written
        shown = {layer.number: gating.shown_by(layer, witness.said) for layer in self._moe}
        proof.gating = {number: proof.gating.get(number) or rule for number, rule in shown.items()}

    def _step(self) -> None:
        """One step of vLLM's own for measuring memory: no cache, no attention, nothing compiled, nothing drawn."""
        further = {"skip_attn": True} if hasattr(self._runner, "input_buffers") else {}
        self._runner._dummy_run(self._tokens, is_profile=True, skip_eplb=True, **further)
