"""Models whose experts are quantised, against Hugging Face transformers with the values they stand for.

usage: python check_quantized.py [fp8|gptq|awq|mxfp4 ...]
For CPUs. The quantised kernels are PyTorch formulas (`cpu_stand_ins.py`), because vLLM's need AMX; all around them is vLLM's own.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from pathlib import Path
from typing import Any

import cpu_stand_ins
import harness
import quantized
import torch
from safetensors.torch import load_file, save_file

PROMPTS = [[(7 * i) % 250 + 20 for i in range(90)], list(range(100, 130)), list(range(30, 35))]
GENERATED = 6


def build(scheme: quantized.Scheme, checkpoint: Path) -> harness.Reference:
    """A model saved with quantised experts; the reference has the experts' values in their place."""
    import byte_bpe
    import checkpoints
    import make_fixtures
    import reference as run_reference
    import transformers
    import weights

    transformers.logging.set_verbosity_error()
    family = checkpoints.family_of(scheme.family)

    def wide() -> Any:
        """As wide as the formats' blocks."""
        config = family.config()
        config.hidden_size = config.intermediate_size = config.moe_intermediate_size = quantized.BLOCK
        return config

    dtype = getattr(torch, scheme.dtype)
    model = weights.build(dataclasses.replace(family, config=wide), 0).to(dtype).float()
    make_fixtures.save_checkpoint(family, model, byte_bpe.train(), checkpoint)
    path = checkpoint / "model.safetensors"
    stored: dict[str, torch.Tensor] = {}
    values: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(path).items():
        expert = scheme.experts.fullmatch(name)
        if expert is None:
            stored[name] = values[name] = tensor.to(dtype)
        else:
            parts, values[name] = scheme.store(tensor)
            stored |= {expert[1] + part: value for part, value in parts.items()}
    assert len(stored) > len(values), "nothing was quantised"
    save(values, path)
    read = (
        getattr(transformers, family.model_class).from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
    )
    save(stored, path)
    checkpoints.edit(checkpoint / "config.json", dtype=scheme.dtype, quantization_config=scheme.settings)
    return harness.Reference(checkpoint, lambda tokens: run_reference.run(family, read, tokens).tensors)


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata={"format": "pt"})


def compare(got: harness.Sample, expected: dict[str, torch.Tensor], near: float, what: str) -> dict[str, float]:
    """What 95 % of the values differ by at most. In half precision a few rows get other experts than the reference's, as good ones by
    its logits; from there on they differ, and a little the rows that attend to them."""
    layers = [name.partition(".")[2] for name in got if name.startswith("router_logits")]
    alike = torch.ones(len(got["position"]), dtype=torch.bool)
    for layer in layers:
        ids, logits = got[f"expert_ids.{layer}"].long(), expected[f"router_logits.{layer}"]
        last = logits.topk(ids.shape[1]).values[:, -1]
        best = logits.gather(1, ids).min(1).values >= last - near
        assert best[alike].float().mean() > 0.95, f"{what}: experts of layer {layer} are not the best"
        alike &= (ids.sort(-1).values == expected[f"expert_ids.{layer}"].long().sort(-1).values).all(-1)
    assert alike.float().mean() > 0.8, f"{what}: the same experts in {alike.sum()} of {len(alike)} rows only"
    return {
        stream: max(
            (got[f"{stream}.{layer}"].float() - expected[f"{stream}.{layer}"])[alike].abs().quantile(0.95).item() for layer in layers
        )
        for stream in ("router_logits", "hidden_states")
    }


def check(name: str) -> None:
    scheme = quantized.SCHEMES[name]
    cpu_stand_ins.install_quantized()
    expected = build(scheme, Path(harness.FOLDER.name) / name)
    llm = harness.load(expected.checkpoint, dtype=scheme.dtype)
    try:
        got = harness.capture(llm, PROMPTS, GENERATED)
        differences = []
        for number, (prompt, sample, output) in enumerate(zip(PROMPTS, got.samples, got.outputs, strict=True)):
            tokens, what = [*prompt, *output[:-1]], f"{name} sample {number}"
            harness.check_labels(sample, tokens, len(prompt), what)
            assert "expert_weights.0" in sample, f"{what}: weights of experts were not captured"
            differences.append(compare(sample, expected.values(tokens), scheme.near, what))
        harness.judge(name, harness.worst(differences), scheme.near)
    finally:
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()


def main() -> None:
    for name in sys.argv[1:] or quantized.SCHEMES:
        check(name)
    print("quantized: all good", flush=True)


if __name__ == "__main__":
    main()
