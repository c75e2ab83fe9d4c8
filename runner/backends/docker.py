"""Run the training process in a container: no network, no rights, nothing writable but the run.

The container has the run directory, the base model and the prepared data at the same absolute paths
as the host, the caller's uid, and no token. It goes on when its supervisor dies; its name and the
run's lock keep a second one out.
"""

from __future__ import annotations

import getpass
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from runner.container.build import ensure_image
from runner.container.engine import connect
from runner.container.image import SOURCE_ROOT, choose_variant, locked_versions
from runner.errors import EXIT_STOPPED, BackendError
from runner.machine import read_machine
from runner.plan import Plan, read_plan
from runner.record.layout import RunDir

if TYPE_CHECKING:
    from docker import APIClient
    from docker.types import DeviceRequest

GIB = 2**30
# Enough for the threads of a large machine, too few for a fork bomb.
PIDS = 4096
TEMPORARY = "/tmp"
KERNELS = "/kernels"  # compiled GPU kernels: loaded as libraries, which a noexec tmpfs refuses
RETRY_SECONDS = 1.0
GONE = 137  # exit code of a container that somebody removed

# Standard error goes straight into the log, from inside: it outlives supervisor and engine.
INTO_LOG = 'exec 2>>"$0"; exec "$@"'


class ContainerProcess:
    """A training container; standard output arrives over the engine and is stored nowhere.

    All that the SDK raises for an answer or for none is an OSError.
    """

    def __init__(self, container: str, run: RunDir) -> None:
        self._container = container
        self._run = run
        self._control = connect()
        self._exit_code: int | None = None
        reader, self._writer = os.pipe()
        self.terminal: BinaryIO | None = os.fdopen(reader, "rb")
        self._pump = threading.Thread(target=self._pump_output, daemon=True)
        self._wait = threading.Thread(target=self._wait_for_end, daemon=True)
        self._streams = connect(timeout_seconds=None)
        self._output = self._streams.attach_socket(
            container, {"stdout": 1, "stderr": 1, "stream": 1}
        )
        self._control.start(container)
        self.pid: int = self._control.inspect_container(container)["State"]["Pid"]
        self._pump.start()
        self._wait.start()

    def poll(self) -> int | None:
        return self._exit_code

    def send_signal(self, signal_number: int) -> None:
        try:
            self._control.kill(self._container, signal_number)
        except OSError:  # it has ended meanwhile, or the engine is away
            pass

    def kill(self) -> None:
        if self._exit_code is None:
            self.send_signal(signal.SIGKILL)
            return
        self._pump.join(timeout=5)
        try:
            self._control.remove_container(self._container, force=True)
        except OSError:  # somebody else did, or the engine is away; the next attempt removes it
            pass
        self._wait.join(timeout=5)
        self._streams.close()
        self._control.close()

    def _pump_output(self) -> None:
        """Hand standard output on; what came before the log was open goes into the log."""
        from docker.utils.socket import STDOUT, frames_iter

        with os.fdopen(self._writer, "wb", buffering=0) as terminal:
            try:
                for stream, data in frames_iter(self._output, tty=False):  # type: ignore[no-untyped-call]
                    if stream == STDOUT:
                        terminal.write(data)
                    else:
                        with self._run.log.open("ab") as log:
                            log.write(data)
            except OSError:  # the engine or the reader has gone; the run goes on
                pass
        # the SDK hands out a file object of a socket that nobody else closes
        beneath = getattr(self._output, "_sock", None)
        self._output.close()
        if beneath is not None:
            beneath.close()

    def _wait_for_end(self) -> None:
        """Note the exit code; an engine that is away for a while is waited for."""
        from docker.errors import DockerException, NotFound
        from requests.exceptions import RequestException

        while True:
            try:
                answer = self._streams.wait(self._container)
                self._exit_code = exit_code_of(answer["StatusCode"])
                return
            except NotFound:
                self._exit_code = exit_code_of(GONE)
                return
            except (DockerException, RequestException):
                time.sleep(RETRY_SECONDS)


