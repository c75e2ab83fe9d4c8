"""The choice of the lock."""

from __future__ import annotations

import pytest

from bootstrap.choose import choose_known_lock, choose_lock, has_nvidia_gpu
from bootstrap.errors import SetupError


def never() -> bool:
    raise AssertionError("the index was asked")


@pytest.mark.parametrize(
    ("override", "installed", "has_gpu", "expected"),
    [
        ("cli", "cpu", True, "cli"),
        ("cpu", None, True, "cpu"),
        ("", None, True, "cu130"),
        ("", "cpu", True, "cu130"),
        ("", "cpu", False, "cpu"),
        ("", "cu130", False, "cu130"),
        ("", "cli", False, None),
        ("", None, False, None),
    ],
)
def test_known_lock(override: str, installed: str, has_gpu: bool, expected: str | None) -> None:
    """The user's word decides, then a GPU, then what is installed for training already."""
    found = choose_known_lock(override=override, installed=installed, has_gpu=has_gpu)
    assert found == expected


def test_unknown_lock_is_refused() -> None:
    """A misspelt TRAINBOX_LOCK is named, not ignored."""
    with pytest.raises(SetupError, match=r"TRAINBOX_LOCK is `gpu`, expected one of cpu, cu130"):
        choose_known_lock(override="gpu", installed=None, has_gpu=False)


@pytest.mark.parametrize(("is_offered", "expected"), [(True, "cpu"), (False, "cu130")])
def test_cpu_build_is_taken_where_it_is_offered(is_offered: bool, expected: str) -> None:
    """Without a GPU the small build is taken if pip finds it; the CUDA build serves otherwise."""
    assert choose_lock(None, offers_cpu_build=lambda: is_offered) == expected


def test_index_is_not_asked_without_need() -> None:
    """A lock that is certain costs no question to the index."""
    assert choose_lock("cu130", offers_cpu_build=never) == "cu130"


@pytest.mark.parametrize(
    ("present", "expected"),
    [("/dev/nvidiactl", True), ("/usr/lib/wsl/lib/libcuda.so.1", True), ("/dev/dri/card0", False)],
)
def test_gpu_is_seen_by_its_driver(present: str, expected: bool) -> None:
    """A Linux or WSL driver means a GPU; another maker's card does not."""
    assert has_nvidia_gpu(lambda path: path == present) is expected
