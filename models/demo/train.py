"""Step 3: train, `work/model.safetensors` (bf16, Hugging Face names) and `work/training-log.jsonl`.

Runs on a GPU (bf16 products, compiled) or a CPU (fp32). A run that was stopped goes on from `work/checkpoint.pt`.
"""
import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from corpus import HERE
from model import DemoModel, Shape, hugging_face_tensors
from optimizer import optimizers, rate_factor
from tokens import BOS


class Batches:
    """Windows drawn at random from the domains' streams, each opened by <s> as at inference."""

    def __init__(self, arrays, domains: list[str], side: str, device: torch.device, seed: int):
        self.streams = [torch.from_numpy(arrays[f"{side}.{domain}"].astype(np.int64)).to(device) for domain in domains]
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, rows: list[int], length: int) -> Tensor:
        """[sum(rows), length]; `rows[d]` windows of domain d, in the order of the domains."""
        shares = iter(torch.rand(sum(rows), generator=self.generator).tolist())
        windows = []
        for stream, count in zip(self.streams, rows):
            starts = [int(next(shares) * (len(stream) - length)) for _ in range(count)]
            windows += [stream[start:start + length] for start in starts]
        batch = torch.stack(windows)
        batch[:, 0] = BOS
        return batch


def losses(model: DemoModel, tokens: Tensor, balance_weight: float, z_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Total loss, cross-entropy (nats a token) and load-balancing loss (1 is even)."""
    hidden, router_logits, ids = model(tokens)
    cross_entropy = F.cross_entropy(model.predict(hidden[:, :-1]).float().flatten(0, 1), tokens[:, 1:].flatten())
    experts, top_k = model.shape.experts, model.shape.top_k
    load = F.one_hot(ids, experts).float().sum(2).mean(1) / top_k
    balance = experts * (load * router_logits.softmax(-1).mean(1)).sum(-1).mean()
    z = router_logits.logsumexp(-1).square().mean()
    return cross_entropy + balance_weight * balance + z_weight * z, cross_entropy, balance


def train(recipe: dict, work: Path) -> None:
    settings, shape = recipe["training"], Shape(**recipe["model"])
    domains, rows = list(recipe["domains"]), [entry["rows"] for entry in recipe["domains"].values()]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    arrays = np.load(work / "tokens.npz")
    batches = Batches(arrays, domains, "train", device, settings["seed"])
    held_out = Batches(arrays, domains, "held_out", device, 0).draw([8] * len(domains), settings["length"])
    model = DemoModel(shape)
    model.initialise(settings["seed"])
    model.to(device)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}", flush=True)
    opts = optimizers(model, settings)
    bases = [group["lr"] for opt in opts for group in opt.param_groups]
    step = resume(work / "checkpoint.pt", model, opts, batches)
    compute = torch.compile(losses) if device.type == "cuda" else losses
    started, since = time.time(), step
    while step < settings["steps"]:
        factor = rate_factor(step, settings["steps"], settings["warm_up"], settings["decay"])
        for group, base in zip((group for opt in opts for group in opt.param_groups), bases):
            group["lr"] = base * factor
        tokens = batches.draw(rows, settings["length"])
        with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
            loss, cross_entropy, balance = compute(model, tokens, settings["balance_weight"], settings["z_weight"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        step += 1
        if step % settings["report_every"] == 0 or step == settings["steps"]:
            report(model, held_out, domains, work, dict(
                step=step, loss=round(cross_entropy.item(), 4), balance=round(balance.item(), 3),
                tokens_per_second=round((step - since) * tokens.numel() / (time.time() - started)), seconds=round(time.time() - started)))
        if step % settings["checkpoint_every"] == 0:
            save(work / "checkpoint.pt", model, opts, batches, step)
    export(model, work / "model.safetensors")


@torch.no_grad()
def report(model: DemoModel, held_out: Tensor, domains: list[str], work: Path, row: dict) -> None:
    """Append a line with the held-out loss of every domain (bits a token) on a few fixed windows."""
    row["held_out"] = {}
    for domain, windows in zip(domains, held_out.split(len(held_out) // len(domains))):
        hidden, _, _ = model(windows)
        nats = F.cross_entropy(model.predict(hidden[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        row["held_out"][domain] = round(nats.item() / math.log(2), 3)
    line = json.dumps(row)
    print(line, flush=True)
    with (work / "training-log.jsonl").open("a") as file:
        file.write(line + "\n")


def save(path: Path, model: DemoModel, opts: list, batches: Batches, step: int) -> None:
    torch.save({"step": step, "model": model.state_dict(), "optimizers": [opt.state_dict() for opt in opts],
                "generator": batches.generator.get_state()}, path)


def resume(path: Path, model: DemoModel, opts: list, batches: Batches) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location=next(model.parameters()).device)
    model.load_state_dict(state["model"])
    for opt, opt_state in zip(opts, state["optimizers"]):
        opt.load_state_dict(opt_state)
    batches.generator.set_state(state["generator"].cpu())
    return state["step"]


def export(model: DemoModel, path: Path) -> None:
    """Rounded to bf16 once, here: everything measured and published afterwards is these values."""
    save_file({name: tensor.bfloat16().cpu().contiguous() for name, tensor in hugging_face_tensors(model).items()}, path,
              metadata={"format": "pt"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--recipe", type=Path, default=HERE / "recipe.json")
    arguments = parser.parse_args()
    train(json.loads(arguments.recipe.read_text()), arguments.work)
