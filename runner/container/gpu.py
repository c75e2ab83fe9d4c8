"""The GPU of a container: how it is asked for, and why an engine has none to give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from env_check import remedies
from env_check.choose import Choice, choose
from env_check.facts import Facts
from env_check.findings import Finding, Layer, Status
from env_check.inference import has_gpu
from env_check.judge import judge
from env_check.probes import container, gpu, host
from env_check.system import LocalSystem, System
from runner.choose_gpu import CDI_NAME, find_gpu
from runner.container.engine import connect
from runner.errors import BackendError
from runner.machine import Machine
from runner.plan import Plan

if TYPE_CHECKING:
    from docker.types import DeviceRequest

# What stands between a card and a container; the layers above are those of the image.
BENEATH = (Layer.PLATFORM, Layer.KERNEL_MODULE, Layer.DRIVER, Layer.CONTAINER)
FIRST_WITH_CDI = 25
WHY = "the plan counts on the card; the engine must hand it to the container"


def gpu_request(plan: Plan, machine: Machine) -> DeviceRequest | None:
    """Return the request for the card that the plan counts on, or None for the CPU."""
    if plan.training.device != "cuda":
        return None
    from docker.types import DeviceRequest

    wanted = plan.job["resources"]["gpu"]
    if CDI_NAME.fullmatch(str(wanted)):
        return DeviceRequest(driver="cdi", device_ids=[wanted])
    card = find_gpu(wanted, machine.gpus)
    if card is None:
        return DeviceRequest(driver="nvidia", count=1, capabilities=[["gpu"]])
    return DeviceRequest(driver="nvidia", device_ids=[card.uuid], capabilities=[["gpu"]])


def gather_facts(system: System | None = None) -> Facts:
    """Return what env-check finds beneath a container: host, card, driver, engine, toolkit."""
    system = system or LocalSystem()
    return Facts(host=host.probe(system), gpu=gpu.probe(system), engine=container.probe(system))


def fault_beneath(facts: Facts) -> Finding | None:
    """Return the lowest fault between the card and a container, as env-check's rules see it."""
    return next(
        (
            finding
            for finding in judge(facts)
            if finding.status is Status.FAIL and finding.layer in BENEATH
        ),
        None,
    )


def refuse_fault_beneath(facts: Facts) -> None:
    """Refuse a machine on which no container gets a card, whichever image it is of.

    Raises:
        BackendError: driver, toolkit or the engine's configuration is at fault.
    """
    if finding := fault_beneath(facts):
        raise no_gpu(finding.what, why=finding.why, fix="; ".join(finding.fix))


def variant_for_gpu(facts: Facts) -> Choice:
    """Choose the image whose wheels run on this machine's cards, before anything is built.

    Raises:
        BackendError: driver, toolkit or the engine's configuration is at fault, or no image fits.
    """
    refuse_fault_beneath(facts)
    choice = choose(facts)
    if choice.variant in (None, "cpu"):
        raise no_gpu(f"no image fits: {choice.reason}", why=WHY, fix=choice.way_out or "env-check")
    return choice


def check_cdi(request: DeviceRequest, info: Mapping[str, Any]) -> None:
    """Refuse a CDI name to an engine that does not know it.

    Args:
        info: the answer of `docker info`.

    Raises:
        BackendError: the engine is too old, CDI is off, or the device is not among those listed.
    """
    if request["Driver"] != "cdi":
        return
    (name,) = request["DeviceIDs"]
    version = str(info.get("ServerVersion", ""))
    major = re.match(r"\d+", version)
    listed = [str(each.get("ID")) for each in info.get("DiscoveredDevices") or ()]
    if major is None or int(major[0]) < FIRST_WITH_CDI:
        what = f"Docker {version or 'of this engine'} knows no CDI devices such as `{name}`"
        fix = f"update the engine to {FIRST_WITH_CDI} or newer, or name the card by its index"
    elif not info.get("CDISpecDirs"):
        what = f"CDI is turned off in this engine, and `resources.gpu` is `{name}`"
        fix = 'put "features": {"cdi": true} into /etc/docker/daemon.json and restart Docker'
    elif listed and name not in listed:
        what = f"the engine has no CDI device `{name}` (it has {', '.join(listed)})"
        fix = "name one of these, or: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    else:
        return
    raise no_gpu(what, why=WHY, fix=fix)


def prove_gpu(tag: str, request: DeviceRequest) -> None:
    """Start an empty container with the card: the engine says only then whether it can.

    Raises:
        BackendError: it cannot.
    """
    from docker.errors import APIError

    with connect() as client:
        settings = client.create_host_config(device_requests=[request], network_mode="none")
        created = client.create_container(tag, command=["true"], host_config=settings)
        try:
            client.start(created)
        except APIError as error:
            raise refused_gpu(str(error.explanation or error), gather_facts()) from error
        finally:
            client.remove_container(created, force=True)


def refused_gpu(text: str, facts: Facts) -> BackendError:
    """Return the error for an engine that refused a GPU, with the fix for this distribution.

    Args:
        text: what the engine said.
    """
    what = f"the Docker engine cannot give a GPU to a container: {text.strip()}"
    finding = fault_beneath(facts)
    if finding is not None:
        return no_gpu(f"{what} ({finding.what})", why=finding.why, fix="; ".join(finding.fix))
    return no_gpu(what, why=WHY, fix="; ".join(remedies.toolkit(facts)))


def idle_gpu(plan: Plan, facts: Facts) -> str | None:
    """Return what keeps a card of this machine from a job that would take one, or None."""
    if plan.training.device == "cuda" or not plan.job["resources"]["gpus"] or not has_gpu(facts):
        return None
    finding = fault_beneath(facts)
    if finding is None:
        return None
    return f"training on the CPU although a GPU is here: {finding.what}; {'; '.join(finding.fix)}"


def no_gpu(what: str, *, why: str, fix: str) -> BackendError:
    """Return the error for a container that will get no GPU."""
    return BackendError(
        id="docker-no-gpu",
        what=what,
        why=why,
        fix=f"{fix}; `trainbox check` says more; without the card: --set resources.gpus=0",
    )
