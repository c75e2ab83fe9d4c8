"""What a change of one line costs: seconds to rebuild an image, and bytes that its push uploads.

Builds from a copy of this clone, pushes to a registry of its own on loopback (Debian's
docker-registry) and counts what the registry has got. The first push, of everything, is measured
too.

Usage: python -m bench.image_update [--variant cpu] [--rounds 3] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from runner.container.build import build_image
from runner.container.engine import connect
from runner.container.image import SOURCE_ROOT, SOURCES, Variant, choose_variant
from runner.container.push import push_image
from tests.integration.local_registry import LocalRegistry, run_registry
from tests.integration.small_clone import commit, git


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    variant = choose_variant(args.variant)
    with tempfile.TemporaryDirectory() as folder:
        clone = copy_clone(Path(folder) / "clone")
        (Path(folder) / "registry").mkdir()
        with run_registry(Path(folder) / "registry") as registry:
            first = measure(variant, clone, registry)
            rounds = []
            for number in range(args.rounds):
                with (clone / "runner/cli.py").open("a") as file:
                    file.write(f"# line {number}\n")
                commit(clone)
                rounds.append(measure(variant, clone, registry))
                print(json.dumps(rounds[-1]), flush=True)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine()},
        "engine": engine_version(),
        "variant": variant.name,
        "base": variant.base_image,
        "first": first,
        "after_one_line": rounds,
        "median": {name: statistics.median(each[name] for each in rounds) for name in rounds[0]},
    }
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def copy_clone(folder: Path) -> Path:
    """Copy what images are made from, committed."""
    for name in (*SOURCES, "locks", "wheelhouse"):
        copy = shutil.copytree if (SOURCE_ROOT / name).is_dir() else shutil.copy
        folder.mkdir(exist_ok=True)
        copy(SOURCE_ROOT / name, folder / name)
    (folder / ".gitignore").write_text("__pycache__/\n/wheelhouse/*.whl\n")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def measure(variant: Variant, clone: Path, registry: LocalRegistry) -> dict[str, Any]:
    """Build and push; return seconds, and the bytes that the registry has got."""
    before = registry.stored_bytes()
    started = time.monotonic()
    build_image(variant, say=print, root=clone)
    built = time.monotonic()
    pushed = push_image(variant, f"{registry.address}/bench/trainbox", say=print, root=clone)
    ended = time.monotonic()
    with connect() as client:
        size = client.inspect_image(pushed.image_id)["Size"]  # type: ignore[no-untyped-call]
        client.remove_image(pushed.image_id, force=True)
    uploaded = registry.stored_bytes() - before
    assert uploaded == pushed.sent_bytes, "what push says is what the registry has got"
    return {
        "build_seconds": round(built - started, 1),
        "push_and_read_back_seconds": round(ended - built, 1),
        "uploaded_bytes": uploaded,
        "image_bytes": size,
    }


def engine_version() -> str:
    with connect() as client:
        version: str = client.version()["Version"]
    return version


if __name__ == "__main__":
    raise SystemExit(main())
