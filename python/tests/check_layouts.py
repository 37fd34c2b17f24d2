"""Whether sources of vLLM hold every name the plugin builds on, with the parameters it knows: python check_layouts.py FOLDER ...

FOLDER: an unpacked wheel (`pip download --no-deps vllm==0.28.0`, `unzip`), which needs not be installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from moescope_vllm.layout import missing_in, read_package


def main() -> None:
    broken = False
    for folder in sys.argv[1:]:
        missing = missing_in(read_package(Path(folder)))
        print(f"{folder}: " + (f"lacks {', '.join(missing)}" if missing else "every name is there"))
        broken |= bool(missing)
    sys.exit(broken)


if __name__ == "__main__":
    main()
