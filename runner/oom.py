"""How many processes the kernel has killed for want of memory, in the control group of one.

The machine's own count would do as well, were it not shared: a container next door that is killed
for its memory while somebody kills ours for another reason must not be taken for the same.
"""

from __future__ import annotations

from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MACHINE = Path("/proc/vmstat")


class OomKills:
    """Remembers the count of a process's control group, or where it has none, of the machine.

    Args:
        process_id: of a process of this machine that has just begun.
        groups: where the control groups are mounted.
        machine: a file of /proc/vmstat's form.
    """

    def __init__(
        self, process_id: int, groups: Path = CONTROL_GROUPS, machine: Path = MACHINE
    ) -> None:
        candidates = [*_counters(process_id, groups), machine]
        self._file = next((file for file in candidates if _count(file) is not None), machine)
        self._before = _count(self._file)

    def have_risen(self) -> bool | None:
        """Return whether there has been one since; None where the kernel does not say."""
        now = _count(self._file)
        return None if self._before is None or now is None else now > self._before


def _counters(process_id: int, groups: Path) -> list[Path]:
    """Return where a process's control group counts, first where memory is version 1's."""
    try:
        lines = Path(f"/proc/{process_id}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            found.insert(0, groups / "memory" / path.lstrip("/") / "memory.oom_control")
        elif not controllers:
            found.append(groups / path.lstrip("/") / "memory.events")
    return found


def _count(file: Path) -> int | None:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
