"""The product's tables answer as the published sources do, and agree with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from env_check import support
from env_check.tables import bitsandbytes_builds, cuda_drivers, gpus, torch_builds

FACTS = Path(__file__).parents[3] / "shared" / "facts"
needs_facts = pytest.mark.skipif(not FACTS.is_dir(), reason="the shared tables are not beside us")


def facts(name: str) -> Any:
    import yaml

    return yaml.safe_load((FACTS / f"{name}.yaml").read_text(encoding="utf-8"))


# ---- against the shared tables


@needs_facts
def test_every_shared_gpu_is_tabled_alike() -> None:
    """Name, capability, memory and class of all 164 shared rows are ours."""
    for row in facts("gpus")["gpus"]:
        card = support.gpu(row["name"])
        assert card is not None, row["name"]
        assert (card.capability, card.kind) == (row["cc"], row["class"]), row["name"]
        assert card.memory_gib == tuple(row["vram_gib"])
        assert card.has_native_bf16 == row["bf16_native"]


@needs_facts
def test_every_shared_toolkit_is_tabled_alike() -> None:
    """Driver floors of every shared toolkit row are ours."""
    ours = {(row[0], row[1]): row for row in cuda_drivers.TOOLKITS}
    for row in facts("cuda_driver")["toolkits"]:
        mine = ours[row["toolkit"], row["release"]]
        assert row["linux_driver"].startswith(mine[2])
        floor = support.driver_floor(row["toolkit"])
        assert floor is not None
        if not row["toolkit"].startswith("11.0"):  # 11.0 itself needs 450.36.06 only
            assert floor.minimum == row["linux_driver_minor_compat"]


@needs_facts
def test_every_shared_driver_branch_is_tabled_alike() -> None:
    """The newest CUDA of every shared driver branch is ours."""
    for row in facts("cuda_driver")["driver_branches"]:
        assert support.cuda_of_driver(f"{row['branch']}.10.01") == row["cuda"]


@needs_facts
def test_every_shared_torch_build_is_tabled_alike() -> None:
    """Default builds, variants and architecture lists of the shared rows are ours."""
    shared = facts("torch_builds")
    ours = {row[0]: row for row in torch_builds.RELEASES}
    for row in shared["releases"]:
        assert list(ours[row["version"]][3]) == row["cuda_variants"]
        assert row["default_linux_x86_64"].startswith(ours[row["version"]][1])
    for row in shared["arch_lists"]:
        for line in row["torch"].split("-"):
            build = support.torch_build(line, row["build"], row["platform"])
            assert build is not None
            assert list(build.architectures) == row["sm"]


@needs_facts
def test_every_shared_bitsandbytes_library_is_tabled_alike() -> None:
    """The CUDA libraries of every measured wheel are ours."""
    for row in facts("bitsandbytes")["releases"]:
        if not isinstance(row["linux_x86_64"], list):
            continue
        for release in row["version"].replace(" / ", "-").split("-"):
            libraries = {cuda for part in row["linux_x86_64"] for cuda in part["cuda"]}
            assert set(support.bnb_cudas(release)) == libraries, release


@needs_facts
def test_every_shared_package_relation_is_tabled_alike() -> None:
    """Pairs of torch and its companions are ours."""
    shared = facts("packages")
    for row in shared["torchvision"]:
        if row["torch"][0].isdigit():
            pair = support.companions_of(row["torch"])
            assert pair is not None
            assert pair[0] == row["torchvision"]
    for row in shared["triton"]:
        assert support.triton_of(row["torch"]) == row["triton"]


# ---- internal consistency


def test_every_row_names_a_known_source() -> None:
    """A source word of a row is explained in the table's SOURCES."""
    for row in gpus.GPUS:
        assert row[-1] in gpus.SOURCES
    for arch_row in torch_builds.ARCH_LISTS:
        for source in arch_row[-1].split("; "):
            assert any(source.startswith(known) for known in torch_builds.SOURCES), source
    for library in bitsandbytes_builds.LIBRARIES:
        assert library[-1] in bitsandbytes_builds.SOURCES


def test_newer_toolkits_never_need_older_drivers() -> None:
    """Driver floors rise with the toolkit, on Linux and on Windows."""
    for column in (2, 3):
        rows = [row for row in cuda_drivers.TOOLKITS if row[column]]
        drivers = [support.version(row[column]) for row in rows]
        known_dip = {"11.8", "12.5"}  # published so: 520.06 after 516.31; U1 repeats GA
        for row, before, after in zip(rows[1:], drivers[:-1], drivers[1:], strict=True):
            assert before <= after or row[0] in known_dip, row


def test_branch_and_toolkit_tables_agree() -> None:
    """The driver a toolkit asks for offers at least that toolkit's CUDA."""
    for toolkit, _, linux, windows in cuda_drivers.TOOLKITS:
        assert support.driver_jits(linux, toolkit), (toolkit, linux)
        if windows and toolkit != "11.8":  # 520.06 is below the branch that carries 11.8
            assert support.driver_jits(windows, toolkit, "windows"), (toolkit, windows)


