"""A tiny Qwen3-VL-MoE with an image in its prompt, against Hugging Face transformers: python check_images.py"""

from __future__ import annotations

import harness
import torch


def main() -> None:
    from PIL import Image

    expected = harness.reference("qwen3_vl_moe")
    llm = harness.load(expected.checkpoint, limit_mm_per_prompt={"image": 1, "video": 0})
    image = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    text = "<|vision_start|><|image_pad|><|vision_end|>What is this?"
    prompts = [{"prompt": text, "multi_modal_data": {"image": image}}, list(range(20, 40))]
    got = harness.capture(llm, prompts, 4)

    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(expected.checkpoint)
    inputs = processor(text=[text], images=[image], return_tensors="pt")
    prompt = inputs["input_ids"][0].tolist()
    pad = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert prompt.count(pad) > 1, "the processor did not expand the image"
    tokens = [*prompt, *got.outputs[0][:-1]]
    assert got.samples[0]["token_id"].tolist() == tokens, "rows of image tokens carry another id"
    values = expected.values(tokens, pixel_values=inputs["pixel_values"], image_grid_thw=inputs["image_grid_thw"],
                             mm_token_type_ids=torch.tensor([[int(token == pad) for token in tokens]]))  # fmt: skip
    differences = harness.check_sample(got.samples[0], values, tokens, len(prompt), "image")
    plain = [*prompts[1], *got.outputs[1][:-1]]
    other = harness.check_sample(got.samples[1], expected.values(plain), plain, 20, "text beside it")
    blank = expected.values(tokens)["hidden_states.0"]
    assert (blank - got.samples[0]["hidden_states.0"]).abs().max() > 0.1, "the image made no difference"
    print(f"image: {prompt.count(pad)} image tokens of {len(prompt)}")
    harness.judge("qwen3_vl_moe with an image", harness.worst([differences, other]))


if __name__ == "__main__":
    main()
