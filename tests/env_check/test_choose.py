"""The choice of image: never advice that would not pass its own rules."""

from __future__ import annotations

import pytest

from env_check import support
from env_check.choose import GPU_VARIANTS, Target, choose, choose_for, target_of, text, why_not
from env_check.facts import Device, Facts, Gpu, Host, PciCard, Unknown
from env_check.tables.cuda_drivers import DRIVER_BRANCHES
from tests.env_check.recorded import facts_of, host_names, load_host

CAPABILITIES = sorted({card.capability for card in support.GPUS}, key=support.minor)
BRANCHES = [f"{branch}.100.00" for branch in DRIVER_BRANCHES]


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_chosen_variant_has_code_for_the_card_and_a_driver_that_runs_it(
    capability: str, machine: str
) -> None:
    """Over all cards and driver branches: what is chosen fits, and it is the newest that does."""
    for driver in BRANCHES:
        choice = choose_for(Target((capability,), driver, machine))
        runs = [
            variant.name
            for variant in GPU_VARIANTS
            if (build := variant.build(machine)) is not None
            and build.fit(capability) in ("fits", "jit")
            and support.driver_runs(driver, variant.cuda)
            and support.version(driver)[0] <= (support.last_driver_branch(capability) or 10_000)
            and support.version(driver)[0] >= (support.first_driver_branch(capability) or 0)
        ]
        if choice.variant:
            assert choice.variant == runs[0]
        else:
            assert not runs and choice.way_out
            assert {each.variant for each in choice.excluded} == {v.name for v in GPU_VARIANTS}


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_way_out_is_one(capability: str, machine: str) -> None:
    """A driver that is proposed exists for the card, and the variant named with it runs on it."""
    for driver in BRANCHES:
        way_out = choose_for(Target((capability,), driver, machine)).way_out
        if not way_out.startswith("driver "):
            continue
        proposed = way_out.split()[1]
        last = support.last_driver_branch(capability)
        assert last is None or int(proposed) <= last
        after = choose_for(Target((capability,), f"{proposed}.250.00", machine))
        assert after.variant and f"allows {after.variant}" in way_out


@pytest.mark.parametrize(
    ("capability", "driver", "machine", "variant"),
    [
        ("8.9", "580.95.05", "x86_64", "cu130"),
        ("8.9", "615.20.01", "x86_64", "cu130"),
        ("8.9", "550.163.01", "x86_64", "cu128"),
        ("7.5", "580.95.05", "x86_64", "cu130"),
        ("7.0", "580.95.05", "x86_64", "cu128"),  # a driver of CUDA 13, a card without its builds
        ("7.0", "590.48.01", "x86_64", None),
        ("6.1", "535.261.03", "x86_64", "cu126"),
        ("6.0", "580.95.05", "x86_64", "cu126"),
        ("5.2", "535.261.03", "x86_64", "cu126"),
        ("12.0", "570.124.06", "x86_64", "cu128"),
        ("12.0", "565.57.01", "x86_64", None),
        ("12.1", "580.95.05", "aarch64", "cu130"),
        ("9.0", "570.124.06", "aarch64", None),  # no CUDA 12.8 wheel of torch 2.10 for arm64
        ("8.0", "525.60.13", "x86_64", "cu128"),
        ("8.0", "525.60.12", "x86_64", None),
        ("8.0", "470.256.02", "x86_64", None),
        ("3.7", "470.256.02", "x86_64", None),
    ],
)
def test_known_machines(capability: str, driver: str, machine: str, variant: str | None) -> None:
    """The rows of the table of variants, and their borders."""
    assert choose_for(Target((capability,), driver, machine)).variant == variant


def test_cards_of_two_kinds_get_what_serves_both() -> None:
    """Beside a V100 an Ada card gets the variant of the V100; with a P100 too, none serves."""
    assert choose_for(Target(("7.0", "8.9"), "580.95.05")).variant == "cu128"
    none = choose_for(Target(("6.0", "12.0"), "580.95.05"))
    assert none.variant is None and "CUDA_VISIBLE_DEVICES" in none.way_out


def test_forward_compatibility_is_for_data_centre_cards() -> None:
    """cuda-compat is mentioned for an A100 with an old driver, and not for a GeForce."""
    server = choose_for(Target(("8.0",), "470.256.02", names=("NVIDIA A100-SXM4-40GB",)))
    desktop = choose_for(Target(("8.6",), "470.256.02", names=("NVIDIA GeForce RTX 3090",)))
    unknown = choose_for(Target(("8.6",), "470.256.02"))
    assert "cuda-compat" in server.way_out
    assert "cuda-compat" not in desktop.way_out + unknown.way_out


def test_under_wsl_the_windows_driver_decides() -> None:
    """A Windows driver number is compared with the Windows floor."""
    assert choose_for(Target(("8.9",), "528.33", platform="wsl")).variant == "cu128"
    assert choose_for(Target(("8.9",), "527.41", platform="wsl")).variant is None


def test_a_card_that_cannot_do_something_gets_a_note() -> None:
    """Turing emulates bfloat16, Maxwell has no 4-bit kernels, Blackwell on 570 could have more."""
    assert "bfloat16" in text(choose_for(Target(("7.5",), "580.95.05")))
    assert "4-bit" in text(choose_for(Target(("5.2",), "580.95.05")))
    assert "cu130" in "".join(choose_for(Target(("12.0",), "570.124.06")).notes)


def test_a_floor_in_the_table_of_variants_is_the_one_computed() -> None:
    """The floors written down are those of the CUDA tables."""
    for variant in GPU_VARIANTS:
        floor = support.driver_floor(variant.cuda)
        assert floor is not None and floor.minimum == variant.driver_floor
        assert why_not(variant, Target(("8.6",), "610.10.10")) == ""


# ---- whole machines


def card(device_id: str, driver: str, *devices: Device) -> Facts:
    cards = (PciCard("nvidia", device_id, "nvidia"),)
    gpu = Gpu(cards=cards, module_version=driver, driver_version=driver, devices=devices)
    return Facts(host=Host(machine="x86_64"), gpu=gpu)


def test_a_card_that_its_driver_has_dropped_is_told_the_last_one() -> None:
    """A P100 under 590 is not listed; the bus tells the family, and so the way out."""
    choice = choose(card("15f8", "590.48.01"))
    assert choice.variant is None and choice.is_decided
    assert choice.way_out == "driver 580 (the last for this card) allows cu126"


def test_a_kepler_card_is_not_sent_to_another_driver() -> None:
    """No driver helps a K80: no build is left for it."""
    assert "another card" in choose(card("102d", "535.261.03")).way_out


def test_what_is_not_known_is_not_guessed() -> None:
    """Without a driver version or with one unread capability there is no choice."""
    for facts in (
        card("2684", ""),
        card("2684", "580.95.05", Device(0, "RTX X", 1, 0, Unknown("not printed"))),
    ):
        choice = choose(facts)
        assert choice.variant is None and not choice.is_decided


@pytest.mark.parametrize("name", host_names())
def test_on_every_recorded_host_the_choice_passes_its_own_rules(name: str) -> None:
    """A variant that is chosen has no reason against it; without one there is a way out."""
    facts = facts_of(load_host(name))
    choice = choose(facts)
    chosen = [each for each in GPU_VARIANTS if each.name == choice.variant]
    for variant in chosen:
        assert why_not(variant, target_of(facts)) == ""
    assert choice.reason and (choice.variant or choice.way_out)
    assert choice.variant not in {each.variant for each in choice.excluded}
