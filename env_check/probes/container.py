"""The container engine on this host: does it answer, and can it hand on a GPU."""

from __future__ import annotations

import json
import re
from typing import Any, Optional

from env_check.facts import Engine, Known, Unknown
from env_check.system import Output, System

CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")


def probe(system: System) -> Engine:
    """Return what `docker info` and the NVIDIA toolkit say."""
    toolkit = toolkit_version(system)
    devices, driver = cdi(system)
    program = system.find_program("docker")
    if program is None:
        return Engine(toolkit_version=toolkit, cdi_devices=devices, cdi_driver=driver)
    done = system.run([program, "info", "--format", "{{json .}}"], timeout_seconds=4)
    info = decoded(done)
    is_snap = "/snap/" in system.real_path(program) or program.startswith("/snap/")
    client = info.get("ClientInfo")
    version = client.get("Version") if isinstance(client, dict) else ""
    found = {str(each.get("ID")) for each in _items(info, "DiscoveredDevices", dict)}
    return Engine(
        cli_version=str(version or "") or cli_version(system, program),
        is_snap=is_snap,
        server_version=server_version(done, info),
        problem="" if info.get("ServerVersion") else problem(done, info),
        name=str(info.get("OperatingSystem") or ""),
        runtimes=tuple(sorted(_items(info, "Runtimes", str))),
        is_rootless=any("rootless" in each for each in _items(info, "SecurityOptions", str)),
        storage_folder=str(info.get("DockerRootDir") or ""),
        cdi_devices=tuple(sorted({*devices, *(each for each in found if "nvidia" in each)})),
        cdi_driver=driver,
        toolkit_version=toolkit,
        no_cgroups=no_cgroups(system),
    )


def _items(info: dict[str, Any], key: str, kind: type) -> list[Any]:
    """Return the entries of a list or the names of an object, those of the kind expected."""
    value = info.get(key)
    if not isinstance(value, (list, dict)):
        return []
    return [each for each in value if isinstance(each, kind)]


def no_cgroups(system: System) -> Optional[bool]:
    """Return the toolkit's switch for engines without root, None without a configuration."""
    text = system.read("/etc/nvidia-container-runtime/config.toml")
    if text is None:
        return None
    return bool(re.search(r"(?m)^\s*no-cgroups\s*=\s*true", text))


def decoded(done: Output) -> dict[str, Any]:
    """Return the object that `docker info` printed, empty if it printed none."""
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
    return {}


def server_version(done: Output, info: dict[str, Any]) -> Known[Optional[str]]:
    if info.get("ServerVersion"):
        return str(info["ServerVersion"])
    return Unknown(done.problem) if "no answer" in done.problem else None


def problem(done: Output, info: dict[str, Any]) -> str:
    """Return why the engine does not answer, in two words where it is one of the known reasons."""
    words = " ".join([*map(str, info.get("ServerErrors") or ()), done.stderr]).strip()
    lower = words.lower()
    if "permission denied" in lower:
        return "not allowed"
    if "cannot connect" in lower or "is the docker daemon running" in lower:
        return "not running"
    return done.problem or (words.splitlines()[0] if words else "no answer")


def cli_version(system: System, program: str) -> str:
    done = system.run([program, "--version"], timeout_seconds=2)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found.group(0) if found else "unknown"


def toolkit_version(system: System) -> Optional[str]:
    """Return the version of the NVIDIA Container Toolkit, None where it is not installed."""
    for name in ("nvidia-ctk", "nvidia-container-cli"):
        program = system.find_program(name)
        if program is not None:
            found = re.search(r"\d+\.\d+(\.\d+)?", system.run([program, "--version"]).stdout)
            return found.group(0) if found else "unknown"
    return None


def cdi(system: System) -> tuple[tuple[str, ...], Optional[str]]:
    """Return the device names in the CDI files of NVIDIA and the driver version they mount."""
    devices: set[str] = set()
    driver: Optional[str] = None
    for folder in CDI_FOLDERS:
        for name in system.list_folder(folder) or ():
            text = system.read(f"{folder}/{name}") or ""
            if "nvidia.com/gpu" not in text:
                continue
            devices |= {f"nvidia.com/gpu={each}" for each in _device_names(text)}
            found = re.search(r"libcuda\.so\.(\d+\.\d+(?:\.\d+)?)", text)
            driver = found.group(1) if found else driver
    return tuple(sorted(devices)), driver


def _device_names(text: str) -> list[str]:
    """Return the names in a CDI file, which is YAML or JSON: read by its lines, not parsed."""
    return re.findall(r"(?m)^\s*-?\s*\"?name\"?:\s*\"?([\w:-]+)\"?", text)
