/** What stands under the options in each command's help. */
export const EXAMPLES = `
Examples:
  moescope demo                                        a small model, bundled
  moescope doctor                                      what works here
  moescope inspect model.gguf                          what the file says
  moescope capture model.gguf "The sky is"             which experts serve it
  moescope capture model.gguf --prompts texts.jsonl --out run1
  moescope profile model.gguf --prompts texts.jsonl    a corpus, keeping counts
  moescope analyze run1                                what a capture shows
  moescope report run1 -o report.html                  the same to share
  moescope compare run1 run2                           where routing differs
  moescope place model.gguf --profile run1 --vram 12GiB
  moescope serve model.gguf runs/                      all that in the browser`;

export const CAPTURE_EXAMPLES = `
Streams: router_logits, expert_ids, expert_weights (these three by default),
expert_outputs, shared_expert_output, hidden_states, attention, and
activation:<name> for the tensors that inspect --tensors lists.

TEXT and files can be combined. A .jsonl file has an object a line with prompt,
token_ids or messages, and optionally a label; a .json file may be a list of
them; other files have a prompt a line. Chats may have tools, documents,
chat_template_kwargs and continue_final_message beside their messages.

Examples:
  moescope capture model.gguf "The sky is" --max-tokens 20
  moescope capture hf:org/repo:Q4_K_M "The sky is"      downloads it once
  moescope capture model.gguf --chat "Why is the sky blue?" --max-tokens 100
  moescope capture model.gguf --chat "Hi" \\
    --chat-template-kwargs '{"enable_thinking": false}'
  moescope capture model.gguf --prompts texts.jsonl --out run1
  moescope capture model.gguf --token-ids ids.json --layers 0,2-5,-1 --json
  moescope capture model.gguf "def f(x):" --streams router_logits,hidden_states
  moescope capture model.gguf "def f(x):" --streams attention --select last=1
  moescope capture model.gguf "def f(x):" --streams activation:ffn_norm
  moescope capture model.gguf "def f(x):" --max-tokens 50 --select last=4
  moescope capture --resume run1                       after a kill or Ctrl-C`;

export const PROFILE_EXAMPLES = `
Examples:
  moescope profile model.gguf --prompts part1.jsonl --out a.json
  moescope profile --merge a.json b.json --out all.json`;

export const ANALYZE_EXAMPLES = `
Examples:
  moescope capture model.gguf --prompts texts.jsonl --out run1
  moescope analyze run1
  moescope analyze run1 --layer 3 --label math --label code
  moescope analyze run1 --json --full                  every number`;

export const COMPARE_EXAMPLES = `
A and B are capture folders, or models that run the same prompts one after the
other. Tokens are compared with the same token at the same position; models that
split the text into other tokens cannot be compared. With --engine vllm one of
them may be a .gguf file (or hf:, ollama:, lmstudio:), which llama.cpp runs.

Examples:
  moescope compare run1 run2
  moescope compare full.gguf q4.gguf --prompts texts.jsonl
  moescope compare full.gguf org/repo --engine vllm --prompts texts.jsonl
  moescope compare base.gguf tuned.gguf -- "The sky is" "Water is"
  moescope compare run1 --labels math,code      two labels of one capture
  moescope compare step1 step2 step3            checkpoints in their order`;

export const SERVE_EXAMPLES = `
A folder is a capture, or has captures in it; new ones go into the first that has.
Without a model and a folder the bundled demo model is served.

The server is for this machine only. Another --host needs a token, which is made
unless --token names one; programs send it as Authorization: Bearer TOKEN.

Examples:
  moescope serve                                       the demo model
  moescope serve model.gguf runs/
  moescope serve run1 run2 --no-open
  moescope serve model.gguf --host 0.0.0.0             for others, with a token`;

export const PLACE_EXAMPLES = `
Examples:
  moescope profile model.gguf --prompts texts.jsonl --out a.json
  moescope place model.gguf --profile a.json --vram 12GiB`;

export const EPLB_EXAMPLES = `
Replicas go to the busiest experts. Groups are n_group of DeepSeek's models.

Examples:
  moescope eplb run1 --ranks 8
  moescope eplb a.json --ranks 32 --nodes 4 --groups 8 --redundant 32
  moescope eplb run1 --ranks 8 --redundant 8 --out map.json    for SGLang`;

export const EXPORT_EXAMPLES = `
Formats:
  routed-experts  [token, layer, k] ids, as vLLM and SGLang return them
  expert-load     JSON [layers, experts], for SGLang's --init-expert-location
  usage-csv, usage-parquet    a line per layer, label and expert
  npy             every stream as numpy arrays [rows, layers, ...]

Examples:
  moescope export run1 --format npy -o arrays
  moescope export run1 --format usage-csv -o usage.csv`;
