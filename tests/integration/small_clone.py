"""A clone whose CPU image is built in seconds: the real Dockerfile and code, and a tiny lock.

torch and bitsandbytes are empty wheels of versions that no index has; setuptools is the locked one
and comes from the index, as everything does in a real build.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from runner.container.image import SOURCES, locked_versions

ROOT = Path(__file__).parents[2]
TORCH = 'class version:\n    cuda = None\n\n\n__version__ = "{version}"\n'


def make_small_clone(folder: Path, python: str) -> Path:
    """Make the clone in a folder, committed.

    Args:
        python: of the base image: `3.11`.
    """
    for name in (*SOURCES, "locks", "wheelhouse/README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    lock = folder / "locks/cpu.lock"
    text = lock.read_text()
    versions = {
        name: f"{version.partition('+')[0]}+cpu" for name, version in locked_versions(text).items()
    }
    versions["torch"] = "0.1+cpu"
    tag = f"cp{python.replace('.', '')}"
    torch = write_wheel(
        folder / "wheelhouse", "torch", versions["torch"], tag,
        {"torch/__init__.py": TORCH.format(version=versions["torch"])},
    )  # fmt: skip
    bitsandbytes = write_wheel(
        folder / "wheelhouse", "bitsandbytes", versions["bitsandbytes"], tag,
        {"bitsandbytes/__init__.py": ""},
    )  # fmt: skip
    setuptools = re.search(r"(?m)^setuptools==\S+(?: \\\n +--hash=\S+)+\n", text)
    assert setuptools, "the lock holds what builds our package"
    lock.write_text(
        f"bitsandbytes=={versions['bitsandbytes']} \\\n    --hash=sha256:{bitsandbytes}\n"
        f"{setuptools[0]}torch==={versions['torch']} \\\n    --hash=sha256:{torch}\n"
    )
    (folder / "locks/cli.lock").write_text(setuptools[0])
    (folder / ".gitignore").write_text("__pycache__/\n/wheelhouse/*\n!/wheelhouse/README.md\n")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(clone: Path) -> None:
    """Commit all that lies there."""
    git(clone, "add", "--all")
    git(
        clone, "-c", "user.name=trainbox", "-c", "user.email=trainbox@example.com", "commit",
        "--quiet", "--allow-empty", "--message=state",
    )  # fmt: skip


def git(clone: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(clone), *arguments], check=True)


def write_wheel(folder: Path, name: str, version: str, tag: str, files: dict[str, str]) -> str:
    """Write a wheel of text files and return its SHA-256."""
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}-none-any\n",
    }
    record = [
        f"{place},sha256={_record_digest(text)},{len(text.encode())}\n"
        for place, text in files.items()
    ]
    files[f"{info}/RECORD"] = f"{''.join(record)}{info}/RECORD,,\n"
    path = folder / f"{name}-{version}-{tag}-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in files.items():
            archive.writestr(place, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _record_digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
