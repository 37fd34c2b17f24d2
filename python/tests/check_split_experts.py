"""ERNIE-4.5-VL, whose text and image tokens have experts of their own, in one batch, against Hugging Face transformers.

usage: python check_split_experts.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cpu_stand_ins
import harness
import results
import tiny_ernie_vl
import torch
import transformers

GENERATED = 4


def main() -> None:
    from PIL import Image

    checkpoint = Path(harness.FOLDER.name) / "ernie_vl"
    model = tiny_ernie_vl.build(checkpoint)
    if not torch.cuda.is_available():
        cpu_stand_ins.install("ernie4_5_vl_moe")
    llm = harness.load(checkpoint, trust_remote_code=True, limit_mm_per_prompt={"image": 1, "video": 0}, max_num_batched_tokens=128)
    (info,) = llm.collective_rpc("moescope_info")
    assert info["refused"] == {} and info["moe"][0]["experts"] == 2 * tiny_ernie_vl.EXPERTS, info
    image = Image.radial_gradient("L").resize((56, 56)).convert("RGB")
    text = "<|IMAGE_START|><|image@placeholder|><|IMAGE_END|>What is this?"
    with_image = {"prompt": text, "multi_modal_data": {"image": image}}
    prompts = [with_image, list(range(20, 50)), with_image, list(range(60, 80))]
    pixels = pixels_of(checkpoint, image)

    def compare(number: int, sample: Any, output: list[int]) -> dict[str, float]:
        prompt = prompt_of(prompts[number], pixels)
        tokens = [*prompt, *output[:-1]]
        inputs = pixels if isinstance(prompts[number], dict) else {}
        return harness.check_sample(sample, tiny_ernie_vl.values(model, tokens, **inputs), tokens, len(prompt), f"sample {number}")

    got = harness.capture(llm, prompts, GENERATED)
    differences = harness.worst([compare(number, *pair) for number, pair in enumerate(zip(got.samples, got.outputs, strict=True))])
    harness.judge("ernie4_5_vl_moe with images in the batch", differences)
    ids, patches = got.samples[0]["expert_ids.1"].int(), got.samples[0]["token_id"] == tiny_ernie_vl.PATCH
    assert (ids[patches] >= tiny_ernie_vl.EXPERTS).all(), "image tokens went to experts of text"
    assert (got.samples[1]["expert_ids.1"].int() < tiny_ernie_vl.EXPERTS).all(), "text tokens went to experts of images"

    # Requests that nobody captures share the batch: their rows are nobody's.
    for number in (1, 2):
        alone = harness.capture(llm, prompts, GENERATED, only=[number])
        harness.judge(f"only request {number} captured", compare(number, alone.samples[0], alone.outputs[number]))
    results.proven(tiny_ernie_vl.FAMILY.architecture, tiny_ernie_vl.FAMILY.name, {**differences, "expert_ids": 0.0},
                   f"transformers {transformers.__version__} {tiny_ernie_vl.FAMILY.model_class}")  # fmt: skip
    print("split experts: all good", flush=True)


def pixels_of(checkpoint: Path, image: Any) -> dict[str, torch.Tensor]:
    """Of transformers' own model: normalised, as vLLM normalises them after the processor."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint, trust_remote_code=True)
    patches, grid = processor.patches(image)
    return {"pixel_values": patches.float() / 255 / 0.5 - 1, "image_grid_thw": torch.tensor([grid])}


def prompt_of(prompt: Any, pixels: dict[str, torch.Tensor]) -> list[int]:
    if not isinstance(prompt, dict):
        return prompt
    import byte_bpe

    tokens = int(pixels["image_grid_thw"].prod()) // 4
    return [tiny_ernie_vl.START, *[tiny_ernie_vl.PATCH] * tokens, tiny_ernie_vl.END, *byte_bpe.train().encode("What is this?").ids]


if __name__ == "__main__":
    main()
