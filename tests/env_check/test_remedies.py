"""Commands that mend: of this distribution, host or container, with sudo or without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from env_check import remedies
from env_check.facts import Engine, Facts, Host
from env_check.judge import judge
from tests.env_check.recorded import facts_of, load_host

DISTRIBUTIONS = {
    "ubuntu": "debian", "debian": "", "linuxmint": "ubuntu debian", "fedora": "",
    "rocky": "rhel centos fedora", "arch": "", "opensuse-leap": "suse opensuse", "alpine": "",
    "gentoo": "",
}  # fmt: skip


def on(distribution: str, **host: object) -> Facts:
    like = DISTRIBUTIONS[distribution]
    given = {"distribution": distribution, "distribution_like": like, **host}
    return Facts(host=Host(**given))  # type: ignore[arg-type]  # fields of Host, by name


@pytest.mark.parametrize(
    ("distribution", "command"),
    [
        ("ubuntu", "sudo apt-get install -y gcc"),
        ("debian", "sudo apt-get install -y gcc"),
        ("linuxmint", "sudo apt-get install -y gcc"),
        ("fedora", "sudo dnf install -y gcc"),
        ("rocky", "sudo dnf install -y gcc"),
        ("arch", "sudo pacman -S --noconfirm gcc"),
        ("opensuse-leap", "sudo zypper install -y gcc"),
        ("alpine", "sudo apk add build-base"),
        ("gentoo", "install a C compiler with the package manager of this system"),
    ],
)
def test_a_package_is_installed_the_way_of_the_distribution(
    distribution: str, command: str
) -> None:
    """Derived distributions take the commands of their parents; a strange one gets words."""
    assert remedies.compiler(on(distribution)) == command


def test_root_and_containers_need_no_sudo() -> None:
    """Root has no use for it and a container has none; without root it says who is."""
    assert remedies.compiler(on("debian", is_root=True)) == "apt-get install -y gcc"
    inside = remedies.compiler(on("debian", container="docker"))
    assert inside.startswith("apt-get install -y gcc") and "docker exec -u 0" in inside


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("old", [False, True])
def test_a_driver_is_proposed_that_knows_the_card(distribution: str, old: bool) -> None:
    """Before Turing no open module and no branch after 580; from Turing on the open module."""
    facts = facts_of(load_host("p100" if old else "ubuntu-rtx4090"))
    host = on(distribution).host
    commands = "\n".join(remedies.driver(replace(facts, host=host)))
    assert ("580" in commands) if old else ("580" in commands or "nvidia-open" in commands)
    assert not (old and "open" in commands.replace("opensuse", ""))
    assert commands.endswith("reboot")


def test_a_container_sends_to_its_host() -> None:
    """The distribution inside says nothing of the host, so no command of it is proposed."""
    commands = remedies.driver(on("debian", container="docker"))
    assert all("host" in each for each in commands)
    assert not any("apt-get" in each for each in commands)


def test_under_wsl_the_driver_is_that_of_windows() -> None:
    """No package of the distribution, and the engine may be Docker Desktop's."""
    facts = on("ubuntu", wsl=2)
    assert not any("apt-get" in each for each in remedies.driver(facts))
    assert "Docker Desktop" in remedies.start_docker(facts)


def test_a_rootless_engine_has_its_own_configuration() -> None:
    """Neither sudo nor /etc belong to it."""
    facts = replace(on("ubuntu"), engine=Engine(is_rootless=True))
    assert "$HOME" in remedies.configure_docker(facts)
    assert "sudo" not in remedies.configure_docker(facts) + remedies.restart_docker(facts)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(
    "host", ["no-driver", "no-toolkit", "no-compiler", "no-python-headers", "kernel-updated"]
)
def test_words_are_never_given_to_a_package_manager(distribution: str, host: str) -> None:
    """Where a package's name is not known, the fix is a sentence and no command."""
    facts = replace(facts_of(load_host(host)), host=on(distribution).host)
    for finding in judge(facts):
        for line in finding.fix:
            assert not ("install -y the " in line or "noconfirm the " in line or "add the " in line)
