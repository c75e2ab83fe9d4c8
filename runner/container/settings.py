"""What a training container is given: user, mounts, limits, variables; nothing else is in it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.container.kind import EngineKind, caller, user_inside
from runner.plan import Plan
from runner.record.layout import RunDir, cache_root

if TYPE_CHECKING:
    from docker import APIClient
    from docker.types import DeviceRequest

GIB = 2**30
# Enough for the threads of a large machine, too few for a fork bomb.
PIDS = 4096
TEMPORARY = "/tmp"
KERNELS = "/kernels"  # compiled GPU kernels: loaded as libraries, which a noexec tmpfs refuses

# Standard error goes straight into the log, from inside: it outlives supervisor and engine.
INTO_LOG = 'exec 2>>"$0"; exec "$@"'


def container_settings(
    client: APIClient,
    tag: str,
    run: RunDir,
    plan: Plan,
    environment: Mapping[str, str],
    request: DeviceRequest | None,
    kind: EngineKind,
) -> dict[str, Any]:
    """Return the arguments of `create_container`; what is not named here, the container has not.

    Args:
        environment: variables of the attempt.
        request: for a GPU; None gives none.
        kind: of the engine.
    """
    from docker.types import LogConfig, Mount, Ulimit

    resources = plan.job["resources"]
    memory = int(resources["memory_gib"] * GIB) if resources["memory_gib"] else None
    mounts = [Mount(str(run.path), str(run.path), type="bind")]
    mounts += [Mount(path, path, type="bind", read_only=True) for path in sorted(inputs_of(plan))]
    temporary = {TEMPORARY: "mode=1777", KERNELS: "exec,mode=1777"}
    if kept := kept_kernels(plan):
        kept.mkdir(parents=True, exist_ok=True)
        mounts.append(Mount(KERNELS, str(kept), type="bind"))
        del temporary[KERNELS]
    user = user_inside(client, kind, tag, run.path)
    return {
        "image": tag,
        "command": [
            "sh", "-c", INTO_LOG, str(run.log), "python", "-m", "runner.train", str(run.path),
        ],
        "user": user,
        "environment": container_environment(environment),
        "working_dir": str(run.path),
        "labels": {"trainbox.run": run.run_id},
        "stop_timeout": int(plan.job["limits"]["grace_seconds"]),
        "use_config_proxy": False,
        "host_config": client.create_host_config(
            network_mode="none",
            init=True,  # passes signals on, takes in orphans
            ipc_mode="private",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            pids_limit=PIDS,
            shm_size=int(resources["shm_gib"] * GIB),
            ulimits=[Ulimit(name="memlock", soft=-1, hard=-1)] if resources["memlock"] else None,
            mem_limit=memory,
            memswap_limit=memory,
            tmpfs=temporary,
            # for data that a group may read; inside a mapping the numbers are others
            group_add=[str(group) for group in os.getgroups()] if user == caller() else None,
            userns_mode=kind.userns_mode,
            mounts=mounts,
            device_requests=[request] if request else None,
            log_config=LogConfig(type="none"),  # sample answers pass through here
        ),
    }  # fmt: skip


def kept_kernels(plan: Plan) -> Path | None:
    """Return the folder in which kernels outlive the container; None where it takes them with it.

    Compiled layers cost minutes, so a job that compiles them finds them again. Other kernels cost
    seconds, and a container that leaves no program behind for the next one is worth more.
    """
    return cache_root() / "kernels" if plan.training.levers.compile else None


def container_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return all variables of the container: none of the caller's but those of the attempt."""
    given = {
        name: value
        for name, value in environment.items()
        if name != "TRAINBOX_SUPERVISOR_PID"  # a process id of another namespace
    }
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        user = str(os.getuid())
    return {
        "HOME": TEMPORARY,
        "USER": user,
        "LOGNAME": user,
        "XDG_CACHE_HOME": f"{TEMPORARY}/cache",
        "TRITON_CACHE_DIR": f"{KERNELS}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{KERNELS}/inductor",
        "CUDA_CACHE_PATH": f"{KERNELS}/cuda",
        "TRAINBOX_HOLD_LOCK": "1",
        **given,
    }


def inputs_of(plan: Plan) -> set[str]:
    """Return the folders a plan reads: base model and prepared data.

    The hub's cache keeps links to files that lie elsewhere; those folders are needed too.
    """
    model = Path(plan.model.folder)
    splits = [split for split in (plan.train_data, plan.eval_data) if split is not None]
    folders = {model, *(Path(split.path).parent for split in splits)}
    folders |= {file.resolve().parent for file in model.iterdir() if file.is_symlink()}
    return {str(folder) for folder in folders}
