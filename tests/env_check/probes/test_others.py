"""What the other probes read where a machine is odd."""

from __future__ import annotations

from env_check.facts import Unknown
from env_check.probes import container, host, storage
from tests.env_check.recorded import RecordedSystem


def system(**parts: dict[str, object]) -> RecordedSystem:
    return RecordedSystem(parts)


def test_an_old_control_group_has_its_limits_elsewhere() -> None:
    """Limits of cgroup v1 are read where v2 has none; a number near 2^63 is no limit."""
    files: dict[str, object] = {
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "8589934592\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    found = storage.probe(system(files=files))
    assert (found.memory_limit_bytes, found.cpu_limit) == (8 << 30, 1.5)
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
    assert storage.probe(system(files=files)).memory_limit_bytes is None


def test_no_limit_is_none() -> None:
    """`max` in cgroup v2 is no limit."""
    files: dict[str, object] = {
        "/sys/fs/cgroup/memory.max": "max\n",
        "/sys/fs/cgroup/cpu.max": "max 100000\n",
    }
    found = storage.probe(system(files=files))
    assert (found.memory_limit_bytes, found.cpu_limit) == (None, None)


def test_unreadable_memory_is_unknown() -> None:
    """Without /proc/meminfo there is no number."""
    assert isinstance(storage.probe(system()).memory_total_bytes, Unknown)


def test_a_container_is_told_by_its_marks() -> None:
    """Docker, Podman, Kubernetes and LXC leave different marks."""
    assert host.container(system(files={"/.dockerenv": ""})) == "docker"
    assert host.container(system(files={"/run/.containerenv": ""})) == "podman"
    assert host.container(system(variables={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})) == "kubernetes"
    assert host.container(system(files={"/proc/1/cgroup": "0::/lxc/box\n"})) == "lxc"
    assert host.container(system(files={"/proc/1/cgroup": "0::/init.scope\n"})) == ""


def test_an_engine_that_prints_nonsense_is_not_there() -> None:
    """What is no JSON object is no engine, and its first line is the reason."""
    commands: dict[str, object] = {
        "docker info": {"exit_code": 1, "stdout": "{broken\n", "stderr": "context not found"},
        "docker --version": "Docker version 28.5.1, build e180ab8\n",
    }
    found = container.probe(system(commands=commands))
    assert (found.cli_version, found.server_version) == ("28.5.1", None)
    assert found.problem == "context not found"


def test_an_engine_that_hangs_is_unknown() -> None:
    """No answer in time is neither running nor down."""
    commands: dict[str, object] = {
        "docker info": {"exit_code": None, "problem": "no answer within 4 s"},
        "docker --version": "Docker version 28.5.1\n",
    }
    assert isinstance(container.probe(system(commands=commands)).server_version, Unknown)
