"""Look at an image from inside: what its proof says now, and which files are not as installed.

Sent into a container as text and run by the image's Python without its packages (`-I -S`), so that
what is audited is not what audits.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import json
import marshal
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

OF_THE_IMAGE = "/opt/trainbox"
PACKAGES = "/opt/venv/lib/python{}.{}/site-packages"
ENTRYPOINT = "/usr/local/bin/trainbox-entrypoint"
OURS = ("runner", "env_check")
CHUNK_BYTES = 1 << 20
PYC_HEADER_BYTES = 16  # PEP 552


def audit(promise: str, folder: str = OF_THE_IMAGE, site_packages: str = "") -> dict[str, object]:
    """Return what the image shows: its proof, its Python, and files that were changed.

    Args:
        promise: what its proof is run against: JSON, as the build gave it.
        folder: of its lock and proof.
        site_packages: of its environment.
    """
    packages = site_packages or PACKAGES.format(*sys.version_info)
    recorded = read_records(packages)
    return {
        "python": platform.python_version(),
        "facts": read(os.path.join(folder, "facts.json")),
        "proof": prove(folder, promise),
        "num_files": sum(bool(digest) for digest, _ in recorded.values()),
        "changed": sorted(changed(packages, recorded)),
        "added": sorted(added(packages, recorded)),
        "ours": dict(our_files(folder, packages)),
        "byte_code": sorted(byte_code_of_others(packages, OURS)),
    }


def read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def prove(folder: str, promise: str) -> dict[str, object]:
    """Run the image's own proof on a copy, for it writes; return what it says and measures."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = os.path.join(temporary, "proof")
        try:
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("source", "facts.json"))
        except (OSError, shutil.Error) as error:
            return {"exit_code": None, "said": str(error), "facts": None}
        script, lock = os.path.join(copy, "prove.py"), os.path.join(copy, "lock")
        done = subprocess.run(
            [sys.executable, script, lock, promise],
            capture_output=True, text=True, errors="replace", check=False,
            env={**os.environ, "PYTHONSAFEPATH": ""},  # it imports from its own folder
        )  # fmt: skip
        facts = read(os.path.join(copy, "facts.json"))
    return {"exit_code": done.returncode, "said": done.stderr.strip()[-2000:], "facts": facts}


def read_records(site_packages: str) -> dict[str, tuple[str, str]]:
    """Return what pip wrote down at the installation: by path, hash and size; empty: not kept."""
    recorded = {}
    for name in os.listdir(site_packages):
        path = os.path.join(site_packages, name, "RECORD")
        if not name.endswith(".dist-info") or not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8", newline="") as file:
            for place, digest, size in csv.reader(file):
                recorded[os.path.normpath(place)] = (digest, size)
    return recorded


def changed(site_packages: str, recorded: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Yield the recorded files whose bytes are others, or that are gone."""
    for place, (digest, _) in recorded.items():
        algorithm, _, wanted = digest.partition("=")
        if not wanted:
            continue  # byte code, and RECORD itself
        seen = hash_of(os.path.join(site_packages, place), algorithm)
        if seen is None:
            yield f"{place} (gone)"
        elif seen != base64.urlsafe_b64decode(wanted + "=" * (-len(wanted) % 4)).hex():
            yield place


def added(site_packages: str, recorded: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Yield the files that no package brought; byte code of a module that one brought is its."""
    for folder, _, names in os.walk(site_packages):
        for name in names:
            place = os.path.relpath(os.path.join(folder, name), site_packages)
            if place not in recorded and source_of(place) not in recorded:
                yield place


def source_of(place: str) -> str:
    """Return the module that a file of byte code was compiled from, else the path as it is."""
    folder, name = os.path.split(place)
    if os.path.basename(folder) != "__pycache__" or not name.endswith(".pyc"):
        return place
    return os.path.join(os.path.dirname(folder), name.partition(".")[0] + ".py")


def our_files(folder: str, site_packages: str) -> Iterator[tuple[str, str | None]]:
    """Yield our files, by their names in the repository as far as they have one, and SHA-256."""
    yield "image/entrypoint", hash_of(ENTRYPOINT)
    for name in os.listdir(folder):
        if name not in ("lock", "facts.json"):
            yield f"image/{name}", hash_of(os.path.join(folder, name))
    for place in modules_of(site_packages, OURS):
        yield place, hash_of(os.path.join(site_packages, place))


def modules_of(site_packages: str, packages: Sequence[str]) -> Iterator[str]:
    """Yield the files of packages apart from byte code, relative to where they lie."""
    for package in packages:
        for folder, _, names in os.walk(os.path.join(site_packages, package)):
            for name in names:
                if not name.endswith(".pyc"):
                    yield os.path.relpath(os.path.join(folder, name), site_packages)


def byte_code_of_others(site_packages: str, packages: Sequence[str]) -> Iterator[str]:
    """Yield the modules whose byte code, which Python takes unasked, is not that of their text."""
    for place in modules_of(site_packages, packages):
        path = os.path.join(site_packages, place)
        cached = importlib.util.cache_from_source(path)
        if not place.endswith(".py") or not os.path.isfile(cached):
            continue
        with open(path, "rb") as source, open(cached, "rb") as kept:
            try:
                if marshal.loads(kept.read()[PYC_HEADER_BYTES:]) == compile(
                    source.read(), path, "exec", dont_inherit=True
                ):
                    continue
            except (ValueError, EOFError, TypeError, SyntaxError):
                pass
            yield place


def hash_of(path: str, algorithm: str = "sha256") -> str | None:
    """Return a file's digest in hexadecimal digits, None where it cannot be read."""
    digest = hashlib.new(algorithm)
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


if __name__ == "__main__":
    print(json.dumps(audit(sys.argv[1])))
