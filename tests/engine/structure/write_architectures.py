"""Write a small model of random weights for each of llama.cpp's architectures that a description is enough for.

    python tests/engine/structure/write_architectures.py write FOLDER
    python tests/engine/structure/write_architectures.py discover LLAMA_LIBRARIES

For tests of what moescope finds in graphs; the values mean nothing. Descriptions are those of llama.cpp's
tests/test-llama-archs.cpp, made smaller. `discover` writes architectures.json beside this file, the tensors that each
description needs: llama.cpp itself tells them, by what it misses. Each is asked for in a process of its own, because
llama.cpp ends the process where a description does not fit. It takes minutes, and is to be done again for another
llama.cpp.
"""

import ctypes
import functools
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

TENSORS = Path(__file__).with_name("architectures.json")
TOKENIZER = Path(__file__).parents[3] / "fixtures" / "qwen3_moe.gguf"
EXPERTS, TOP_K = 6, 2

DENSE = """llama deci falcon gpt2 gptneox mpt baichuan starcoder refact bert modern-bert nomic-bert neo-bert
    jina-bert-v3 eurobert bloom stablelm qwen qwen2 qwen2vl qwen3 qwen3vl qwen35 phi2 phi3 plamo plamo3 codeshell
    orion internlm2 minicpm minicpm3 gemma gemma2 gemma3 gemma3n gemma4 gemma-embedding starcoder2 mamba mamba2 falcon-h1
    xverse command-r cohere2 olmo olmo2 muse-glimmer openelm chatglm glm4 bitnet t5encoder jais jais2 nemotron
    exaone exaone4 rwkv6qwen2 rwkv7 arwkv7 granite granitehybrid granite_swa plm arcee ernie4_5 hunyuan-dense
    hunyuan_vl smollm3 lfm2 seed_oss apertus cogvlm pangu-embedded mistral3 spark2_5 llama-embed maincoder talkie
    nanbeige jamba""".split()
MOE = """llama llama4 grok qwen2moe qwen3moe qwen3next qwen3vlmoe qwen35moe qwen4exp phimoe minicpm gemma4 maple jamba
    cohere2moe dbrx olmoe arctic deepseek deepseek2 deepseek32 deepseek4 glm4moe glm-dsa exaone-moe
    granitemoe granitehybrid granite_swa bailingmoe bailingmoe2 bailingmoe3 dots1 dots3note afmoe ernie4_5-moe
    hunyuan-moe hy_v3 hy_v4 gpt-oss lfm2moe smallthinker llada-moe grovemoe minimax-01 minimax-m2 minimax-m3 rnd1 mistral3
    mistral4 mimo2 step35 kimi-linear kimi-k3 mellum nomic-bert-moe""".split()

# Multi-head latent attention, whose sizes depend on each other.
MLA = "deepseek2 deepseek32 glm-dsa dots3note kimi-linear bailingmoe3 kimi-k3 mistral4 hy_v4".split()
HYBRID = "jamba granitehybrid lfm2 lfm2moe kimi-linear bailingmoe3 kimi-k3".split()
ALTERNATING = "cohere2moe mimo2 step35 spark2_5 muse-glimmer granite_swa dots3note maple".split()
NOT_CAUSAL = "bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert t5encoder gemma-embedding".split()


