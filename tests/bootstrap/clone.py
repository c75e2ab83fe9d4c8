"""A clone in small: the real set-up on locks whose packages are wheels of a few hundred bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from bootstrap.environment import Environment, set_up
from bootstrap.lockfile import Pin, render_lock
from bootstrap.progress import Progress

# A build backend without dependencies: a path to the clone and the two commands.
BACKEND = """\
from pathlib import Path
from tests.bootstrap.clone import wheel

def build_editable(folder, config_settings=None, metadata_directory=None):
    here = Path(__file__).parent
    name = wheel(Path(folder), "trainbox", "0.1", files={"trainbox.pth": f"{here}\\n"},
                 commands=("trainbox", "env-check"))
    return name.name
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    files: Mapping[str, str] | None = None,
    commands: tuple[str, ...] = (),
) -> Path:
    """Write a pure wheel that pip accepts; return its path."""
    files = files or {f"{name}.py": f"version = {version!r}\n"}
    info = f"{name}-{version}.dist-info"
    scripts = "".join(f"{command} = os:getpid\n" for command in commands)
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in content.items())
    content[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    path.write_bytes(data.getvalue())
    return path


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Clone:
    """A repository with its wheels beside it; `pip_settings` makes them all that pip finds."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        self.wheels = folder / "wheels"
        self._write()

    @classmethod
    def at(cls, root: Path | str) -> Clone:
        """Return the clone that lies at `root` already."""
        clone = cls.__new__(cls)
        clone.root = Path(root)
        clone.wheels = clone.root.parent / "wheels"
        return clone

    def _write(self) -> None:
        (self.root / "locks").mkdir(parents=True)
        self.wheels.mkdir()
        (self.root / "pyproject.toml").write_text(PROJECT)
        (self.root / "backend.py").write_text(BACKEND)
        (self.root / "runner").mkdir()
        (self.root / "runner/cli.py").write_text("")
        self.lock("cpu", {"torch": "2.13.0+cpu", "alpha": "1.0"})
        self.lock("cu130", {"torch": "2.13.0", "alpha": "1.0"})
        self.lock("cli", {"alpha": "1.0"})
        self.lock("dev", {"checker": "1.0"})

    @property
    def environment(self) -> Environment:
        return Environment(root=self.root)

    @property
    def site_packages(self) -> Path:
        return next(self.environment.venv.glob("lib/python*/site-packages"))

    def pip_settings(self) -> dict[str, str]:
        here = str(Path(__file__).parents[2])
        return {
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PYTHONPATH": here,  # the build backend uses this module
        }

    def lock(self, name: str, versions: Mapping[str, str]) -> None:
        """Write a lock and the wheels it names."""
        pins = [
            Pin(name=package, version=version, marker=None, hashes=(digest,), via=("-r x.in",))
            for package, version in versions.items()
            for digest in [_sha256(wheel(self.wheels, package, version))]
        ]
        text = render_lock(pins, source=f"{name}.in", inputs="0" * 64)
        (self.root / "locks" / f"{name}.lock").write_text(text)

    def set_up(self, *, with_dev: bool = False, lock: str = "") -> str:
        """Run the set-up; return what a person saw."""
        seen = io.StringIO()
        environ = {"TRAINBOX_LOCK": lock} if lock else {}
        set_up(self.root, with_dev=with_dev, environ=environ, progress=Progress(seen))
        return seen.getvalue()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
