"""The choice of image: never advice that would not pass its own rules."""

from __future__ import annotations

import pytest

from env_check import support
from env_check.choose import VARIANTS, choose, text, why_not
from env_check.facts import Device, Facts, Gpu, Host
from env_check.tables.cuda_drivers import DRIVER_BRANCHES

CAPABILITIES = sorted({card.capability for card in support.GPUS}, key=support.minor)


def machine(
    capability: str, driver: str, *, kind: str = "x86_64", wsl: int = 0, name: str = "Some GPU"
) -> Facts:
    device = Device(0, name, 16 << 30, 0, capability)
    gpu = Gpu(module_version=driver, smi="ok", driver_version=driver, devices=(device,))
    return Facts(host=Host(machine=kind, wsl=wsl, glibc="2.39"), gpu=gpu)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("kind", ["x86_64", "aarch64"])
def test_a_chosen_variant_has_code_for_the_card_and_a_driver_that_runs_it(
    capability: str, kind: str
) -> None:
    """Over all cards and driver branches: what is chosen fits, and what is excluded does not."""
    for branch in DRIVER_BRANCHES:
        facts = machine(capability, f"{branch}.100.00", kind=kind)
        choice = choose(facts)
        for variant in VARIANTS[:-1]:
            build = variant.build(kind)
            runs = support.driver_runs(f"{branch}.100.00", variant.cuda)
            fits = build is not None and build.fit(capability) in ("fits", "jit") and runs
            if variant.name == choice.variant:
                assert fits
        assert {each.variant for each in choice.excluded}.isdisjoint({choice.variant})
        assert choice.variant or choice.way_out


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_way_out_is_one(capability: str) -> None:
    """A driver that is proposed exists for the card, and a variant runs on it."""
    for branch in DRIVER_BRANCHES:
        way_out = choose(machine(capability, f"{branch}.100.00")).way_out
        if not way_out.startswith("driver "):
            continue
        proposed = way_out.split()[1]
        last = support.last_driver_branch(capability)
        assert last is None or int(proposed) <= last
        assert choose(machine(capability, f"{proposed}.95.05")).variant in way_out


@pytest.mark.parametrize(
    ("capability", "driver", "kind", "variant"),
    [
        ("8.9", "580.95.05", "x86_64", "cu130"),
        ("8.9", "550.163.01", "x86_64", "cu128"),
        ("7.0", "580.95.05", "x86_64", "cu128"),
        ("6.1", "535.261.03", "x86_64", "cu126"),
        ("5.2", "535.261.03", "x86_64", "cu126"),
        ("12.0", "570.124.06", "x86_64", "cu128"),
        ("12.1", "580.95.05", "aarch64", "cu130"),
        ("9.0", "570.124.06", "aarch64", None),  # no CUDA 12.8 wheel of torch 2.10 for arm64
        ("8.0", "470.256.02", "x86_64", None),
        ("3.7", "470.256.02", "x86_64", None),
    ],
)
def test_known_machines(capability: str, driver: str, kind: str, variant: str | None) -> None:
    """The rows of the table of variants."""
    assert choose(machine(capability, driver, kind=kind)).variant == variant


def test_forward_compatibility_is_for_data_centre_cards() -> None:
    """cuda-compat is mentioned for an A100 with an old driver, and not for a GeForce."""
    server = choose(machine("8.0", "470.256.02", name="NVIDIA A100-SXM4-40GB"))
    desktop = choose(machine("8.6", "470.256.02", name="NVIDIA GeForce RTX 3090"))
    assert "cuda-compat" in server.way_out
    assert "cuda-compat" not in desktop.way_out


def test_under_wsl_the_windows_driver_decides() -> None:
    """A Windows driver number is compared with the Windows floor."""
    assert choose(machine("8.9", "528.33", wsl=2)).variant == "cu128"
    assert choose(machine("8.9", "527.41", wsl=2)).variant is None


def test_a_card_without_bfloat16_gets_a_note() -> None:
    """On Turing the choice says that bfloat16 is emulated."""
    assert "bfloat16" in text(choose(machine("7.5", "580.95.05")))


def test_a_floor_in_the_table_of_variants_is_the_one_computed() -> None:
    """The floors written down are those of the CUDA tables."""
    for variant in VARIANTS[:-1]:
        floor = support.driver_floor(variant.cuda)
        assert floor is not None and floor.minimum == variant.driver_floor
        assert why_not(variant, machine("8.6", "610.10.10")) == ""