def description(arch: str, moe: bool) -> dict[str, object]:
    """Keys without the architecture's name in front; whole numbers stand for uint32, floats for float32."""
    embd, heads, ff, layers = 64, 2, 96, 4
    if arch == "gemma3n":
        embd, heads, ff, layers = 64, 1, 96, 22
    elif arch == "gemma4":
        layers = 5
    elif arch == "deepseek4":
        embd, heads, ff = 512, 8, 256
    elif arch == "step35":
        embd = 160
    elif arch in ("qwen3", "muse-glimmer", "afmoe"):
        heads = 4
    elif arch in MLA:
        embd, heads, ff = 128, 1, 192
    head = embd // heads
    per_layer = [0 if layer == 1 else heads for layer in range(layers)] if arch in HYBRID else heads
    keys: dict[str, object] = {
        "context_length": 512,
        "embedding_length": embd,
        "features_length": embd,
        "block_count": layers,
        "leading_dense_block_count": 1,
        "feed_forward_length": ff,
        "use_parallel_residual": arch == "gptneox",
        "logit_scale": 1.0,
        "time_mix_extra_dim": 32,
        "time_decay_extra_dim": 64,
        "full_attention_interval": 2,
        "attention.head_count": per_layer,
        "attention.head_count_kv": 1 if arch in ("deepseek4", "qwen3") else per_layer,
        "attention.max_alibi_bias": 8.0,
        "attention.clamp_kqv": 1.0,
        "attention.layer_norm_epsilon": 1e-5,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.group_norm_epsilon": 1e-5,
        "attention.group_norm_groups": 8,
        "attention.q_lora_rank": 64 if arch == "deepseek4" else 128,
        "attention.kv_lora_rank": 128,
        "attention.relative_buckets_count": 8,
        "attention.sliding_window": 64,
        "attention.sliding_window_pattern": [layer % 2 == 1 for layer in range(layers)] if arch in ALTERNATING else 2,
        "attention.causal": arch not in NOT_CAUSAL,
        "attention.indexer.head_count": heads if arch == "minimax-m3" else 64,
        "attention.indexer.key_length": head if arch == "qwen4exp" else 128,
        "attention.indexer.top_k": 131072,
        "attention.indexer.block_size": 4,
        "attention.indexer.local_blocks": 1,
        "rope.dimension_sections": [head // 4] * 4,
        "ssm.inner_size": 256 if arch in ("qwen3next", "qwen35", "qwen35moe", "qwen4exp") else 2 * embd,
        "ssm.conv_kernel": 4,
        "ssm.state_size": 128,
        "ssm.time_step_rank": heads,
        "ssm.group_count": 2,
        "kda.head_dim": 64,
        "kda.safe_gate": True,
        "kda.gate_lower_bound": -5.0,
        "wkv.head_size": head,
        "token_shift_count": 2,
        "rescale_every_n_layers": 0,
        "attention.decay_lora_rank": 32,
        "attention.iclr_lora_rank": 32,
        "attention.value_residual_mix_lora_rank": 32,
        "attention.gate_lora_rank": 32,
        "shortconv.l_cache": 3,
        "residual_scale": 3.5,
        "attn_res.block_size": 2,
        "activation.situ_beta": 4.0,
        "activation.situ_linear_beta": 25.0,
    }
    if arch == "deepseek4":
        keys |= {
            "attention.key_length": head,
            "attention.value_length": head,
            "rope.dimension_count": head // 2,
            "attention.output_group_count": 8,
            "attention.output_lora_rank": 32,
            "attention.compress_ratios": [0, 0, 4, 128],
            "attention.compress_rope_freq_base": 160000.0,
            "hyper_connection.count": 4,
            "hyper_connection.sinkhorn_iterations": 2,
            "hyper_connection.epsilon": 1e-6,
            "hash_layer_count": 2,
            "swiglu_clamp_exp": 10.0,
            "expert_weights_scale": 1.0,
            "expert_weights_norm": True,
        }
    if arch in MLA:
        keys |= {
            "attention.key_length": 192,
            "attention.value_length": 128,
            "rope.dimension_count": 64,
            "attention.key_length_mla": 128,
            "attention.value_length_mla": 64,
        }
    if arch == "dots3note":
        keys |= {
            "attention.kv_lora_rank_swa": 128,
            "attention.key_length_swa": 192,
            "attention.value_length_swa": 128,
            "attention.key_length_mla_swa": 128,
            "attention.value_length_mla_swa": 64,
            "rope.freq_base_swa": 10000.0,
        }
    if arch in ("dots3note", "hy_v4"):
        keys["attention.indexer.types"] = [0 if layer % 2 else 1 for layer in range(layers)]
    if arch == "minimax-m3":
        keys["rope.dimension_count"] = 32
    if arch == "gemma4":
        keys |= {
            "embedding_length_per_layer_input": 0 if moe else embd // 2,
            "attention.shared_kv_layers": 0,
            "attention.key_length": head,
            "attention.value_length": head,
            "attention.key_length_swa": head,
            "attention.value_length_swa": head,
            "rope.freq_base_swa": 10000.0,
            "attention.sliding_window_pattern": [layer % 5 != 4 for layer in range(layers)],
        }
    if arch == "qwen4exp":
        keys |= {
            "hyper_connection.count": 4,
            "hyper_connection.low_rank": 8,
            "attention.compress_ratios": [4] * layers,
        }
    if arch == "hy_v4":
        keys |= {
            "hyper_connection.count": 4,
            "hyper_connection.epsilon": 1e-6,
            "hyper_connection.magnitude": 2.0,
            "swiglu_clamp_exp": 10.0,
            "expert_weights_scale": 1.0,
            "expert_weights_norm": True,
        }
    if arch == "maple":
        keys["swiglu_clamp_exp"] = 7.0
    if arch == "bailingmoe3":
        keys |= {"swiglu_clamp_exp": [0.0] * 3 + [4.0], "swiglu_clamp_shexp": [0.0] * 3 + [5.0]}
    if moe:
        keys |= {
            "expert_feed_forward_length": 64,
            "expert_shared_feed_forward_length": 32,
            "expert_chunk_feed_forward_length": 32,
            "expert_latent_length": 64,
            "moe_latent_size": 64,
            "interleave_moe_layer_step": 2,
            "moe_every_n_layers": 2,
            "expert_count": EXPERTS,
            "expert_used_count": TOP_K,
            "expert_shared_count": 1,
            "expert_gating_func": 4 if arch == "deepseek4" else 2,
            "expert_group_scale": 1.0,
            "experts_per_group": 2,
        }
    return keys


Keys = list[tuple[str, object, GGUFValueType, GGUFValueType | None]]


@functools.cache
def tokenizer() -> GGUFReader:
    return GGUFReader(TOKENIZER)


def keys_of(arch: str, moe: bool) -> Keys:
    reader = tokenizer()
    keys: Keys = []
    for name, field in reader.fields.items():
        if name.startswith("tokenizer.") and name != "tokenizer.chat_template":
            kind = field.types[0]
            keys.append((name, field.contents(), kind, field.types[-1] if kind == GGUFValueType.ARRAY else None))
    vocabulary = len(reader.fields["tokenizer.ggml.tokens"].data)
    keys.append((f"{arch}.vocab_size", vocabulary, GGUFValueType.UINT32, None))
    keys.append(("tokenizer.ggml.token_type_count", 2, GGUFValueType.UINT32, None))
    for key, value in description(arch, moe).items():
        if isinstance(value, list):
            keys.append((f"{arch}.{key}", value, GGUFValueType.ARRAY, kind_of(value[0])))
        else:
            keys.append((f"{arch}.{key}", value, kind_of(value), None))
    if arch == "apertus":
        for key in ("alpha_n", "alpha_p", "beta", "eps"):
            keys.append((f"xielu.{key}", [1.0] * 4, GGUFValueType.ARRAY, GGUFValueType.FLOAT32))
    return keys


def kind_of(value: object) -> GGUFValueType:
    if isinstance(value, bool):
        return GGUFValueType.BOOL
    return GGUFValueType.UINT32 if isinstance(value, int) else GGUFValueType.FLOAT32


class Llama:
    """As much of llama.cpp as loads a model and says why it cannot."""

    def __init__(self, folder: Path) -> None:
        ctypes.CDLL(str(folder / "libggml-base.so"), ctypes.RTLD_GLOBAL)
        ggml = ctypes.CDLL(str(next(folder.glob("libggml.v*.so"))), ctypes.RTLD_GLOBAL)
        self.llama = ctypes.CDLL(str(next(folder.glob("libllama.v*.so"))))
        ggml.ggml_backend_load_all_from_path(str(folder).encode())
        self.lines: list[str] = []

        def log(_level: int, text: bytes, _: int) -> None:
            self.lines.append(text.decode(errors="replace"))

        self.log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(log)
        self.llama.llama_log_set(self.log, None)
        # llama_model_params, by value: six pointers, five numbers, six flags.
        params = type("ModelParams", (ctypes.Structure,), {"_fields_": [("words", ctypes.c_uint64 * 10)]})
        self.llama.llama_model_default_params.restype = params
        self.llama.llama_model_load_from_file.restype = ctypes.c_void_p
        self.llama.llama_model_load_from_file.argtypes = [ctypes.c_char_p, params]
        # llama_context_params, by value: less than this.
        context = type("ContextParams", (ctypes.Structure,), {"_fields_": [("words", ctypes.c_uint64 * 64)]})
        self.llama.llama_context_default_params.restype = context
        self.llama.llama_init_from_model.restype = ctypes.c_void_p
        self.llama.llama_init_from_model.argtypes = [ctypes.c_void_p, context]

    def refusal(self, path: Path) -> str | None:
        """Why a file cannot be loaded, or None."""
        self.lines.clear()
        model = self.llama.llama_model_load_from_file(str(path).encode(), self.llama.llama_model_default_params())
        if model:
            # The process ends here if the graph needs what loading did not miss.
            self.llama.llama_init_from_model(model, self.llama.llama_context_default_params())
            return None
        return next((line for line in self.lines if "error loading model" in line), "no reason was given").strip()


MISSING = re.compile(r"(?:missing tensor|tensor) '([^']+)'(?:$| not found)")
SHAPE = re.compile(r"tensor '([^']+)' has wrong shape; expected ([\d, ]+), got")


def write_model(path: Path, arch: str, keys: Keys, shapes: dict[str, tuple[int, ...]]) -> None:
    """Shapes as llama.cpp says them: fastest axis first."""
    writer = GGUFWriter(path, arch)
    for key, value, kind, sub in keys:
        writer.add_key_value(key, value, kind, sub)
    random = np.random.default_rng(0)
    for name, shape in shapes.items():
        slowest_first = tuple(reversed(shape))
        values = random.standard_normal(slowest_first, dtype=np.float32) * 0.1
        if "ssm_a" in name:
            values = -abs(values)
        if "tid2eid" in name:
            values = random.integers(0, EXPERTS, slowest_first, dtype=np.int32)
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def optional(arch: str, moe: bool) -> dict[str, tuple[int, ...]]:
    """Tensors that llama.cpp does not miss, and that make the model what it is."""
    keys = description(arch, moe)
    embd, layers = int(keys["embedding_length"]), int(keys["block_count"])
    router = {f"blk.{layer}.ffn_gate_inp.weight": (embd, EXPERTS) for layer in range(layers)}
    if not moe:
        return {}
    if arch == "jamba":
        return {name: shape for name, shape in router.items() if int(name.split(".")[1]) % 2}
    if arch == "hy_v3":
        router.pop("blk.0.ffn_gate_inp.weight")
    return router if arch in ("gemma4", "granitehybrid", "step35", "mimo2", "hy_v3") else {}


Shapes = dict[str, tuple[int, ...]]


def discover(arch: str, moe: bool, llama: Llama, target: Path) -> Shapes:
    """Add what llama.cpp misses, one by one, in the shape it expects."""
    keys = keys_of(arch, moe)
    shapes: Shapes = optional(arch, moe)
    for _ in range(1000):
        write_model(target, arch, keys, shapes)
        reason = llama.refusal(target)
        if reason is None:
            return shapes
        if missing := MISSING.search(reason):
            name = missing[1]
            # Mostly as in a layer before.
            alike = [other for other in shapes if re.sub(r"\d+", "", other) == re.sub(r"\d+", "", name)]
            shapes[name] = shapes[alike[-1]] if alike else (1,)
        elif wrong := SHAPE.search(reason):
            expected = [int(size) for size in wrong[2].split(",")]
            while len(expected) > 1 and expected[-1] == 1:
                expected.pop()
            shapes[wrong[1]] = tuple(expected)
        else:
            raise RuntimeError(reason)
    raise RuntimeError("llama.cpp is never content")


def folded(shapes: Shapes) -> dict[str, list[int]]:
    """`blk.0,1,2.attn_norm.weight` for layers that have a tensor in the same shape."""
    layers: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, shape in shapes.items():
        _, layer, part = (re.match(r"((?:enc\.)?blk\.)(\d+)(.*)", name) or re.match(r"(.*)()()", name)).groups()
        prefix = name[: len(name) - len(layer) - len(part)] if layer else name
        layers.setdefault((f"{prefix}*{part}" if layer else name, shape), []).append(layer)
    return {key.replace("*", ",".join(of)): list(shape) for (key, shape), of in layers.items()}


def unfolded(tensors: dict[str, list[int]]) -> Shapes:
    shapes: Shapes = {}
    for key, shape in tensors.items():
        numbers = re.search(r"blk\.([\d,]+)\.", key)
        for layer in numbers[1].split(",") if numbers else [""]:
            shapes[key.replace(numbers[1], layer, 1) if numbers else key] = tuple(shape)
    return shapes


def models() -> list[tuple[str, str, bool]]:
    return [
        *((arch, arch, False) for arch in DENSE),
        *((f"{arch}-moe" if arch in DENSE else arch, arch, True) for arch in MOE),
    ]


def discover_all(libraries: Path) -> None:
    found = {}
    for name, arch, moe in models():
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with tempfile.TemporaryDirectory() as folder, os.fdopen(writing, "w") as out:
                try:
                    json.dump(folded(discover(arch, moe, Llama(libraries), Path(folder) / "model.gguf")), out)
                except RuntimeError as error:
                    print(f"{name}: {error}", file=sys.stderr)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            tensors = answer.read()
        os.waitpid(child, 0)
        if tensors:
            found[name] = {"architecture": arch, "moe": moe, "tensors": json.loads(tensors)}
    lines = [f'"{name}": {json.dumps(model, separators=(",", ":"))}' for name, model in found.items()]
    TENSORS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def write_all(folder: Path) -> None:
    for name, model in json.loads(TENSORS.read_text()).items():
        arch, moe = model["architecture"], model["moe"]
        write_model(folder / f"{name}.gguf", arch, keys_of(arch, moe), unfolded(model["tensors"]))


command, path = sys.argv[1:]
{"discover": discover_all, "write": write_all}[command](Path(path))
