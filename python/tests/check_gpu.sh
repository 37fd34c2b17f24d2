#!/bin/bash
# Every check that runs vLLM, on GPUs, against Hugging Face transformers: python/tests/check_gpu.sh OUT [SET]. SET: `some` (default: what
# GPUs do otherwise than CPUs, and families of every kind), `all` (every family), `parallel` (what takes two GPUs, a part of both sets).
# Says one line a check as it ends, and ends with 1 where one failed; what each said is in OUT. A family that this vLLM or transformers
# does not have is "not there", which is no failure.
#
# PYTHON: the interpreter (default python3), with vLLM. JOBS: checks at a time (default 24), each with about 3 GB of memory and 2 GB of a GPU.
# LIMIT: seconds for each (default 400). MOESCOPE_CHECK_ARGUMENTS: further engine arguments as JSON, e.g. '{"attention_backend":"TRITON_ATTN"}'.
# Needs of the repository: python/ and fixtures/ (their .py and .json files). No network.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
set=${2:-some}
python=${PYTHON:-python3}
gpus=$(nvidia-smi -L | grep -c '^GPU')
graphs='"enforce_eager":false,"compilation_config":{"cudagraph_capture_sizes":[1,2,4,8,16,32]}'
not_there=77
mkdir -p "$out"
rm -f "$out"/*.log "$out/failed"
number=0

check() { # NAME SCRIPT [ARGUMENT ...]: on one GPU, the next
  on $((number++ % gpus)) "$@"
}
on() { # GPUS NAME SCRIPT [ARGUMENT ...]
  while (($(jobs -rp | wc -l) >= ${JOBS:-24})); do wait -n || true; done
  run "$@" &
}
run() { # GPUS NAME SCRIPT [ARGUMENT ...]
  local where=$1 name=$2 script=$3 started=$SECONDS status=0
  shift 3
  CUDA_VISIBLE_DEVICES=$where timeout -k 10 "${LIMIT:-400}" "$python" "$here/$script" "$@" >"$out/$name.log" 2>&1 || status=$?
  local took=$((SECONDS - started))
  case $status in
    0) echo "ok         $name, $took s" ;;
    "$not_there") echo "not there  $name: $(grep -h 'is not there' "$out/$name.log" | tail -n 1)" ;;
    124 | 137) echo "$name" >>"$out/failed" && echo "FAILED     $name: not done after $took s" ;;
    *) echo "$name" >>"$out/failed" && echo "FAILED     $name, $took s: $(grep -hE '^[A-Za-z_.]*(Error|Exception)' "$out/$name.log" | tail -n 1 | cut -c1-200)" ;;
  esac
}

families() { # FAMILY ...: each eagerly, and with CUDA graphs
  for family in "$@"; do
    check "$family" check_architectures.py "$family"
    check "$family+graphs" check_architectures.py "$family+compiled"
  done
}

parallel() {
  if ((gpus < 2)); then
    echo "left out   what takes two GPUs"
    return
  fi
  on 0,1 tensor+graphs check_batching.py "{\"tensor_parallel_size\":2,$graphs}"
  on 0,1 expert+graphs check_batching.py "{\"tensor_parallel_size\":2,\"enable_expert_parallel\":true,$graphs}"
  on 0,1 tensor-mtp+graphs check_speculation.py mtp "{\"tensor_parallel_size\":2,$graphs}"
  on 0,1 worker-tensor check_worker.py 2 1
  on 0,1 worker-pipeline check_worker.py 1 2
  on 0,1 server-data check_server.py --data-parallel-size 2
  on 0,1 server-data-expert check_server.py --data-parallel-size 2 --enable-expert-parallel
}

everything_else() {
  check mutants check_mutants.py
  check split-experts check_split_experts.py
  check pooling check_pooling.py
  check images check_images.py
  check worker check_worker.py
  check server check_server.py
  check batching check_batching.py
  # The second runner is the default from 0.32 on.
  VLLM_USE_V2_MODEL_RUNNER=0 check batching-first-runner+graphs check_batching.py "{$graphs}"
  VLLM_USE_V2_MODEL_RUNNER=1 check batching-second-runner+graphs check_batching.py "{$graphs}"
  for method in ngram draft mtp eagle; do
    check "$method+graphs" check_speculation.py "$method" "{$graphs}"
  done
  # Latent attention on a GPU computes in half precision only; without it the same model runs in float32.
  for family in deepseek_v2 longcat_flash; do
    VLLM_MLA_DISABLE=1 check "$family+graphs" check_architectures.py "$family+compiled"
  done
}

# What takes longest first.
case $set in
  some)
    parallel
    everything_else
    families qwen3_moe llama4 granitemoe_hybrid
    for family in mixtral phimoe cohere2_moe qwen3_vl_moe dbrx arctic gemma4 flex_olmo hunyuan_moe exaone4; do
      check "$family+graphs" check_architectures.py "$family+compiled"
    done
    ;;
  all)
    parallel
    everything_else
    # Arctic is in vLLM up to 0.28.
    families mixtral qwen2_moe qwen3_moe qwen3_vl_moe dbrx ernie4_5_moe glm4_moe olmoe arctic granitemoe granitemoe_shared granitemoe_hybrid \
      phimoe llama4 lfm2_moe afmoe cohere2_moe exaone_moe gemma4 laguna flex_olmo mellum hunyuan_moe dots1 exaone4
    ;;
  parallel) parallel ;;
  *) echo "there is no set $set: some, all, parallel" >&2 && exit 2 ;;
esac
wait
grep -hE "^[^ ]+.*: .*(router_logits|hidden_states|vector) [0-9]|own capture|when it was loaded|^[a-z ]+: all " "$out"/*.log >"$out/values.txt"
if [[ -e $out/failed ]]; then
  echo "failed: $(tr '\n' ' ' <"$out/failed")"
  exit 1
fi
echo "all good on $gpus GPU(s) in $SECONDS s: $("$python" -c 'import vllm; print("vLLM", vllm.__version__)' 2>/dev/null | tail -n 1)"
