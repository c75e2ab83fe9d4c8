"""The recorded twin of a machine: a `System` that answers from tests/fixtures/hosts/NAME/host.yaml.

A host may be `like` another: maps are merged key by key, and null takes a key away.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from env_check.collect import collect
from env_check.facts import Facts, Image, Requirements, StepResult, decode
from env_check.inference import with_image
from env_check.system import Answer, Interpreter, Output, Package, Space

HOSTS = Path(__file__).parents[1] / "fixtures" / "hosts"
SITE = "/venv/site"
GIB = 1 << 30


def host_names() -> list[str]:
    return sorted(path.parent.name for path in HOSTS.glob("*/host.yaml"))


@functools.cache
def _parsed(name: str) -> dict[str, Any]:
    host: dict[str, Any] = yaml.safe_load((HOSTS / name / "host.yaml").read_text())
    return host


def load_host(name: str) -> dict[str, Any]:
    """Return a host with what it takes over from the one it is like."""
    host = dict(_parsed(name))
    if "like" in host:
        base = load_host(host.pop("like"))
        for key in ("expect", "requirements", "answers", "deep", "image", "unread"):
            base.pop(key, None)
        host = _merged(base, host)
    return host


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _present(table: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (table or {}).items() if value is not None}


class RecordedSystem:
    """One recorded machine."""

    def __init__(self, host: dict[str, Any]) -> None:
        self.machine: dict[str, Any] = host.get("machine", {})
        self.files: dict[str, str] = _present(host.get("files"))
        self.folders: dict[str, list[str]] = _present(host.get("folders"))
        self.links: dict[str, str] = _present(host.get("links"))
        self.commands: dict[str, Any] = _present(host.get("commands"))
        self.environment: dict[str, str] = _present(host.get("variables"))
        self.installed: dict[str, Any] = _present(host.get("packages"))
        self.spaces: dict[str, dict[str, Any]] = _present(host.get("spaces"))
        self.binaries: dict[str, dict[str, Any]] = _present(host.get("binaries"))

    def run(
        self, command: Sequence[str], *, timeout_seconds: float = 5.0, given: bytes = b""
    ) -> Output:
        line = " ".join(word.rsplit("/", 1)[-1] for word in command)
        for key in sorted(self.commands, key=len, reverse=True):
            if line == key or line.startswith(key + " "):
                said = self.commands[key]
                return Output(0, said) if isinstance(said, str) else Output(**said)
        return Output(None, problem="not found")

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def read_bytes(self, path: str, num_bytes: int) -> bytes | None:
        if path in self.binaries:
            return bytes.fromhex(self.binaries[path]["hex"])[:num_bytes]
        text = self.files.get(path)
        return None if text is None else text.encode()[:num_bytes]

    def size(self, path: str) -> int | None:
        return int(self.binaries[path]["size"]) if path in self.binaries else None

    def _paths(self) -> set[str]:
        return {*self.files, *self.folders, *self.links, *self.binaries}

    def exists(self, path: str) -> bool:
        return self.list_folder(path) is not None or path in self._paths()

    def real_path(self, path: str) -> str:
        return self.links.get(path, path)

    def list_folder(self, path: str) -> tuple[str, ...] | None:
        path = self.links.get(path, path)
        start = path.rstrip("/") + "/"
        below = {
            each[len(start) :].split("/")[0] for each in self._paths() if each.startswith(start)
        }
        names = below | set(self.folders.get(path, ()))
        return tuple(sorted(names)) if names or path in self.folders else None

    def can_write(self, path: str) -> bool:
        return bool(self._space(path).get("can_write", True))

    def space(self, path: str) -> Space | None:
        found = self._space(path)
        return Space(
            number=1 + list(self.spaces.values()).index(found) if found else 0,
            total_bytes=int(found.get("total_gib", 900) * GIB),
            free_bytes=int(found.get("free_gib", 400) * GIB),
            free_inodes=found.get("free_inodes", 50_000_000),
            is_read_only=bool(found.get("is_read_only", False)),
        )

    def _space(self, path: str) -> dict[str, Any]:
        keys = [key for key in self.spaces if path == key or path.startswith(key.rstrip("/") + "/")]
        return self.spaces[max(keys, key=len)] if keys else {}

    def find_program(self, name: str) -> str | None:
        if f"/usr/bin/{name}" in self.links:
            return f"/usr/bin/{name}"
        has = any(key.split(" ")[0] == name for key in self.commands)
        return f"/usr/bin/{name}" if has else None

    def variable(self, name: str) -> str | None:
        return self.environment.get(name)

    def packages(self, names: frozenset[str]) -> tuple[Package, ...]:
        found = []
        for name, value in sorted(self.installed.items()):
            row = {"version": value} if isinstance(value, str) else value
            if name in names or name.startswith("nvidia-"):
                found.append(Package(name, row["version"], SITE, tuple(row.get("requires", ()))))
        return tuple(found)

    def python(self) -> Interpreter:
        return Interpreter(
            version=self.machine.get("python", "3.12.3"),
            executable="python",
            is_virtual=self.machine.get("is_virtual", True),
            has_headers=self.machine.get("has_headers", True),
            has_ensurepip=self.machine.get("has_ensurepip", True),
        )

    def kernel(self) -> tuple[str, str, str]:
        return (
            self.machine.get("system", "Linux"),
            self.machine.get("kernel", "6.8.0-85-generic"),
            self.machine.get("machine", "x86_64"),
        )

    def glibc(self) -> str | None:
        value: str | None = self.machine.get("glibc", "2.39")
        return value

    def limit(self, name: str) -> int | None:
        value: int | None = self.machine.get("max_open_files", 1048576)
        return value

    def user_id(self) -> int:
        return int(self.machine.get("user_id", 1000))

    def get(self, url: str, *, token: str = "", timeout_seconds: float = 5.0) -> Answer:
        return Answer(None, problem="not recorded")

    def home(self) -> str:
        return str(self.machine.get("home", "/home/someone"))


def facts_of(host: dict[str, Any]) -> Facts:
    """Return what the probes find on a recorded host, with the answers and wishes it records."""
    facts = collect(RecordedSystem(host))
    assert facts.unread == ()
    facts = replace(facts, unread=tuple(host.get("unread", ())))
    if "answers" in host:
        facts = replace(facts, network=replace(facts.network, **host["answers"]))
    if "requirements" in host:
        wants = decode(host["requirements"], Requirements, "requirements")
        facts = replace(facts, requirements=wants)
    deep = decode(host.get("deep", []), tuple[StepResult, ...], "deep")
    if "image" in host:
        return with_image(facts, decode(host["image"], Image, "image"), deep)
    return replace(facts, deep=deep)
