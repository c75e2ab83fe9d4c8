"""Run all probes side by side and return one snapshot."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from env_check.facts import Engine, Facts, Gpu, Host, Network, Python, Storage, Unknown
from env_check.probes import container, gpu, host, network, python, storage
from env_check.system import System

PROBES: dict[str, tuple[Callable[[System], Any], Any]] = {
    "host": (host.probe, Host()),
    "gpu": (gpu.probe, Gpu(smi="absent", init_code=Unknown("the probe failed"))),
    "engine": (container.probe, Engine()),
    "python": (python.probe, Python(torch_cuda=Unknown("the probe failed"))),
    "storage": (storage.probe, Storage()),
    "network": (network.probe, Network()),
}


def collect(system: System) -> Facts:
    """Return what the probes find; one that breaks leaves its reason, never an exception."""
    results: dict[str, Any] = {}
    unread: list[str] = []
    with ThreadPoolExecutor(max_workers=len(PROBES)) as pool:
        futures = {name: pool.submit(probe, system) for name, (probe, _) in PROBES.items()}
    for name, (_, empty) in PROBES.items():
        try:
            results[name] = futures[name].result()
        except Exception as error:  # a rim that must survive: the other probes still count
            results[name] = empty
            unread.append(f"{name}: {type(error).__name__}: {error}"[:200])
    return Facts(**results, unread=tuple(unread))
