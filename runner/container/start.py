"""Create the container of a run; what the engine says against it becomes an error with a fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.claim import in_use
from runner.container.gpu import gather_facts, refused_gpu
from runner.errors import BackendError
from runner.record.layout import RunDir

if TYPE_CHECKING:
    from docker import APIClient

# How engines say that a folder of this machine is not theirs: plain, and Docker Desktop.
NOT_SEEN = ("bind source path does not exist", "Mounts denied", "is not shared from the host")


def container_name(run: RunDir) -> str:
    """Return the name that keeps a second container of a run out."""
    return f"trainbox-{run.run_id}"


def find_container(client: APIClient, run: RunDir) -> dict[str, Any] | None:
    """Return what the engine knows of a run's container, or None where it has none."""
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = client.inspect_container(container_name(run))
    except NotFound:
        return None
    return found


def create_container(client: APIClient, run: RunDir, settings: dict[str, Any]) -> str:
    """Create the container of a run and return its id; the remains of an attempt are removed.

    Raises:
        BackendError: a container of this run is still at work, or the engine refuses.
    """
    from docker.errors import APIError

    earlier = find_container(client, run)
    if earlier is not None:
        if earlier["State"]["Running"]:
            raise in_use(run, is_attended=False)
        client.remove_container(earlier["Id"], force=True)
    try:
        return str(client.create_container(name=container_name(run), **settings)["Id"])
    except APIError as error:
        raise start_error(str(error.explanation or error), run) from error


def start_error(text: str, run: RunDir) -> BackendError:
    """Return the error for what the engine said to a container that does not start."""
    if "could not select device driver" in text or "nvidia" in text.lower() or "CDI" in text:
        return refused_gpu(text, gather_facts())
    if any(words in text for words in NOT_SEEN):
        return BackendError(
            id="docker-folder-not-seen",
            what=f"the Docker engine does not see a folder of this machine: {text.strip()}",
            where=str(run.path),
            why="the engine runs elsewhere, or Docker Desktop does not share the folder with it",
            fix="share it (Docker Desktop: Settings, Resources, File sharing), unset DOCKER_HOST, "
            "or train without Docker: --backend host",
        )
    if "rlimit" in text:
        return BackendError(
            id="docker-no-memlock",
            what=f"this Docker engine may not lift the limit on locked memory: {text.strip()}",
            where=str(run.path),
            why="the job says `resources.memlock: true`, and the engine has not that right itself",
            fix="leave it out: `--set resources.memlock=false`; one card trains without it",
        )
    return BackendError(
        id="docker-start-failed",
        what=f"the Docker engine does not start the container: {text.strip()}",
        where=str(run.path),
        why="the training process runs inside it",
        fix="look at the engine (`docker info`); or train without it: --backend host",
    )
