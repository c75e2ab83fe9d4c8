"""An image as a container of it sees itself: our own probes, run inside by the image's Python.

The package goes in as an archive over standard input, so nothing is mounted and any image with a
Python of 3.9 or newer will do, on a remote engine too. Nothing is pulled.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from dataclasses import replace
from typing import Any, Optional

from env_check.facts import Facts, FactsError, Image, StepResult, from_json
from env_check.privacy import public_text
from env_check.system import Output, System

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
START_SECONDS, DEEP_SECONDS = 60.0, 1200.0
PROGRAMS = ("python3", "python")
NOT_FOUND = re.compile(r"executable file not found|no such file or directory", re.IGNORECASE)
# The rights of a training container: none. /tmp takes the archive, and compiled kernels of --deep.
RIGHTS = (
    "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
    "--pids-limit=4096", "--shm-size=2g", "--tmpfs=/tmp:exec,mode=1777",
    "--env=TRITON_CACHE_DIR=/tmp/triton", "--env=HF_HOME=/tmp/hf",
)  # fmt: skip
INSIDE = """\
import sys
if sys.version_info < (3, 9):
    sys.exit("its Python is %d.%d, env-check needs 3.9" % sys.version_info[:2])
import io, runpy, tempfile, zipfile
folder = tempfile.mkdtemp()
zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())).extractall(folder)
sys.path.insert(0, folder)
runpy.run_module("env_check", run_name="__main__")
"""

Deep = tuple[StepResult, ...]


def probe(
    system: System, reference: str, *, machine: str, wants_gpu: bool, deep: bool = False
) -> tuple[Image, Deep]:
    """Return what a container of an image sees, and the steps of --deep tried in it.

    Args:
        machine: processor of this machine; an image for another one is not started.
        wants_gpu: ask the engine for the GPU; where it refuses, look without.
    """
    docker = system.find_program("docker")
    if docker is None:
        return Image(reference, problem="no docker command"), ()
    image = described(system, docker, reference)
    if image.problem or (image.machine and image.machine != machine):
        return image, ()
    done = look_inside(system, docker, reference, wants_gpu=wants_gpu, deep=deep)
    if wants_gpu and is_gpu_refusal(done):
        image = replace(image, gpu_refusal=_reason(done))
        done = look_inside(system, docker, reference, wants_gpu=False, deep=deep)
    elif wants_gpu:
        image = replace(image, has_gpu=done.is_ok)
    seen, problem = read_facts(done)
    if seen is None:
        return replace(image, problem=public_text(problem, system.home()), has_gpu=False), ()
    return replace(image, host=seen.host, gpu=seen.gpu, python=seen.python), seen.deep


def described(system: System, docker: str, reference: str) -> Image:
    """Return what the image says of itself, without starting it."""
    command = [docker, "image", "inspect", "--format", "{{json .}}", "--", reference]
    done = system.run(command, timeout_seconds=10)
    try:
        facts: dict[str, Any] = json.loads(done.stdout)
        config = facts.get("Config") or {}
        labels = config.get("Labels") or {}
        variables = dict(each.partition("=")[::2] for each in config.get("Env") or ())
        architecture = str(facts.get("Architecture") or "")
    except (ValueError, TypeError, AttributeError):
        absent = "no such image" in done.text.lower()
        return Image(reference, problem="not on this machine" if absent else done.reason)
    return Image(
        reference,
        machine=MACHINES.get(architecture, architecture),
        variant=str(labels.get("trainbox.variant") or ""),
        labelled_python=str(labels.get("trainbox.python") or ""),
        required_cuda=str(variables.get("NVIDIA_REQUIRE_CUDA") or ""),
    )


def look_inside(
    system: System, docker: str, reference: str, *, wants_gpu: bool, deep: bool
) -> Output:
    """Run `env-check collect` in a container of the image, which is gone afterwards."""
    name = f"env-check-{os.getpid()}"
    start = [docker, "run", "--rm", "--interactive", f"--name={name}", *RIGHTS]
    start += ["--gpus=all"] if wants_gpu else []
    asked = ["-c", INSIDE, "collect", *(["--deep"] if deep else [])]
    done = Output(None, problem="no python3")
    for program in PROGRAMS:
        command = [*start, f"--entrypoint={program}", reference, *asked]
        limit = DEEP_SECONDS if deep else START_SECONDS
        done = system.run(command, timeout_seconds=limit, given=archive())
        if done.exit_code is None:  # the command was killed, its container was not
            system.run([docker, "rm", "--force", name], timeout_seconds=10)
        if not (done.exit_code in (125, 126, 127) and NOT_FOUND.search(done.stderr)):
            return done
    return Output(None, problem="no python3")


def archive() -> bytes:
    """Return this package as a zip archive."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as file:
        for folder, _, names in os.walk(root):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name.endswith(".py"):
                    file.write(path, os.path.relpath(path, os.path.dirname(root)))
    return kept.getvalue()


def is_gpu_refusal(done: Output) -> bool:
    """Tell whether the engine did not start the container because of the GPU."""
    words = done.stderr.lower()
    return done.exit_code in (125, 126, 127, 128) and (
        "device driver" in words or "nvidia" in words
    )


def read_facts(done: Output) -> tuple[Optional[Facts], str]:
    """Return the facts that a container printed, or why there are none."""
    if not done.is_ok:
        return None, _reason(done)
    try:
        seen = from_json(json.loads(done.stdout))
    except (ValueError, FactsError) as error:
        return None, f"what it printed is not facts: {error}"
    if seen.unread or not seen.python.version:
        return None, "; ".join(seen.unread) or "its Python was not seen"
    return seen, ""


def _reason(done: Output) -> str:
    """Return the last words on why it failed: Python and the engine print the reason last."""
    lines = [line for line in done.stderr.splitlines() if line.strip() and "--help" not in line]
    return done.problem or (lines[-1].strip() if lines else done.reason)
