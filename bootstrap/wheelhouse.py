"""`make wheelhouse`: bring the locked wheels of an image here, for a build without a network.

Every file is one of the lock's, by its hash. Run by the environment's Python, whose pip reads the
index, proxy and certificates of the user.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.errors import SetupError
from bootstrap.lockfile import Pin, parse_lock
from bootstrap.pip import NEW_FILE, explain
from runner.container.build import with_obtainable_lock
from runner.container.image import choose_variant
from runner.record.manifest import file_sha256

Say = Callable[[str], None]

COMMAND_LINE = "cli"  # the lock of `make setup` beside an engine
# glibc of the wheels' platforms: up to the oldest base that is promised (Debian 12).
GLIBC_MINORS = range(36, 4, -1)
LEGACY = ("manylinux2014", "manylinux2010", "manylinux1", "linux")
NAMED = 8  # missing packages, of which the others are counted


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The wheels of one lock for one Python on this machine's processor."""

    lock: str
    python: str  # `3.12`
    pins: tuple[Pin, ...]  # those that its markers choose, without markers

    @property
    def platforms(self) -> list[str]:
        """The platform tags that its wheels may have, best first."""
        machine = platform.machine()
        return [
            *(f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS),
            *(f"{name}_{machine}" for name in LEGACY),
        ]


def fill(root: Path, variant_name: str, *, say: Say) -> None:
    """Bring what an image of a variant, and the command line beside it, are installed from.

    Raises:
        SetupError: a wheel cannot be had.
    """
    for wanted in wanted_of(root, variant_name, say=say, offline=False):
        if not (absent := missing(wanted, root / "wheelhouse")):
            say(f"locks/{wanted.lock}.lock: all {len(wanted.pins)} wheels are here")
            continue
        say(f"locks/{wanted.lock}.lock: bringing {len(absent)} of {len(wanted.pins)} wheels")
        download(replace(wanted, pins=tuple(absent)), root / "wheelhouse", say=say)
    wheels = list((root / "wheelhouse").glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels)
    say(f"wheelhouse/: {len(wheels)} wheels, {size / 1e6:.0f} MB")


def check(root: Path, variant_name: str, *, say: Say) -> None:
    """Fail where a wheel of a variant's image is not in the wheelhouse; name all that are not.

    Raises:
        SetupError: some are missing.
    """
    image, _ = wanted_of(root, variant_name, say=say, offline=True)
    absent = [f"{pin.name} {pin.version}" for pin in missing(image, root / "wheelhouse")]
    if absent:
        more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
        raise SetupError(
            id="wheelhouse-incomplete",
            what=f"{len(absent)} of {len(image.pins)} wheels are not in wheelhouse/: "
            f"{', '.join(absent[:NAMED])}{more}",
            where=str(root / "locks" / f"{image.lock}.lock"),
            why=f"without a network an image for Python {image.python} is built from them alone",
            fix=f"on a machine with an index: make wheelhouse VARIANT={variant_name}; "
            "then copy wheelhouse/ here",
        )


def wanted_of(root: Path, variant_name: str, *, say: Say, offline: bool) -> tuple[Wanted, Wanted]:
    """Return what the image wants, and the command line with the Python that runs here."""
    variant = choose_variant(variant_name)
    variant = with_obtainable_lock(variant, root, say, offline=offline)
    here = "{}.{}".format(*sys.version_info)
    return (
        wanted_by(root, variant.lock, variant.python),
        wanted_by(root, COMMAND_LINE, here),
    )


def wanted_by(root: Path, lock: str, python: str) -> Wanted:
    """Return the wheels that a lock names for a Python."""
    from packaging.markers import Marker  # of the environment

    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    pins = [
        replace(pin, marker=None)
        for pin in parse_lock((root / "locks" / f"{lock}.lock").read_text(encoding="utf-8"))
        if pin.marker is None or Marker(pin.marker).evaluate(environment)
    ]
    return Wanted(lock=lock, python=python, pins=tuple(pins))


def missing(wanted: Wanted, wheelhouse: Path) -> list[Pin]:
    """Return the pins of which no wheel that fits lies in a folder."""
    names = {pin.name for pin in wanted.pins}
    present = {file_sha256(wheel) for wheel in fitting(wanted, wheelhouse, names)}
    return [pin for pin in wanted.pins if not present.intersection(pin.hashes)]


def fitting(wanted: Wanted, wheelhouse: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yield the wheels of a folder that the Python can install, of some packages."""
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

    python = tuple(int(part) for part in wanted.python.split("."))
    interpreter = f"cp{python[0]}{python[1]}"
    tags = {
        *cpython_tags(python, [interpreter], wanted.platforms),
        *compatible_tags(python, interpreter, wanted.platforms),
    }
    plain = {canonicalize_name(name) for name in names}
    for wheel in sorted(wheelhouse.glob("*.whl")):
        try:
            name, _, _, its_tags = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            continue
        if name in plain and tags & its_tags:
            yield wheel


def download(wanted: Wanted, wheelhouse: Path, *, say: Say) -> None:
    """Have pip bring wheels into a folder, by hash.

    Raises:
        SetupError: pip failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "wanted.txt"
        requirements.write_text("".join(pin.render() for pin in wanted.pins), encoding="utf-8")
        code, output = _pip(
            [
                "download", "--no-deps", "--require-hashes", "--only-binary=:all:",
                "--no-input", "--progress-bar=off", "--disable-pip-version-check",
                f"--python-version={wanted.python}", "--implementation=cp",
                f"--abi=cp{wanted.python.replace('.', '')}",
                *(f"--platform={each}" for each in wanted.platforms),
                f"--dest={wheelhouse}", f"--requirement={requirements}",
            ],
            say,
        )  # fmt: skip
    if code:
        raise explain(output, wheelhouse)


def _pip(arguments: Sequence[str], say: Say) -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pip", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    lines = []
    with process.stdout:
        for line in process.stdout:
            lines.append(line)
            if found := NEW_FILE.search(line):
                say(f"  {found['path'].rpartition('/')[2]}")
    return process.wait(), "".join(lines)
