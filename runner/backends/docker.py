"""Run the training process in a container: no network, no rights, nothing writable but the run.

The container has the run directory, the base model and the prepared data at the same absolute paths
as the host, the caller's uid, and no token. It goes on when its supervisor dies; its name and the
run's lock keep a second one out, and `adopt` hands it to the next supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from env_check.facts import Facts
from runner.container.build import ensure_image
from runner.container.described import describe, lock_of, usable_image
from runner.container.engine import connect
from runner.container.gpu import (
    check_cdi,
    gather_facts,
    gpu_request,
    idle_gpu,
    prove_gpu,
    variant_for_gpu,
)
from runner.container.image import choose_variant, locked_versions
from runner.container.kind import read_kind, unkept_limits
from runner.container.process import ContainerProcess
from runner.container.settings import container_settings
from runner.container.start import create_container, find_container, start_error
from runner.machine import read_machine
from runner.plan import Plan, read_plan
from runner.record.layout import RunDir

Say = Callable[[str], None]


class DockerBackend:
    """Starts `python -m runner.train` in the image of the plan's device."""

    name = "docker"

    def __init__(self, image: str | None = None) -> None:
        self._wanted = image  # in the place of the one that fits this machine
        self._tag: str | None = None
        self._say: Say = lambda line: None

    def prepare(self, plan: Plan, *, say: Say) -> None:
        """Have the image; prove that the engine can give the GPU that the plan counts on.

        Raises:
            BackendError: no engine, no image, or no GPU.
        """
        self._say = say
        request = gpu_request(plan, read_machine())
        with connect() as client:
            info = client.info()
        for line in unkept_limits(read_kind(info), plan.job["resources"]["memory_gib"]):
            say(line)
        facts = gather_facts()
        if request is not None:
            check_cdi(request, info)
        elif hint := idle_gpu(plan, facts):
            say(hint)
        wants_gpu = request is not None
        if self._wanted is None:
            self._tag = _fitting_image(facts, wants_gpu=wants_gpu, say=say)
        else:
            self._tag = usable_image(self._wanted, facts, wants_gpu=wants_gpu, say=say)
        if request is not None:
            prove_gpu(self._tag, request)

    def surroundings(self) -> dict[str, Any]:
        """Return what the manifest says of the image in the place of this host's environment."""
        assert self._tag is not None, "prepare() comes first"
        with connect() as client:
            image = describe(client, self._tag)
            lock = lock_of(client, image)
        labels = image.labels
        return {
            "image": {
                "tag": self._tag,
                "image_id": image.image_id,
                "digest": image.digest,
                "base": labels["org.opencontainers.image.base.name"],
            },
            "lock": {
                "name": labels["trainbox.lock"],
                "sha256": labels["trainbox.lock.sha256"],
                "found_by": "image label",
            },
            "versions": {
                "python": labels["trainbox.python"],
                "trainbox": labels["org.opencontainers.image.version"],
                **locked_versions(lock),
            },
        }

    def launch(self, run: RunDir, environment: Mapping[str, str], lock_fd: int) -> ContainerProcess:
        """Start the container of a run.

        Raises:
            BackendError: the engine refuses it, or a container of this run is still at work.
        """
        from docker.errors import APIError

        assert self._tag is not None, "prepare() comes first"
        plan = read_plan(run.plan)
        run.log.touch()
        with connect() as client:
            request = gpu_request(plan, read_machine())
            kind = read_kind(client.info())
            settings = container_settings(client, self._tag, run, plan, environment, request, kind)
            container = create_container(client, run, settings)
            process = ContainerProcess(container, run, self._say)
            try:
                process.start()
            except APIError as error:
                client.remove_container(container, force=True)
                raise start_error(str(error.explanation or error), run) from error
        return process

    def adopt(self, run: RunDir, *, say: Say) -> ContainerProcess | None:
        """Return the container of a run, running or ended; None where the engine has none."""
        with connect() as client:
            found = find_container(client, run)
        if found is None:
            return None
        self._tag, self._say = found["Image"], say  # an attempt that follows has the same image
        process = ContainerProcess(found["Id"], run, say)
        process.adopt()
        return process


def _fitting_image(facts: Facts, *, wants_gpu: bool, say: Say) -> str:
    """Have the image that fits this machine, and say which and why."""
    variant = "cpu"
    if wants_gpu:
        choice = variant_for_gpu(facts)
        variant = str(choice.variant)
        say(f"image: {variant} ({choice.reason})")
    return ensure_image(choose_variant(variant), say=say)
