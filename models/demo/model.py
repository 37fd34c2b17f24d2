"""The demo model: Qwen3-MoE in the few lines that training needs.

The same function as transformers' `Qwen3MoeForCausalLM` (verify.py checks it), with the experts of a layer held as
three tensors and tokens sorted by expert, so that a step costs one grouped product per projection on a GPU and one
product per expert on a CPU.
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    experts: int
    top_k: int
    expert_width: int
    context: int
    rope_theta: float
    norm_epsilon: float


class RMSNorm(nn.Module):
    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


def rotary(shape: Shape, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin [length, head_dim], the two halves of a head rotated against each other."""
    inverse = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2, device=device).float() / shape.head_dim)
    angles = torch.outer(torch.arange(length, device=device).float(), inverse).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Attention(nn.Module):
    """Causal grouped-query attention; queries and keys are normalised per head before the rotation."""

    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.q_proj = nn.Linear(s.hidden, s.heads * s.head_dim, bias=False)
        self.k_proj = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.v_proj = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.o_proj = nn.Linear(s.heads * s.head_dim, s.hidden, bias=False)
        self.q_norm, self.k_norm = RMSNorm(s.head_dim, s.norm_epsilon), RMSNorm(s.head_dim, s.norm_epsilon)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.s.heads, self.s.head_dim)
        k = self.k_proj(x).view(batch, length, self.s.kv_heads, self.s.head_dim)
        v = self.v_proj(x).view(batch, length, self.s.kv_heads, self.s.head_dim).transpose(1, 2)
        q = rotate(self.q_norm(q).transpose(1, 2), cos, sin).to(v.dtype)
        k = rotate(self.k_norm(k).transpose(1, 2), cos, sin).to(v.dtype)
        group = self.s.heads // self.s.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


class Experts(nn.Module):
    """Softmax over all experts, the best k of them, their weights scaled to sum to one."""

    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.router = nn.Parameter(torch.empty(s.experts, s.hidden))
        self.gate = nn.Parameter(torch.empty(s.experts, s.expert_width, s.hidden))
        self.up = nn.Parameter(torch.empty(s.experts, s.expert_width, s.hidden))
        self.down = nn.Parameter(torch.empty(s.experts, s.hidden, s.expert_width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [tokens, hidden] -> output, router logits [tokens, experts], expert ids [tokens, k]."""
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(x.float(), self.router)
        weights, ids = logits.softmax(-1).topk(self.s.top_k, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        order = ids.flatten().argsort(stable=True)
        back = torch.empty_like(order).scatter_(0, order, torch.arange(order.numel(), device=order.device))
        sorted_x = x[order // self.s.top_k]
        counts = F.one_hot(ids.flatten(), self.s.experts).sum(0)
        y = grouped(sorted_x, counts, self.gate, self.up, self.down)
        y = y[back].view(x.shape[0], self.s.top_k, -1)
        return (y * weights.unsqueeze(-1)).sum(1), logits, ids


def grouped(x: Tensor, counts: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """SwiGLU of rows sorted by expert, `counts[e]` rows for expert e."""
    if x.is_cuda and torch.is_autocast_enabled("cuda"):
        ends = counts.cumsum(0, dtype=torch.int32)
        x, gate, up, down = (t.bfloat16() for t in (x, gate, up, down))
        inner = F.silu(grouped_product(x, gate, ends)) * grouped_product(x, up, ends)
        return grouped_product(inner, down, ends)
    parts = x.split(counts.tolist())
    return torch.cat([F.linear(F.silu(F.linear(part, g)) * F.linear(part, u), d)
                      for part, g, u, d in zip(parts, gate.unbind(), up.unbind(), down.unbind()) if len(part)])


def grouped_product(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    return torch._grouped_mm(x, weight.transpose(1, 2), offs=ends)


class Layer(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(s.hidden, s.norm_epsilon), Attention(s)
        self.expert_norm, self.experts = RMSNorm(s.hidden, s.norm_epsilon), Experts(s)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        y, logits, ids = self.experts(self.expert_norm(x).flatten(0, 1))
        return x + y.view_as(x), logits, ids


class DemoModel(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, shape.norm_epsilon)

    def initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                deviation = 0.02 if "embedding" in name or "router" in name else parameter.shape[-1] ** -0.5
                if name.endswith(("o_proj.weight", "down")):  # what is added to the residual stream starts small
                    deviation /= (2 * self.shape.layers) ** 0.5
                with torch.no_grad():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """tokens [batch, length] -> final hidden states, router logits [layers, tokens, experts], expert ids [layers, tokens, k]."""
        cos, sin = rotary(self.shape, tokens.shape[1], tokens.device)
        x = self.embedding(tokens)
        logits, ids = [], []
        for layer in self.layers:
            x, layer_logits, layer_ids = layer(x, cos, sin)
            logits.append(layer_logits)
            ids.append(layer_ids)
        return self.norm(x), torch.stack(logits), torch.stack(ids)

    def predict(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits; the embedding is tied."""
        return F.linear(hidden, self.embedding.weight)


def hugging_face_tensors(model: DemoModel) -> dict[str, Tensor]:
    """The parameters under the names and in the layout of a Qwen3-MoE checkpoint on the Hub."""
    tensors = {"model.embed_tokens.weight": model.embedding.weight, "model.norm.weight": model.norm.weight}
    for il, layer in enumerate(model.layers):
        name = f"model.layers.{il}."
        tensors[name + "input_layernorm.weight"] = layer.attention_norm.weight
        tensors[name + "post_attention_layernorm.weight"] = layer.expert_norm.weight
        for part in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"):
            tensors[f"{name}self_attn.{part}.weight"] = getattr(layer.attention, part).weight
        tensors[name + "mlp.gate.weight"] = layer.experts.router
        for part in ("gate", "up", "down"):
            for expert, weight in enumerate(getattr(layer.experts, part).unbind()):
                tensors[f"{name}mlp.experts.{expert}.{part}_proj.weight"] = weight
    return {name: tensor.detach() for name, tensor in tensors.items()}


def load_hugging_face_tensors(model: DemoModel, tensors: dict[str, Tensor]) -> None:
    """The inverse of hugging_face_tensors; every tensor must be there with its shape."""
    targets = hugging_face_tensors(model)
    if targets.keys() != tensors.keys():
        raise ValueError(f"the checkpoint's tensors differ from the model's: {sorted(targets.keys() ^ tensors.keys())[:4]}")
    for name, target in targets.items():
        if tensors[name].shape != target.shape:
            raise ValueError(f"{name} is {tuple(tensors[name].shape)}, the model needs {tuple(target.shape)}")
        target.copy_(tensors[name])
