"""A registry on loopback: Debian's `docker-registry`, with folders and a port of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class LocalRegistry:
    """A registry that runs."""

    address: str  # host:port
    storage: Path

    def stored_bytes(self) -> int:
        """Return the bytes of all blobs that were uploaded."""
        return sum(path.stat().st_size for path in self.blobs())

    def blobs(self) -> list[Path]:
        """Return the files of all blobs: layers, configurations and manifests."""
        return sorted(self.storage.glob("docker/registry/v2/blobs/*/*/*/data"))


@contextmanager
def run_registry(
    folder: Path, *, host: str = "127.0.0.1", **sections: Mapping[str, Any]
) -> Iterator[LocalRegistry]:
    """Run a registry that keeps its blobs in a folder.

    Args:
        host: the address to listen at.
        sections: of its configuration, such as `auth`.
    """
    program = shutil.which("docker-registry")
    assert program, "apt-get install docker-registry"
    with socket.socket() as free:
        free.bind((host, 0))
        address = f"{host}:{free.getsockname()[1]}"
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address, **sections.pop("http", {})},
        **sections,
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        _wait(process, address)
        yield LocalRegistry(address=address, storage=folder / "data")
    finally:
        process.terminate()
        process.wait(timeout=120)


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < deadline, "the registry did not start"
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
