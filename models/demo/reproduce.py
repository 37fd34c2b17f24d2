#!/usr/bin/env python3
"""Make the demo model from nothing: packages, tokenizer, training, GGUF, evaluation, prompts, data sheet.

usage: python models/demo/reproduce.py

Needs requirements.txt, and apt-get (Debian 12), npm and pip with their registries. Steps whose output is in `work/`
already are skipped, and training goes on from its last checkpoint; delete `work/` to begin anew. The results replace
those beside this file, so `git diff --stat` shows what came out differently.
"""
import argparse
import json
import shutil
from pathlib import Path

import corpus
import datasheet
import evaluate
import prompts
import to_gguf
import tokens
import train
import verify
from model import Shape

HERE = Path(__file__).resolve().parent


def reproduce(work: Path) -> None:
    recipe = json.loads((HERE / "recipe.json").read_text())
    difference = verify.largest_difference(Shape(**recipe["model"]))
    if difference > verify.TOLERANCE:
        raise RuntimeError(f"model.py differs from transformers by {difference:.1e} in a logit")
    corpus.build(recipe, work)
    tokens.build(recipe, work)
    if not (work / "model.safetensors").exists():
        train.train(recipe, work)
    shutil.copyfile(work / "training-log.jsonl", HERE / "training-log.jsonl")
    to_gguf.build(recipe, work, HERE / "demo-moe.gguf")
    metrics = evaluate.evaluate(recipe, work, HERE / "demo-moe.gguf")
    (HERE / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    prompts.build(recipe, work, HERE / "prompts.jsonl")
    datasheet.update(recipe, work, HERE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    reproduce(parser.parse_args().work)
