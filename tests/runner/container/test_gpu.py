"""The GPU of a container, on recorded machines and recorded answers of `docker info`."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from runner.container.gpu import (
    check_cdi,
    gather_facts,
    gpu_request,
    idle_gpu,
    refused_gpu,
    variant_for_gpu,
)
from runner.errors import BackendError
from runner.machine import Gpu, Machine
from runner.plan import Plan
from tests.env_check.recorded import RecordedSystem, load_host
from tests.runner.plans import tiny_plan

CARD = Gpu(
    index=0, uuid="GPU-1", name="NVIDIA L4", memory_bytes=2**34, compute_capability=(8, 9),
    driver="580.95.05",
)  # fmt: skip
MACHINE = Machine(num_cpus=1, memory_bytes=2**33, gpus=(CARD,))
CDI = "nvidia.com/gpu=0"


def on_cuda(gpu: str | int | None = None) -> Plan:
    plan = tiny_plan()
    resources = plan.job["resources"] | {"gpu": gpu}
    training = dataclasses.replace(plan.training, device="cuda")
    return dataclasses.replace(plan, training=training, job=plan.job | {"resources": resources})


def recorded(name: str) -> Any:
    return gather_facts(RecordedSystem(load_host(name)))


def test_a_gpu_is_asked_for_where_the_plan_counts_on_one() -> None:
    """A plan for the CPU takes no card, one for a card that card, by its UUID."""
    assert gpu_request(tiny_plan(), MACHINE) is None
    request = gpu_request(on_cuda(), MACHINE)
    assert request is not None and request["DeviceIDs"] == ["GPU-1"]
    assert request["Driver"] == "nvidia" and request["Capabilities"] == [["gpu"]]


def test_a_cdi_name_is_asked_for_by_cdi() -> None:
    """`resources.gpu: nvidia.com/gpu=0` goes to the engine as it is, to no runtime of NVIDIA's."""
    request = gpu_request(on_cuda(CDI), MACHINE)
    assert request is not None
    assert (request["Driver"], request["DeviceIDs"]) == ("cdi", [CDI])


@pytest.mark.parametrize(
    ("info", "fix"),
    [
        ({"ServerVersion": "20.10.24+dfsg1"}, "update the engine to 25"),
        ({"ServerVersion": "27.3.1"}, '"features": {"cdi": true}'),
        (
            {
                "ServerVersion": "28.2.2", "CDISpecDirs": ["/etc/cdi"],
                "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=GPU-1"}],
            },
            "nvidia-ctk cdi generate",
        ),
    ],
)  # fmt: skip
def test_an_engine_without_that_cdi_device_is_refused(info: dict[str, Any], fix: str) -> None:
    """Too old, turned off, or another device: each with what mends it."""
    request = gpu_request(on_cuda(CDI), MACHINE)
    assert request is not None
    with pytest.raises(BackendError, match="docker-no-gpu") as caught:
        check_cdi(request, info)
    assert fix in caught.value.fix


def test_an_engine_that_has_the_cdi_device_is_taken() -> None:
    """From 25 on with CDI turned on, whether it lists its devices or not."""
    request = gpu_request(on_cuda(CDI), MACHINE)
    assert request is not None
    check_cdi(request, {"ServerVersion": "25.0.5", "CDISpecDirs": ["/etc/cdi"]})
    listed = [{"Source": "cdi", "ID": CDI}]
    info = {"ServerVersion": "28.3.0", "CDISpecDirs": ["/etc/cdi"], "DiscoveredDevices": listed}
    check_cdi(request, info)


@pytest.mark.parametrize(
    ("host", "what", "fix"),
    [
        ("no-driver", "driver", "nvidia-driver"),
        ("not-loaded", "module", "modprobe"),
        ("no-toolkit", "Toolkit is missing", "nvidia-container-toolkit"),
        ("toolkit-unused", "Docker does not know it", "nvidia-ctk runtime configure"),
        ("docker-snap", "snap", "snap remove docker"),
        ("docker-rootless", "rootless", "no-cgroups"),
        ("docker-desktop-linux", "Docker Desktop", "Docker Engine"),
        ("driver-470", "no image fits", "driver 580"),
        ("unknown-card", "compute capability is not known", "env-check"),
    ],
)
def test_what_keeps_a_gpu_from_a_container_is_named_with_its_fix(
    host: str, what: str, fix: str
) -> None:
    """Driver, toolkit, runtime configuration or variant: before anything is built or started."""
    with pytest.raises(BackendError, match="docker-no-gpu") as caught:
        variant_for_gpu(recorded(host))
    assert what in caught.value.what and fix in caught.value.fix


@pytest.mark.parametrize(
    ("host", "variant"),
    [
        ("ubuntu-rtx4090", "cu130"),
        ("wsl-rtx2000ada", "cu130"),
        ("lambda-a100", "cu128"),
        ("driver-550-cu130", "cu128"),
    ],
)
def test_a_machine_in_order_gets_the_image_that_fits_it(host: str, variant: str) -> None:
    """Where driver, toolkit and engine work, cards and driver decide."""
    assert variant_for_gpu(recorded(host)).variant == variant


def test_a_refusal_of_the_engine_names_the_fix_of_this_distribution() -> None:
    """What the engine says stands in the error, the fix is that of the machine."""
    error = refused_gpu("could not select device driver", recorded("no-toolkit"))
    assert "could not select device driver" in error.what and "apt-get install" in error.fix


def test_a_card_that_no_driver_drives_is_not_passed_over_in_silence() -> None:
    """A job that would take a card trains on the CPU only with a word on what is broken."""
    hint = idle_gpu(tiny_plan(), recorded("no-driver"))
    assert hint is not None and "training on the CPU although a GPU is here" in hint
    assert idle_gpu(tiny_plan(), recorded("cpu-only")) is None
    assert idle_gpu(on_cuda(), recorded("ubuntu-rtx4090")) is None
