#!/bin/bash
# Every check that runs vLLM, on GPUs, against Hugging Face transformers: python/tests/check_gpu.sh OUT. Each is a process of its own; all
# JOBS (default 24) run at once, each with about 3 GB of memory and 2 GB of a GPU. PYTHON names the interpreter (default python3),
# MOESCOPE_CHECK_ARGUMENTS further engine arguments as JSON.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
python=${PYTHON:-python3}
gpus=$(nvidia-smi -L | wc -l)
graphs='"enforce_eager":false,"compilation_config":{"cudagraph_capture_sizes":[1,2,4,8,16,32]}'
mkdir -p "$out"
rm -f "$out"/*.log "$out/failed"
number=0

check() { # NAME SCRIPT [ARGUMENT ...]: on one GPU, the next
  on $((number++ % gpus)) "$@"
}
on() { # GPUS NAME SCRIPT [ARGUMENT ...]
  local where=$1 name=$2
  shift 2
  while (($(jobs -rp | wc -l) >= ${JOBS:-24})); do wait -n || true; done
  (CUDA_VISIBLE_DEVICES=$where "$python" "$here/$1" "${@:2}" >"$out/$name.log" 2>&1 || echo "$name" >>"$out/failed") &
}

# Arctic is in vLLM up to 0.28; families of newer transformers or vLLM may be missing from an older one: their logs say so.
for family in mixtral qwen2_moe qwen3_moe qwen3_vl_moe dbrx ernie4_5_moe glm4_moe olmoe arctic granitemoe granitemoe_shared llama4 lfm2_moe \
  afmoe cohere2_moe exaone_moe gemma4 laguna flex_olmo mellum hunyuan_moe dots1 exaone4; do
  check $family check_architectures.py $family
  check $family+graphs check_architectures.py $family+compiled
done
check split-experts check_split_experts.py
check mutants check_mutants.py
# Latent attention on a GPU computes in half precision only; without it the same model runs in float32.
for family in deepseek_v2 longcat_flash; do
  VLLM_MLA_DISABLE=1 check $family check_architectures.py $family
  VLLM_MLA_DISABLE=1 check $family+graphs check_architectures.py $family+compiled
done
check images check_images.py
check batching check_batching.py
check batching+graphs check_batching.py "{$graphs}"
VLLM_USE_V2_MODEL_RUNNER=1 check batching-second-runner+graphs check_batching.py "{$graphs}"
if ((gpus > 1)); then
  on 0,1 tensor check_batching.py '{"tensor_parallel_size":2}'
  on 0,1 tensor+graphs check_batching.py "{\"tensor_parallel_size\":2,$graphs}"
  on 0,1 expert+graphs check_batching.py "{\"tensor_parallel_size\":2,\"enable_expert_parallel\":true,$graphs}"
  on 0,1 worker-tensor check_worker.py 2 1
  on 0,1 worker-pipeline check_worker.py 1 2
  on 0,1 server-data check_server.py --data-parallel-size 2
  on 0,1 server-data-expert check_server.py --data-parallel-size 2 --enable-expert-parallel
fi
wait
grep -hE "(router_logits|hidden_states) [0-9]|own capture|when it was loaded|^parent killed|^[a-z ]+: all (good|caught)" "$out"/*.log
if [[ -e $out/failed ]]; then
  echo "failed: $(tr '\n' ' ' <"$out/failed")"
  exit 1
fi
