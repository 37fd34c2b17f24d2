"""Step 5: what the published weights do on held-out text, `metrics.json`.

Everything is computed from demo-moe.gguf (its bf16 values, in fp32 arithmetic):
- bits per byte of every held-out document, in pieces of the context length, each opened by <s>;
- load per layer over equally many windows of every domain: the coefficient of variation (unbiased standard
  deviation / mean) and max/mean of the experts' counts, and the same within each domain;
- domain recovery: a 128-token text's usage vector (layers x experts, share of its tokens that chose the expert)
  is given the domain of the nearest centroid, centroids from training windows, tested on held-out ones.
"""
import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFReader
from torch import Tensor

from corpus import HERE
from model import DemoModel, Shape, load_hugging_face_tensors
from to_hf import checkpoint_tensors
from tokens import BOS

WINDOW = 128  # tokens, <s> among them
CENTROID_WINDOWS, TEST_WINDOWS = 300, 600  # a domain at most
BATCH_TOKENS = 8192


def load_model(gguf_path: Path, shape: Shape) -> DemoModel:
    reader = GGUFReader(gguf_path)
    field = {name: value.contents() for name, value in reader.fields.items()}
    bits = checkpoint_tensors(reader, field)
    model = DemoModel(shape).eval()
    load_hugging_face_tensors(model, {name: torch.from_numpy(value.astype(np.int16).copy()).view(torch.bfloat16).float()
                                      for name, value in bits.items()})
    return model


def documents(stream: np.ndarray) -> list[np.ndarray]:
    """The token ids of each document, without the <s> that opens it."""
    starts = np.flatnonzero(stream == BOS)
    return [piece[1:] for piece in np.split(stream, starts[1:])]


def pieces(stream: np.ndarray, length: int, whole: bool) -> list[np.ndarray]:
    """Every document cut into `length` tokens, <s> counted; `whole` drops the shorter rests."""
    cut = (document[at:at + length - 1] for document in documents(stream) for at in range(0, len(document), length - 1))
    return [np.concatenate([[BOS], piece]) for piece in cut if len(piece) == length - 1 or not whole]


@torch.no_grad()
def bits_per_byte(model: DemoModel, stream: np.ndarray, size: int) -> float:
    nats = 0.0
    parts = sorted(pieces(stream, model.shape.context, whole=False), key=len)
    while parts:
        length = len(parts[-1])
        batch, parts = parts[-max(1, BATCH_TOKENS // length):], parts[:-max(1, BATCH_TOKENS // length)]
        tokens = torch.zeros(len(batch), length, dtype=torch.long)  # filled up at the right, where nothing looks at it
        counted = torch.zeros(len(batch), length, dtype=torch.bool)
        for row, piece in enumerate(batch):
            tokens[row, :len(piece)], counted[row, 1:len(piece)] = torch.from_numpy(piece.astype(np.int64)), True
        hidden, _, _ = model(tokens)
        losses = F.cross_entropy(model.predict(hidden[:, :-1]).mT, tokens[:, 1:], reduction="none")
        nats += losses[counted[:, 1:]].sum().item()
    return nats / math.log(2) / size


@torch.no_grad()
def usage(model: DemoModel, stream: np.ndarray, most: int, seed: int) -> Tensor:
    """[windows, layers, experts]: the share of a window's tokens that chose each expert, from windows drawn over all documents."""
    windows = pieces(stream, WINDOW, whole=True)
    chosen = np.random.default_rng(seed).permutation(len(windows))[:most]
    shares = []
    for part in torch.from_numpy(np.stack([windows[at] for at in sorted(chosen)]).astype(np.int64)).split(BATCH_TOKENS // WINDOW):
        _, _, ids = model(part)
        layers, tokens, _ = ids.shape
        counts = F.one_hot(ids, model.shape.experts).sum(2).view(layers, len(part), WINDOW, -1).float().mean(2)
        shares.append(counts.transpose(0, 1))
    return torch.cat(shares)


def balance(loads: Tensor) -> dict[str, list[float]]:
    """Of [layers, experts]."""
    return {"cv": rounded(loads.std(1) / loads.mean(1)), "max_over_mean": rounded(loads.amax(1) / loads.mean(1)),
            "min_over_mean": rounded(loads.amin(1) / loads.mean(1))}


def rounded(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


def recovery(centroids: Tensor, tests: dict[str, Tensor]) -> dict:
    """Accuracy over all test windows, and row by true domain the counts of the domains given."""
    domains = list(tests)
    confusion = {}
    for domain, vectors in tests.items():
        nearest = torch.cdist(vectors.flatten(1), centroids.flatten(1)).argmin(1)
        confusion[domain] = dict(zip(domains, torch.bincount(nearest, minlength=len(domains)).tolist()))
    right, total = sum(confusion[d][d] for d in domains), sum(len(vectors) for vectors in tests.values())
    return {"window_tokens": WINDOW, "centroids_from": "training windows", "windows": total, "accuracy": round(right / total, 4),
            "accuracy_by_domain": {d: round(confusion[d][d] / len(tests[d]), 4) for d in domains}, "confusion": confusion}


def evaluate(recipe: dict, work: Path, gguf_path: Path) -> dict:
    model = load_model(gguf_path, Shape(**recipe["model"]))
    arrays, domains = np.load(work / "tokens.npz"), list(recipe["domains"])
    held_out = {domain: arrays[f"held_out.{domain}"] for domain in domains}
    sizes = {domain: int(arrays[f"held_out_bytes.{domain}"].sum()) for domain in domains}
    tests = {domain: usage(model, held_out[domain], TEST_WINDOWS, 0) for domain in domains}
    centroids = torch.stack([usage(model, arrays[f"train.{domain}"], CENTROID_WINDOWS, 1).mean(0) for domain in domains])
    loads = {domain: vectors.mean(0) for domain, vectors in tests.items()}
    together = torch.stack(list(loads.values())).mean(0)
    found = recovery(centroids, tests)
    print(f"domain recovery {found['accuracy']:.2%} of {found['windows']} texts of {WINDOW} tokens", flush=True)
    bits = {}
    for domain in domains:
        bits[domain] = round(bits_per_byte(model, held_out[domain], sizes[domain]), 4)
        print(f"{domain}: {bits[domain]:.3f} bits per byte of {sizes[domain]:,} held-out bytes", flush=True)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "gguf_bytes": gguf_path.stat().st_size,
        "bits_per_byte": bits, "held_out_bytes": sizes,
        "load_balance": {"windows_a_domain_at_most": TEST_WINDOWS, "all_domains": balance(together),
                         "within_domain_cv": {domain: rounded(load.std(1) / load.mean(1)) for domain, load in loads.items()}},
        "domain_recovery": found,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--gguf", type=Path, default=HERE / "demo-moe.gguf")
    parser.add_argument("--out", type=Path, default=HERE / "metrics.json")
    arguments = parser.parse_args()
    metrics = evaluate(json.loads((HERE / "recipe.json").read_text()), arguments.work, arguments.gguf)
    arguments.out.write_text(json.dumps(metrics, indent=2) + "\n")