def test_every_gpu_is_found_under_its_own_name() -> None:
    """No name of the table shadows another one with a different capability."""
    for row in gpus.GPUS:
        card = support.gpu(row[0])
        assert card is not None
        assert card.name == row[0]


def test_every_capability_of_the_gpus_is_judged() -> None:
    """Every tabled capability but the youngest finds a build that runs on it, or none by a rule."""
    homeless = {
        card.capability
        for card in support.GPUS
        if not support.builds_for(card.capability)
        and not support.builds_for(card.capability, machine="aarch64")
    }
    assert homeless <= {"3.0", "3.5", "6.2", "7.2", "8.7"}


# ---- look-ups


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA GeForce RTX 4090", "8.9"),
        ("rtx3090", "8.6"),
        ("Tesla V100-DGXS-32GB", "7.0"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "8.0"),
        ("NVIDIA TITAN X (Pascal)", "6.1"),
        ("GeForce RTX 2080Ti", "7.5"),
        ("NVIDIA H100", "9.0"),
        ("NVIDIA GB10", "12.1"),
    ],
)
def test_a_gpu_is_found_as_programs_and_people_write_it(name: str, capability: str) -> None:
    """Vendor words, form factors, spacing and MIG profiles do not hide a card."""
    card = support.gpu(name)
    assert card is not None
    assert card.capability == capability


def test_an_unknown_gpu_is_not_guessed() -> None:
    """A name outside the table gives None."""
    assert support.gpu("Radeon RX 7900 XTX") is None
    assert support.gpu("RTX 9999") is None


@pytest.mark.parametrize(
    ("driver", "cuda", "platform", "runs", "jits"),
    [
        ("535.129.03", "12.4", "linux", True, False),  # minor-version compatibility, no PTX
        ("410.104", "10.2", "linux", False, False),
        ("575.57.08", "cu130", "linux", False, False),  # no compatibility across majors
        ("610.10", "12.8", "linux", True, True),
        ("551.78", "12.8", "wsl", True, False),
        ("470.57.02", "12.1", "linux", False, False),
    ],
)
def test_a_driver_runs_and_jits_by_the_published_rule(
    driver: str, cuda: str, platform: str, runs: bool, jits: bool
) -> None:
    """Within a major an older driver runs machine code but compiles no PTX."""
    assert support.driver_runs(driver, cuda, platform) is runs
    assert support.driver_jits(driver, cuda, platform) is jits


@pytest.mark.parametrize(
    ("torch", "capability", "fit"),
    [
        ("2.11.0+cu128", "7.0", "too-old"),
        ("2.10.0+cu128", "7.0", "fits"),
        ("2.6.0+cu124", "12.0", "too-new"),
        ("2.7.1+cu128", "12.1", "fits"),
        ("2.15.0+cu132", "6.1", "too-old"),
        ("1.10.1+cu102", "8.0", "jit"),
        ("2.9.1+cu128", "8.7", "too-old"),
    ],
)
def test_a_build_fits_a_gpu_by_the_device_rules(torch: str, capability: str, fit: str) -> None:
    """torch's own table of code and devices decides, holes included."""
    build = support.torch_build(torch)
    assert build is not None
    assert build.fit(capability) == fit


def test_no_build_is_proposed_that_the_driver_or_the_gpu_refuses() -> None:
    """Volta gets nothing from a CUDA 13 index, Pascal nothing from torch 2.15."""
    for build in support.builds_for("7.0", "580.95.05"):
        assert support.minor(build.cuda) < (13, 0)
    assert all(build.torch != "2.15" for build in support.builds_for("6.1"))
    assert support.builds_for("12.0", "535.129.03")[0].tag == "cu128"
    assert support.builds_for("8.6", "470.57.02")[0].tag == "cu118"


def test_bitsandbytes_libraries_follow_the_release() -> None:
    """A missing library is None before 0.50 and the closest one of the major after."""
    assert support.bnb_library("0.41.3", "12.4") is None
    assert support.bnb_library("0.45.5", "12.4") is not None
    closest = support.bnb_library("0.50.2", "12.9")
    assert closest is not None
    assert (closest.cuda, closest.is_exact) == ("128", False)
    assert support.bnb_releases_with("12.8", "7.0")[0] == "0.50.2"
    assert "0.46.1" not in support.bnb_releases_with("12.8", "7.0")


def test_companions_follow_the_torch_line() -> None:
    """torchvision 0.20 belongs to torch 2.5; the stable-ABI wheel to every torch from 2.14 on."""
    assert support.companion_fits("torchvision", "0.20.1+cu124", "2.4.0") is False
    assert support.companion_fits("torchvision", "0.21.0+cu126", "2.6.0") is True
    assert support.companion_fits("torchvision", "0.29.2", "2.15.0") is True
    assert support.companion_fits("torchaudio", "2.11.0", "2.13.0") is None
