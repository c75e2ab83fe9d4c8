"""The table of backends, and which one `auto` is here."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from runner.backends.base import Backend
from runner.backends.docker import DockerBackend
from runner.backends.host import HostBackend
from runner.container.available import why_no_image
from runner.container.image import choose_variant
from runner.errors import BackendError, PlanError
from runner.record.journal import read_events
from runner.record.layout import RunDir

BACKENDS: dict[str, Callable[[], Backend]] = {"host": HostBackend, "docker": DockerBackend}


def choose_backend(name: str, *, say: Callable[[str], None], image: str | None = None) -> Backend:
    """Return the backend of that name; `auto` is a container where one can be had, and says so.

    Args:
        image: to train in, in the place of the one that fits this machine.

    Raises:
        PlanError: an image is named for a backend without one.
        BackendError: `auto` finds no place to train in.
    """
    if image is not None:
        if name not in ("auto", "docker"):
            raise PlanError(
                id="cli-arguments",
                what=f"`--image` names a container's image, and the backend is `{name}`",
                why="the environment that trainbox itself runs in would train",
                fix="leave out one of the two",
            )
        return DockerBackend(image)
    if name != "auto":
        return BACKENDS[name]()
    # every variant stands on a base of the same registry: one answers for all
    reason = why_no_image(choose_variant("cpu"))
    if reason is None:
        say("backend: docker (an engine answers and has the image or can build it)")
        return DockerBackend()
    if not has_training_stack():
        raise BackendError(
            id="no-backend",
            what=f"no container can be had: {reason}; and this environment cannot train itself",
            why="it was made from locks/cli.lock, which has no torch",
            fix="mend Docker (env-check says how), or get the training packages: "
            "TRAINBOX_LOCK=cpu make setup (with a GPU: cu130)",
        )
    say(f"backend: host (no container: {reason})")
    return HostBackend()


def backend_of(run: RunDir, name: str, chosen: Backend, *, say: Callable[[str], None]) -> Backend:
    """Return the backend that an unfinished run goes on with: its own, unless one is named.

    Args:
        name: as given on the command line.
        chosen: what it became here.
    """
    began = newest_backend(run)
    if name != "auto" or began is None or began == chosen.name:
        return chosen
    say(f"backend: {began}, where {run.run_id} began (--backend {chosen.name} moves it)")
    return BACKENDS[began]()


def newest_backend(run: RunDir) -> str | None:
    """Return the name of the backend that a run's newest attempt was started on."""
    starts = [event for event in read_events(run.journal) if event["event"] == "start"]
    return str(starts[-1]["backend"]) if starts else None


def has_training_stack() -> bool:
    """Tell whether torch is installed here, without importing it."""
    return find_spec("torch") is not None
