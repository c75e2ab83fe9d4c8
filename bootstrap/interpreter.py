"""Find a Python that can carry the environment: one that really runs, of a locked version.

NOTE: syntax and library of Python 3.6 only (annotations in quotes are never evaluated);
`bootstrap.cli` and all else may be newer.
"""

import os
import shutil
import subprocess
import sys

LOCKED = ((3, 11), (3, 12))  # the versions that cpu.lock and cu130.lock are resolved for
OLDEST_FOR_CLI = (3, 10)  # cli.lock has no upper bound


def fits(version: "tuple[int, ...]", lock: str) -> bool:
    """Tell whether a (major, minor) version can install the lock called `lock`."""
    return version >= OLDEST_FOR_CLI if lock == "cli" else version in LOCKED


def version_of(command: str) -> "tuple[int, ...] | None":
    """Return (major, minor) of an interpreter, or None where it does not run.

    A version manager's shim is found on the PATH and still fails: only running it tells.
    """
    program = "import sys; print('%d %d' % sys.version_info[:2])"
    try:
        output = subprocess.check_output(
            [command, "-S", "-c", program], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return tuple(int(word) for word in output.split())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def find(commands: "tuple[str, ...]", lock: str) -> "tuple[str | None, list[str]]":
    """Return the first command that fits, or None, and a phrase on each that does not."""
    refused = []  # type: list[str]
    for command in commands:
        version = version_of(command)
        if version is not None and fits(version, lock):
            return command, refused
        state = "does not run" if version is None else "is " + ".".join(map(str, version))
        refused.append(f"{command} {state}")
    return None, refused


def explain(refused: "list[str]", lock: str) -> str:
    """Return the error for a machine without a fitting Python."""
    needed = "Python 3.10 or newer" if lock == "cli" else "Python 3.11 or 3.12"
    sudo = "" if os.geteuid() == 0 else "sudo "
    return (
        f"error[setup-no-python]: {needed} is needed: {', '.join(refused)}\n"
        "  why:   the locked packages are built for these versions\n"
        f"  fix:   {sudo}apt-get install python3.11 python3.11-venv   "
        "(or name one: TRAINBOX_PYTHON=/path/to/python3.12 make setup)"
    )


def trains_elsewhere(arguments: "list[str]") -> bool:
    """Tell whether a Python that no training package is locked for may do: Docker has its own.

    Tests train in the environment itself.
    """
    return "--dev" not in arguments and shutil.which("docker") is not None


def hand_over() -> None:
    """Run `bootstrap.cli` here if this Python fits, else in the first one that does."""
    lock = os.environ.get("TRAINBOX_LOCK", "")
    wanted = os.environ.get("TRAINBOX_PYTHON", "")
    if not wanted and fits(sys.version_info[:2], lock):
        from bootstrap.cli import main  # newer syntax

        sys.exit(main())
    commands = (wanted,) if wanted else ("python3", "python3.12", "python3.11")
    command, refused = find(commands, lock)
    if command is None and not lock and trains_elsewhere(sys.argv):
        command, _ = find(commands, "cli")
        os.environ["TRAINBOX_LOCK"] = "cli"
    if command is None:
        sys.exit(explain(refused, lock))
    os.execvp(command, [command, "-m", "bootstrap.cli", *sys.argv[1:]])
