"""What the GPU probe reads where a machine is odd."""

from __future__ import annotations

from typing import Any

import pytest

from env_check.facts import Unknown
from env_check.probes.gpu import card_asked_for, probe
from tests.env_check.recorded import RecordedSystem, load_host


def gpu(**over: Any) -> Any:
    host = load_host("ubuntu-rtx4090")
    for key, value in over.items():
        host[key] = {**host.get(key, {}), **value}
    return probe(RecordedSystem(host))


def test_a_card_is_seen_without_any_driver() -> None:
    """The PCI bus tells the card, whatever the driver."""
    found = gpu(commands={"nvidia-smi": None})
    assert [card.device_id for card in found.cards] == ["2684"]
    assert found.smi == "absent"


def test_an_old_nvidia_smi_is_asked_again() -> None:
    """Without the field compute_cap the capability comes from the card's name."""
    query = "--query-gpu=index,name,driver_version,memory.total,memory.used,compute_mode"
    refused = {"exit_code": 2, "stdout": 'Field "compute_cap" is not a valid field to query.\n'}
    row = "0, Tesla P40, 470.256.02, 22919, 3, Default, [N/A]\n"
    commands = {f"nvidia-smi {query},mig.mode.current,compute_cap": refused, "nvidia-smi": row}
    assert [each.compute_capability for each in gpu(commands=commands).devices] == ["6.1"]


def test_memory_that_is_not_printed_is_unknown() -> None:
    """[N/A] is no number, and no zero."""
    found = gpu(
        commands={"nvidia-smi": "0, NVIDIA GB10, 580.95.05, [N/A], [N/A], Default, [N/A], 12.1\n"}
    )
    assert isinstance(found.devices[0].memory_total_bytes, Unknown)


def test_garbage_from_nvidia_smi_is_no_device() -> None:
    """Lines of another form are not guessed at."""
    found = gpu(commands={"nvidia-smi": "hello\n1,2,3\n"})
    assert found.devices == ()
    assert found.smi == "hello"


def test_a_crash_in_libcuda_is_unknown() -> None:
    """A child that dies in cuInit leaves a reason, not a code."""
    key = "python -S -E cuda_init.py"
    found = gpu(commands={key: {"exit_code": -11, "stdout": "", "stderr": ""}})
    assert found.init_code == Unknown("cuInit in a child process: exit code -11")


def test_ids_of_cards_are_not_collected() -> None:
    """The serial part of a device name is cut off."""
    found = gpu(variables={"CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,1"})
    assert found.visible_devices == "GPU-…,1"


def test_a_forbidden_kernel_log_is_unknown() -> None:
    """Without the right to read it, nothing is said of its content."""
    said = {"exit_code": 1, "stderr": "dmesg: read kernel buffer failed: Operation not permitted"}
    found = gpu(commands={"dmesg": said})
    assert isinstance(found.kernel_log, Unknown)


def test_the_alternatives_of_debian_are_followed() -> None:
    """The link in the library folder tells the version of the file it leads to."""
    folder = "/usr/lib/x86_64-linux-gnu"
    target = f"{folder}/nvidia/current/libcuda.so.535.247.01"
    found = gpu(folders={folder: ["libcuda.so.1"]}, links={f"{folder}/libcuda.so.1": target})
    assert found.libcuda == ("535.247.01",)


def test_the_libcuda_of_a_jetson_has_no_driver_version() -> None:
    """libcuda.so.1.1 is a name, not a driver of version 1.1."""
    found = gpu(folders={"/usr/lib/x86_64-linux-gnu": ["libcuda.so.1", "libcuda.so.1.1"]})
    assert found.libcuda == ()


LISTED = """\
GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-1111aaaa-d72c-4106-c12f-20bd9faed9f6)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-2222bbbb-d72c-4106-c12f-20bd9faed9f6)
  MIG 3g.20gb     Device  0: (UUID: MIG-3333cccc-d72c-4106-c12f-20bd9faed9f6)
"""


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("GPU-2222bbbb-d72c-4106-c12f-20bd9faed9f6", "1"),
        ("GPU-1111aaaa", "0"),
        ("MIG-3333cccc-d72c-4106-c12f-20bd9faed9f6", "1"),
        ("nvidia.com/gpu=GPU-2222bbbb-d72c-4106-c12f-20bd9faed9f6", "1"),
        ("nvidia.com/gpu=0", "0"),
        ("nvidia.com/gpu=all", ""),
        ("GPU-4444dddd-d72c-4106-c12f-20bd9faed9f6", "GPU-…"),
        ("A100", "A100"),
    ],
)
def test_a_card_is_found_by_what_a_job_calls_it(wanted: str, index: str) -> None:
    """UUIDs and CDI names become the index; a UUID that is not listed names no card."""
    host = load_host("ubuntu-rtx4090")
    host["commands"] = {**host["commands"], "nvidia-smi -L": LISTED}
    assert card_asked_for(RecordedSystem(host), wanted) == index
