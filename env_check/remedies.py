"""Commands for this machine: its distribution, host or WSL, inside a container or not."""

from __future__ import annotations

from env_check.facts import Facts
from env_check.inference import BEFORE_TURING, chips

TOOLKIT_GUIDE = (
    "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
)
DRIVER_GUIDE = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
WINDOWS_DRIVER = "install the current NVIDIA driver in Windows (nvidia.com/drivers)"


def family(facts: Facts) -> str:
    """Return the package manager's family: apt, dnf, zypper, pacman, apk or empty."""
    words = {facts.host.distribution, *facts.host.distribution_like.split()}
    for manager, names in (
        ("apt", {"ubuntu", "debian", "linuxmint", "pop"}),
        ("dnf", {"fedora", "rhel", "centos", "rocky", "almalinux", "amzn", "ol"}),
        ("zypper", {"suse", "opensuse", "sles"}),
        ("pacman", {"arch"}),
        ("apk", {"alpine"}),
    ):
        if words & names:
            return manager
    return ""


def sudo(facts: Facts) -> str:
    return "" if facts.host.is_root else "sudo "


def install(facts: Facts, **names: str) -> str:
    """Return the command that installs a package, whose name depends on the family.

    Args:
        facts: Of the machine.
        names: Family → package names; `other` for the rest.
    """
    manager = family(facts)
    package = names.get(manager) or names.get("other", "")
    verbs = {
        "apt": "apt-get install -y",
        "dnf": "dnf install -y",
        "zypper": "zypper install -y",
        "pacman": "pacman -S --noconfirm",
        "apk": "apk add",
    }
    if manager not in verbs:
        return f"install {package} with the package manager of this system"
    return f"{sudo(facts)}{verbs[manager]} {package}"


def driver(facts: Facts) -> tuple[str, ...]:
    """Return how to install a driver that knows this card."""
    if facts.host.wsl:
        return (WINDOWS_DRIVER, "wsl --shutdown   (in Windows), then open the distribution again")
    where = ("on the host, not in this container:",) if facts.host.container else ()
    is_old = any(chip in BEFORE_TURING for chip in chips(facts))
    flavour = "580" if is_old else "580-open"
    root = sudo(facts)
    commands = {
        "ubuntu": (f"{root}apt-get install -y nvidia-driver-{flavour}", f"{root}reboot"),
        "debian": (
            f"add NVIDIA's repository ({DRIVER_GUIDE}debian.html)",
            f"{root}apt-get install -y {'cuda-drivers-580' if is_old else 'nvidia-open'}",
            f"{root}reboot",
        ),
        "fedora": (
            f"add NVIDIA's repository ({DRIVER_GUIDE}fedora.html)",
            f"{root}dnf install -y {'cuda-drivers-580' if is_old else 'nvidia-open'}",
            f"{root}reboot",
        ),
    }
    default = (f"install driver branch 580 or newer: {DRIVER_GUIDE}", f"{root}reboot")
    if is_old:
        default = (
            f"install driver branch 580, the last for this card: {DRIVER_GUIDE}",
            f"{root}reboot",
        )
    return (*where, *commands.get(facts.host.distribution, default))


def update_driver(facts: Facts) -> tuple[str, ...]:
    """Return how to bring the driver up; rented machines are exchanged, not repaired."""
    if facts.host.service == "runpod":
        return ("rent a pod with a newer driver: filter by CUDA version when you deploy",)
    if facts.host.service == "vast":
        return ("rent a machine with a newer driver: filter by `cuda_vers` when you search",)
    return driver(facts)


def toolkit(facts: Facts) -> tuple[str, ...]:
    """Return how to install the container toolkit and tell the engine of it."""
    root = sudo(facts)
    package = "nvidia-container-toolkit"
    return (
        f"add NVIDIA's repository: {TOOLKIT_GUIDE}",
        install(facts, other=package, apt=package, dnf=package, zypper=package),
        f"{root}nvidia-ctk runtime configure --runtime=docker",
        restart_docker(facts),
    )


def restart_docker(facts: Facts) -> str:
    if facts.engine.is_rootless:
        return "systemctl --user restart docker"
    return (
        f"{sudo(facts)}{'service docker restart' if facts.host.wsl else 'systemctl restart docker'}"
    )


def compiler(facts: Facts) -> str:
    return install(facts, apt="gcc", dnf="gcc", zypper="gcc", pacman="gcc", apk="build-base",
                   other="a C compiler")  # fmt: skip
