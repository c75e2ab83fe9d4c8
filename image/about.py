"""Say what this image is, whether this machine can train with it, and what to do.

The default command: `docker run IMAGE`. The facts are those that the build measured.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

FACTS = Path(__file__).with_name("facts.json")
USE = """\
Train (mount the folder with your job, data and model; what is written belongs to you):
  docker run --rm --init{gpus} --shm-size 2g --user "$(id -u):$(id -g)" \\
    -v "$PWD:/workspace" IMAGE trainbox train JOB.yaml
On a machine with Docker, `trainbox train` of a clone does this by itself, without a network.

In a rented pod (the pod is this image, and has no Docker):
  start command `sleep infinity`, volume at /workspace, as root; then, in the pod's terminal,
  cd /workspace && trainbox train JOB.yaml; after a stop the same command goes on

This machine alone: env-check.  All commands: trainbox --help
"""


def main() -> int:
    """Print it; return 0 also where the machine cannot train: the text says why."""
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    print(describe(facts, os.environ.get("TRAINBOX_VARIANT", "unknown")), flush=True)
    subprocess.run([sys.executable, "-m", "env_check"], check=False)
    print("\n" + USE.format(gpus=" --gpus all" if facts["cuda"] else ""), end="")
    return 0


def describe(facts: dict[str, Any], variant: str) -> str:
    """Return version, variant, stack, and what a host needs for it."""
    from env_check import support
    from runner import __version__

    cuda = facts["cuda"]
    stack = f"torch {facts['torch']} ({f'CUDA {cuda}' if cuda else 'CPU build'})"
    lines = [
        f"trainbox {__version__}, image {variant}: {stack}, Python {platform.python_version()}"
    ]
    floor = support.driver_floor(cuda) if cuda else None
    if floor:
        lines.append(
            f"needs an NVIDIA driver {floor.minimum} or newer and a card of compute capability "
            f"{', '.join(facts['architectures'])}; without a card it trains on the processor"
        )
    else:
        lines.append("needs no card, uses none; the variants with CUDA are cu130, cu128 and cu126")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
