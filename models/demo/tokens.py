"""Step 2: one byte-level BPE for all domains, and the corpus as token ids, `work/tokenizer.json` and `work/tokens.npz`."""
import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from corpus import HERE, load

PAD, BOS, EOS = 0, 1, 2
SPECIAL = ["<pad>", "<s>", "</s>"]
SAMPLE_BYTES = 3_000_000  # a domain; the merges settle long before that


def build(recipe: dict, work: Path) -> None:
    if (work / "tokens.npz").exists():
        return
    corpora = {domain: load(work / "corpus" / f"{domain}.json.xz") for domain in recipe["domains"]}
    tokenizer = train_tokenizer(corpora, recipe["model"]["vocabulary"])
    tokenizer.save(str(work / "tokenizer.json"))
    arrays = {}
    for domain, corpus in corpora.items():
        for side in ("train", "held_out"):
            ids = tokenizer.encode_batch([text for _, text in corpus[side]], add_special_tokens=False)
            arrays[f"{side}.{domain}"] = np.concatenate([[BOS, *encoding.ids] for encoding in ids]).astype(np.uint16)
            arrays[f"{side}_bytes.{domain}"] = np.array([len(text.encode()) for _, text in corpus[side]])
        print(f"{domain}: {arrays[f'train.{domain}'].size / 1e6:.2f} M training tokens, "
              f"{arrays[f'train_bytes.{domain}'].sum() / arrays[f'train.{domain}'].size:.2f} bytes a token", flush=True)
    np.savez(work / "tokens.npz", **arrays)


def train_tokenizer(corpora: dict, vocabulary: int) -> Tokenizer:
    """GPT-2's pre-tokeniser, so that transformers and llama.cpp (`tokenizer.ggml.pre = gpt-2`) cut alike."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(sample(corpora), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", BOS)])
    return tokenizer


def sample(corpora: dict):
    """The same number of bytes of every domain, spread over its documents."""
    for corpus in corpora.values():
        texts = [text for _, text in corpus["train"]]
        share = SAMPLE_BYTES / sum(len(text) for text in texts)
        yield from (text[: max(200, int(share * len(text)))] for text in texts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    build(json.loads((HERE / "recipe.json").read_text()), parser.parse_args().work)
