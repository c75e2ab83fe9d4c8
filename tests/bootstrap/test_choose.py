"""The choice of the lock."""

from __future__ import annotations

import pytest

from bootstrap.choose import choose_known_lock, choose_lock, has_nvidia_gpu
from bootstrap.errors import SetupError


def answer(value: bool | None) -> bool:
    assert value is not None, "this was not to be asked"
    return value


@pytest.mark.parametrize(
    ("override", "installed", "has_gpu", "must_train", "expected"),
    [
        ("cli", "cpu", True, False, "cli"),
        ("cpu", None, True, False, "cpu"),
        ("", None, True, True, "cu130"),
        ("", None, True, False, None),
        ("", "cpu", True, False, "cu130"),
        ("", "cpu", False, False, "cpu"),
        ("", "cu130", False, False, "cu130"),
        ("", "cli", False, False, "cli"),
        ("", "cli", True, False, "cli"),
        ("", "cli", False, True, None),
        ("", None, False, False, None),
    ],
)
def test_known_lock(
    override: str, installed: str, has_gpu: bool, must_train: bool, expected: str | None
) -> None:
    """The user's word decides, then what is installed as long as it does what is wanted."""
    found = choose_known_lock(
        override=override, installed=installed, has_gpu=has_gpu, must_train=must_train
    )
    assert found == expected


def test_unknown_lock_is_refused() -> None:
    """A misspelt TRAINBOX_LOCK is named, not ignored."""
    with pytest.raises(SetupError, match=r"TRAINBOX_LOCK is `gpu`, expected one of cpu, cu130"):
        choose_known_lock(override="gpu", installed=None, has_gpu=False, must_train=False)


@pytest.mark.parametrize(
    ("must_train", "has_gpu", "has_containers", "offers_cpu_build", "expected"),
    [
        (False, False, True, None, "cli"),
        (False, True, True, None, "cli"),
        (True, False, None, True, "cpu"),
        (True, True, None, None, "cu130"),
        (False, True, False, None, "cu130"),
        (False, False, False, True, "cpu"),
        (False, False, False, False, "cu130"),
    ],
)
def test_lock_follows_from_what_the_machine_offers(
    must_train: bool,
    has_gpu: bool,
    has_containers: bool | None,
    offers_cpu_build: bool | None,
    expected: str,
) -> None:
    """Containers need no torch here, a GPU its CUDA build, a CPU the small build if pip finds it.

    None stands for a question that must not be asked.
    """
    found = choose_lock(
        None,
        must_train=must_train,
        has_gpu=has_gpu,
        has_containers=lambda: answer(has_containers),
        offers_cpu_build=lambda: answer(offers_cpu_build),
    )
    assert found == expected


def test_nothing_is_asked_without_need() -> None:
    """A lock that is certain costs no question to engine or index."""
    found = choose_lock(
        "cu130",
        must_train=False,
        has_gpu=False,
        has_containers=lambda: answer(None),
        offers_cpu_build=lambda: answer(None),
    )
    assert found == "cu130"


@pytest.mark.parametrize(
    ("present", "expected"),
    [("/dev/nvidiactl", True), ("/usr/lib/wsl/lib/libcuda.so.1", True), ("/dev/dri/card0", False)],
)
def test_gpu_is_seen_by_its_driver(present: str, expected: bool) -> None:
    """A Linux or WSL driver means a GPU; another maker's card does not."""
    assert has_nvidia_gpu(lambda path: path == present) is expected