class DockerBackend:
    """Starts `python -m runner.train` in the image of the plan's device."""

    name = "docker"

    def __init__(self) -> None:
        self._tag: str | None = None

    def prepare(self, plan: Plan, *, say: Callable[[str], None]) -> None:
        """Have the image; prove that the engine can give the GPU that the plan counts on.

        Raises:
            BackendError: no engine, no image, or no GPU.
        """
        self._tag = ensure_image(choose_variant(variant_of(plan)), say=say)
        if (request := gpu_request(plan)) is not None:
            _prove_gpu(self._tag, request)

    def surroundings(self) -> dict[str, Any]:
        """Return what the manifest says of the image in the place of this host's environment."""
        assert self._tag is not None, "prepare() comes first"
        with connect() as client:
            image = client.inspect_image(self._tag)  # type: ignore[no-untyped-call]
        labels = image["Config"]["Labels"]
        lock = SOURCE_ROOT / "locks" / f"{labels['trainbox.lock']}.lock"
        digests = [name.partition("@")[2] for name in image.get("RepoDigests") or []]
        return {
            "image": {
                "tag": self._tag,
                "image_id": image["Id"],
                "digest": digests[0] if digests else None,
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
                **locked_versions(lock.read_text(encoding="utf-8")),
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
            settings = container_settings(client, self._tag, run, plan, environment)
            container = _create(client, run, settings)
            try:
                return ContainerProcess(container, run)
            except APIError as error:
                client.remove_container(container, force=True)
                raise start_error(str(error.explanation or error), run) from error


def variant_of(plan: Plan) -> str:
    """Return the image variant for a plan's device."""
    return "cu130" if plan.training.device == "cuda" else "cpu"


def container_settings(
    client: APIClient, tag: str, run: RunDir, plan: Plan, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return the arguments of `create_container`; what is not named here, the container has not."""
    from docker.types import LogConfig, Mount

    resources = plan.job["resources"]
    memory = int(resources["memory_gib"] * GIB) if resources["memory_gib"] else None
    mounts = [Mount(str(run.path), str(run.path), type="bind")]
    mounts += [Mount(path, path, type="bind", read_only=True) for path in sorted(inputs_of(plan))]
    request = gpu_request(plan)
    is_rootless = "name=rootless" in client.info().get("SecurityOptions", [])
    return {
        "image": tag,
        "command": [
            "sh", "-c", INTO_LOG, str(run.log), "python", "-m", "runner.train", str(run.path),
        ],
        # in a rootless engine the caller is root inside, and nobody outside
        "user": "0:0" if is_rootless else f"{os.getuid()}:{os.getgid()}",
        "environment": container_environment(environment),
        "working_dir": str(run.path),
        "labels": {"trainbox.run": run.run_id},
        "stop_timeout": int(plan.job["limits"]["grace_seconds"]),
        "use_config_proxy": False,
        "host_config": client.create_host_config(
            network_mode="none",
            init=True,  # passes signals on, takes in orphans
            ipc_mode="private",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            pids_limit=PIDS,
            shm_size=int(resources["shm_gib"] * GIB),
            mem_limit=memory,
            memswap_limit=memory,
            tmpfs={TEMPORARY: "mode=1777", KERNELS: "exec,mode=1777"},
            group_add=[str(group) for group in os.getgroups()],
            mounts=mounts,
            device_requests=[request] if request else None,
            log_config=LogConfig(type="none"),  # sample answers pass through here
        ),
    }  # fmt: skip


def container_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return all variables of the container: none of the caller's but those of the attempt."""
    given = {
        name: value
        for name, value in environment.items()
        if name != "TRAINBOX_SUPERVISOR_PID"  # a process id of another namespace
    }
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        user = str(os.getuid())
    return {
        "HOME": TEMPORARY,
        "USER": user,
        "LOGNAME": user,
        "XDG_CACHE_HOME": f"{TEMPORARY}/cache",
        "TRITON_CACHE_DIR": f"{KERNELS}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{KERNELS}/inductor",
        "CUDA_CACHE_PATH": f"{KERNELS}/cuda",
        "TRAINBOX_HOLD_LOCK": "1",
        **given,
    }


def inputs_of(plan: Plan) -> set[str]:
    """Return the folders a plan reads: base model and prepared data.

    The hub's cache keeps links to files that lie elsewhere; those folders are needed too.
    """
    model = Path(plan.model.folder)
    splits = [split for split in (plan.train_data, plan.eval_data) if split is not None]
    folders = {model, *(Path(split.path).parent for split in splits)}
    folders |= {file.resolve().parent for file in model.iterdir() if file.is_symlink()}
    return {str(folder) for folder in folders}


def gpu_request(plan: Plan) -> DeviceRequest | None:
    """Return the request for the card that the plan counts on, or None for the CPU."""
    if plan.training.device != "cuda":
        return None
    from docker.types import DeviceRequest

    wanted = plan.job["resources"]["gpu"]
    for gpu in read_machine().gpus:
        if (
            wanted is None
            or str(wanted) in (str(gpu.index), gpu.uuid)
            or str(wanted).lower() in gpu.name.lower()
        ):
            return DeviceRequest(driver="nvidia", device_ids=[gpu.uuid], capabilities=[["gpu"]])
    return DeviceRequest(driver="nvidia", count=1, capabilities=[["gpu"]])


def exit_code_of(status: int) -> int:
    """Return a container's status as `Process.poll` does: negative where a signal ended it."""
    # 130 is also what the training process says after Ctrl-C; it says it far more often
    is_signal = 128 < status < 128 + signal.NSIG and status != EXIT_STOPPED
    return 128 - status if is_signal else status


def start_error(text: str, run: RunDir) -> BackendError:
    """Return the error for what the engine said to a container that does not start."""
    if "could not select device driver" in text or "nvidia" in text.lower():
        return BackendError(
            id="docker-no-gpu",
            what=f"the Docker engine cannot give a GPU to a container: {text.strip()}",
            why="the plan counts on the card, given through NVIDIA's Container Toolkit",
            fix="apt-get install nvidia-container-toolkit && nvidia-ctk runtime configure "
            "--runtime=docker && systemctl restart docker (as root); `trainbox check` says more",
        )
    if "bind source path does not exist" in text:
        return BackendError(
            id="docker-folder-not-seen",
            what=f"the Docker engine does not see a folder of this machine: {text.strip()}",
            where=str(run.path),
            why="the engine runs elsewhere, or Docker Desktop does not share the folder with it",
            fix="share it (Docker Desktop: Settings, Resources, File sharing), unset DOCKER_HOST, "
            "or train without Docker: --backend host",
        )
    return BackendError(
        id="docker-start-failed",
        what=f"the Docker engine does not start the container: {text.strip()}",
        where=str(run.path),
        why="the training process runs inside it",
        fix="look at the engine (`docker info`); or train without it: --backend host",
    )


def _create(client: APIClient, run: RunDir, settings: dict[str, Any]) -> str:
    """Create the container of a run; the remains of an earlier attempt are removed."""
    from docker.errors import APIError, NotFound

    name = f"trainbox-{run.run_id}"
    try:
        earlier = client.inspect_container(name)
    except NotFound:
        pass
    else:
        if earlier["State"]["Running"]:
            raise BackendError(
                id="run-in-use",
                what=f"the container of run {run.run_id} is still training",
                where=name,
                why="it went on without its supervisor; two would destroy each other's work",
                fix=f"wait for its end, or stop it: docker stop {name}; it writes a checkpoint",
            )
        client.remove_container(name, force=True)
    try:
        return str(client.create_container(name=name, **settings)["Id"])
    except APIError as error:
        raise start_error(str(error.explanation or error), run) from error


def _prove_gpu(tag: str, request: DeviceRequest) -> None:
    """Start an empty container with the card: the engine says only then whether it can.

    Raises:
        BackendError: it cannot.
    """
    from docker.errors import APIError

    with connect() as client:
        settings = client.create_host_config(device_requests=[request], network_mode="none")
        container = client.create_container(tag, command=["true"], host_config=settings)
        try:
            client.start(container)
        except APIError as error:
            raise start_error(str(error.explanation or error), RunDir(Path())) from error
        finally:
            client.remove_container(container, force=True)
