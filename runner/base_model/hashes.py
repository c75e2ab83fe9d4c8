"""SHA-256 of the files that make a base model, remembered so that 16 GB are read once.

What is remembered is tied to path, size, times and inode of the file: any ordinary change of a file
is seen. A medium that changes bits without a write is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runner.record.layout import cache_root

PATTERNS = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
    "*.safetensors",
    "*.safetensors.index.json",
    "*.py",
)
CHUNK_BYTES = 4 * 2**20
SETTLED_SECONDS = 2.0

Memory = dict[str, list[int | str]]  # path → size, times, inode, digest


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of configuration, tokenizer and weight files: name → hex digest."""
    names = {path.name for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file()}
    return hash_files(folder / name for name in sorted(names))


def hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files of different names: name → hex digest, remembered."""
    memory = _read_memory()
    stamps = {path: _stamp(path) for path in paths}
    unknown = [path for path, stamp in stamps.items() if memory.get(str(path), [])[:-1] != stamp]
    with ThreadPoolExecutor(max_workers=4) as pool:  # hashlib lets other threads run
        digests = dict(zip(unknown, pool.map(_sha256, unknown), strict=True))
    # NOTE: a file written within the clock's grain could change again under the same times, so a
    # fresh one is not remembered yet (git calls such an entry racily clean).
    newest = (time.time() - SETTLED_SECONDS) * 1e9
    known: Memory = {
        str(path): [*stamps[path], digest]
        for path, digest in digests.items()
        if stamps[path] == _stamp(path) and max(stamps[path][1:3]) < newest
    }
    if known:
        _write_memory(_read_memory() | known)
    return {path.name: digests.get(path) or str(memory[str(path)][-1]) for path in stamps}


def _stamp(path: Path) -> list[int]:
    """Return what changes with a file's content: size, modification and change time, inode."""
    stat = path.stat()  # follows links: the hub's cache links to its blobs
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _memory_path() -> Path:
    return cache_root() / "hashes.json"


def _read_memory() -> Memory:
    try:
        memory = json.loads(_memory_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(memory, dict):
        return {}
    return {path: entry for path, entry in memory.items() if isinstance(entry, list) and entry}


def _write_memory(memory: Memory) -> None:
    """Replace the memory; two writers at once cost the second a hash, never a wrong one."""
    existing = {path: entry for path, entry in memory.items() if os.path.exists(path)}
    aside = _memory_path().with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):  # a cache that cannot be written is only slower
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(existing, indent=1), encoding="utf-8")
        aside.replace(_memory_path())
