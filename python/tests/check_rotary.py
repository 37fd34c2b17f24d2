"""vLLM 0.32's CPU kernel for rotary embeddings against its own formula in PyTorch: python check_rotary.py

The kernel takes a tensor's last dimension but one for its tokens and finds the heads in the last. That is right for
[token, heads * dim], contiguous or sliced, and wrong for [token, head, dim], which is what latent attention hands it: it then
rotates the first vectors in memory instead of the first of each token. When this check fails the kernel is mended, and
`check_architectures.py` can stop working around it.
"""

from __future__ import annotations

import torch

TOKENS, HEADS, DIM = 5, 4, 64
FIRST_POSITION = 3


def cos_sin() -> torch.Tensor:
    """[positions, DIM], as vLLM caches it."""
    inverse = 1.0 / 10000 ** (torch.arange(0, DIM, 2).float() / DIM)
    angles = torch.arange(256).float()[:, None] * inverse
    return torch.cat((angles.cos(), angles.sin()), -1)


def kernel_differs(query: torch.Tensor, key: torch.Tensor) -> tuple[bool, bool]:
    """Whether the kernel's query and key differ from the formula's. Both are rotated in place."""
    from vllm import _custom_ops
    from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding

    positions, cache = torch.arange(FIRST_POSITION, FIRST_POSITION + TOKENS), cos_sin()
    expected = RotaryEmbedding.forward_static(positions, query.clone(), key.clone(), DIM, DIM, cache, is_neox_style=False)
    _custom_ops.rotary_embedding(positions, query, key, DIM, cache, False)
    return tuple((got - right).abs().max().item() > 1e-5 for got, right in zip((query, key), expected, strict=True))


def main() -> None:
    from vllm.platforms import current_platform

    current_platform.import_kernels()
    torch.manual_seed(0)
    flat, heads, one = (TOKENS, HEADS * DIM), (TOKENS, HEADS, DIM), (TOKENS, 1, DIM)
    inside = torch.randn(TOKENS, 512 + DIM)[:, 512:]  # rotary keys lie behind the latent ones
    wide, keys = torch.randn(TOKENS, 32 + HEADS * DIM)[:, 32:], torch.randn(TOKENS, DIM)
    latent = torch.randn(TOKENS, HEADS, 128 + DIM)[..., 128:]
    cases = {
        "[token, heads * dim]": (kernel_differs(torch.randn(flat), keys), (False, False)),
        "[token, heads * dim], slices of wider rows": (kernel_differs(wide, inside), (False, False)),
        "[token, head, dim]": (kernel_differs(torch.randn(heads), torch.randn(one)), (True, False)),
        "[token, head, dim], slices, as latent attention has them": (kernel_differs(latent, inside.unsqueeze(1)), (True, True)),
    }
    for shape, ((query, key), expected) in cases.items():
        print(f"{shape}: query {'differs' if query else 'agrees'}, key {'differs' if key else 'agrees'}", flush=True)
        assert (query, key) == expected, f"{shape}: expected {expected}; is the kernel mended?"
    print("rotary: wrong for [token, head, dim] only", flush=True)


if __name__ == "__main__":
    main()
