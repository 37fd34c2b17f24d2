#!/bin/bash
# Everything at once on a GPU host with vLLM: bench/vllm/run.sh OUT. PYTHON names the interpreter (default python3).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
python=${PYTHON:-python3}
mkdir -p "$out"
rows=$(mktemp --suffix=.safetensors)
trap 'rm -f "$rows"' EXIT
"$python" "$here/speed.py" plugin --rows "$rows" 2>"$out/plugin.err" | tee "$out/plugin.log"
"$python" "$here/speed.py" plugin --streams router_logits,expert_ids,expert_weights 2>"$out/routing.err" | tee "$out/routing.log"
"$python" "$here/speed.py" bare 2>"$out/bare.err" | tee "$out/bare.log"
"$python" "$here/speed.py" eager --runs 2 --modes none --rows "$rows" 2>"$out/eager.err" | tee "$out/eager.log"
if (($(nvidia-smi -L | wc -l) > 1)); then
  "$python" "$here/speed.py" plugin --tensor-parallel-size 2 --runs 3 2>"$out/tensor.err" | tee "$out/tensor.log"
else
  : >"$out/tensor.log"
fi
"$python" "$here/compare.py" "$out"/{plugin,routing,bare,eager,tensor}.log | tee "$out/table.md"
