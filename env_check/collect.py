"""Run all probes side by side and return one snapshot."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from env_check.facts import Engine, Facts, Folder, Gpu, Host, Network, Python, Storage, Unknown
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


# Above the sum of the time limits of any probe's programs: what is left then hangs in the kernel,
# as a call on the files of a dead network drive does.
PROBE_SECONDS = 30.0


def collect(system: System) -> Facts:
    """Return what the probes find; one that breaks or hangs leaves its reason, no exception."""
    answers = in_time(
        {name: functools.partial(probe, system) for name, (probe, _) in PROBES.items()}
    )
    results: dict[str, Any] = {}
    unread: list[str] = []
    for name, (_, empty) in PROBES.items():
        answer = answers.get(name, TimeoutError(f"no answer within {PROBE_SECONDS:g} s"))
        if isinstance(answer, Exception):
            reason = public_text(str(answer), system.home())
            unread.append(f"{name}: {type(answer).__name__}: {reason}"[:200])
        results[name] = empty if isinstance(answer, Exception) else answer
    facts = Facts(**results, unread=tuple(unread))
    return with_engine_folder(system, facts) if facts.engine.storage_folder else facts


def in_time(calls: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Call side by side; return what each returned or raised, and nothing of those that hang."""
    answers: dict[str, Any] = {}

    def answer(name: str, call: Callable[[], Any]) -> None:
        try:
            answers[name] = call()
        except Exception as error:  # a rim that must survive: the other probes still count
            answers[name] = error

    # Daemons: the interpreter does not wait at its end for one that never comes back.
    threads = [threading.Thread(target=answer, args=pair, daemon=True) for pair in calls.items()]
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(answers)


def with_engine_folder(system: System, facts: Facts) -> Facts:
    """Add the disk that images are unpacked on, which only the engine can name."""
    name = "container engine"
    find = functools.partial(storage.folder, system, name, facts.engine.storage_folder)
    place = in_time({name: find}).get(name)
    if not isinstance(place, Folder):
        return replace(facts, unread=(*facts.unread, "storage: the engine's folder: no answer"))
    kept = replace(facts.storage, folders=(*facts.storage.folders, place))
    engine = replace(facts.engine, storage_folder=place.path)  # without a person's name
    return replace(facts, storage=kept, engine=engine)
