"""Commands for this machine: its distribution, host or WSL, inside a container or not."""

from __future__ import annotations

from env_check.facts import Facts
from env_check.inference import BEFORE_TURING, chips

TOOLKIT_GUIDE = (
    "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
)
DRIVER_GUIDE = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
WSL_MEMORY = (
    "in Windows, %UserProfile%\\.wslconfig: [wsl2] memory=<all but 4>GB (its default is half of "
    "the computer's), then `wsl --shutdown`"
)
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
    """Return what makes a command root's; containers seldom have sudo."""
    return "" if facts.host.is_root or facts.host.container else "sudo "


def install(facts: Facts, **names: str) -> str:
    """Return the command that installs a package, whose name depends on the family.

    Args:
        facts: Of the machine.
        names: Family → package names; `other` says in words what to look for in the rest.
    """
    manager = family(facts)
    package = names.get(manager)
    verbs = {
        "apt": "apt-get install -y",
        "dnf": "dnf install -y",
        "zypper": "zypper install -y",
        "pacman": "pacman -S --noconfirm",
        "apk": "apk add",
    }
    if package is None:
        return f"install {names['other']} with the package manager of this system"
    command = f"{sudo(facts)}{verbs[manager]} {package}"
    if facts.host.container and not facts.host.is_root:
        command += "   (as root: docker exec -u 0 …, for good in the image)"
    return command


def driver(facts: Facts) -> tuple[str, ...]:
    """Return how to install a driver that knows this card."""
    if facts.host.wsl:
        return (WINDOWS_DRIVER, "wsl --shutdown   (in Windows), then open the distribution again")
    is_old = any(chip in BEFORE_TURING for chip in chips(facts))
    wanted = "580, the last for this card" if is_old else "580 or newer"
    if facts.host.container:  # whose distribution is not that of the host
        return (
            f"on the host, not in this container: install NVIDIA's driver {wanted}: {DRIVER_GUIDE}",
            f"{reboot(facts)}, then start this container again",
        )
    commands = _driver_packages(facts, is_old) or (
        f"install NVIDIA's driver {wanted}: {DRIVER_GUIDE}",
    )
    return (*commands, reboot(facts))


def reboot(facts: Facts) -> str:
    return "on the host: reboot" if facts.host.container else f"{sudo(facts)}reboot"


def _driver_packages(facts: Facts, is_old: bool) -> tuple[str, ...]:
    """Return the commands of this distribution, empty where its names are not known.

    Sources: Ubuntu's archive; NVIDIA Driver Installation Guide (kernel modules, version locking);
    Arch Linux news of 2025-12, which moved the cards before Turing to the AUR.
    """
    root, guide = sudo(facts), f"add NVIDIA's repository: {DRIVER_GUIDE}"
    words = (facts.host.distribution, *facts.host.distribution_like.split())
    name = next((word for word in words if word in ("ubuntu", "debian", "fedora", "arch")), "")
    is_fedora_like = name == "fedora" and facts.host.distribution != "fedora"  # RHEL has modules
    commands = {
        ("ubuntu", False): (f"{root}apt-get install -y nvidia-driver-580-open",),
        ("ubuntu", True): (f"{root}apt-get install -y nvidia-driver-580",),
        ("debian", False): (guide, f"{root}apt-get install -y nvidia-open"),
        ("debian", True): (
            guide,
            f"{root}apt-get install -y nvidia-driver-pinning-580",
            f"{root}apt-get install -y cuda-drivers",
        ),
        ("fedora", False): (guide, f"{root}dnf install -y nvidia-open"),
        ("fedora", True): (
            guide,
            f"{root}dnf versionlock add '*nvidia*580*'",
            f"{root}dnf install -y cuda-drivers",
        ),
        ("arch", False): (f"{root}pacman -S --noconfirm nvidia-open",),
        ("arch", True): ("install nvidia-580xx-dkms and nvidia-580xx-utils from the AUR",),
    }
    return () if is_fedora_like else commands.get((name, is_old), ())


def update_driver(facts: Facts) -> tuple[str, ...]:
    """Return how to bring the driver up; rented machines are exchanged, not repaired."""
    if facts.host.service == "runpod":
        return ("rent a pod with a newer driver: filter by CUDA version when you deploy",)
    if facts.host.service == "vast":
        return ("rent a machine with a newer driver: filter by `cuda_vers` when you search",)
    return driver(facts)


def toolkit(facts: Facts) -> tuple[str, ...]:
    """Return how to install the container toolkit and tell the engine of it."""
    package = "nvidia-container-toolkit"
    names = dict.fromkeys(("apt", "dnf", "zypper", "pacman", "other"), package)
    in_archive = family(facts) == "pacman"
    return (
        *(() if in_archive else (f"add NVIDIA's repository: {TOOLKIT_GUIDE}",)),
        install(facts, **names),
        configure_docker(facts),
        restart_docker(facts),
    )


def configure_docker(facts: Facts) -> str:
    """Return how to tell the engine of the toolkit; one without root has a file of its own."""
    command = "nvidia-ctk runtime configure --runtime=docker"
    if facts.engine.is_rootless:
        return f"{command} --config=$HOME/.config/docker/daemon.json"
    return f"{sudo(facts)}{command}"


def restart_docker(facts: Facts) -> str:
    if facts.engine.is_rootless:
        return "systemctl --user restart docker"
    verb = "service docker restart" if facts.host.wsl else "systemctl restart docker"
    return f"{sudo(facts)}{verb}"


def start_docker(facts: Facts) -> str:
    if facts.host.wsl:
        return f"start Docker Desktop in Windows, or: {sudo(facts)}service docker start"
    return f"{sudo(facts)}systemctl enable --now docker"


def reach_docker(facts: Facts) -> tuple[str, ...]:
    """Return how to have the engine answer: to this account, or at all."""
    if facts.engine.problem == "not allowed":
        return ("sudo usermod -aG docker $USER", "newgrp docker   (or log in again)")
    return (start_docker(facts), "or correct DOCKER_HOST, where it is set")


def compiler(facts: Facts) -> str:
    return install(facts, apt="gcc", dnf="gcc", zypper="gcc", pacman="gcc", apk="build-base",
                   other="a C compiler")  # fmt: skip
