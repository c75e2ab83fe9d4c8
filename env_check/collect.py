"""Run all probes side by side and return one snapshot."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from env_check.facts import Engine, Facts, Gpu, Host, Network, Python, Storage, Unknown
from env_check.privacy import public_text
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
            reason = public_text(str(error), system.home())
            unread.append(f"{name}: {type(error).__name__}: {reason}"[:200])
    facts = Facts(**results, unread=tuple(unread))
    return with_engine_folder(system, facts) if facts.engine.storage_folder else facts


def with_engine_folder(system: System, facts: Facts) -> Facts:
    """Add the disk that images are unpacked on, which only the engine can name."""
    place = storage.folder(system, "container engine", facts.engine.storage_folder)
    kept = replace(facts.storage, folders=(*facts.storage.folders, place))
    engine = replace(facts.engine, storage_folder=place.path)  # without a person's name
    return replace(facts, storage=kept, engine=engine)
