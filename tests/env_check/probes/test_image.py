"""Looking into an image: what the engine says is told apart, and a real container answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from env_check.collect import collect
from env_check.facts import Facts, Host, Image, Python, to_json
from env_check.judge import judge
from env_check.probes.image import INSIDE, RIGHTS, archive, probe
from env_check.rules.image import meets
from env_check.system import LocalSystem, Output
from tests.env_check.recorded import RecordedSystem, load_host

REFUSAL = 'docker: Error response from daemon: could not select device driver "".\n'
ABSENT = "docker: exec: python3: executable file not found in $PATH: unknown.\n"
SEEN = json.dumps(to_json(Facts(host=Host(glibc="2.39"), python=Python(version="3.12.3"))))


class Engine(RecordedSystem):
    """An engine that answers `docker run` by its options, and keeps what it was asked."""

    def __init__(self, *, inspected: Output, with_gpu: Output, without: Output) -> None:
        super().__init__(load_host("ubuntu-rtx4090"))
        self.inspected, self.with_gpu, self.without = inspected, with_gpu, without
        self.asked: list[list[str]] = []

    def run(
        self, command: Sequence[str], *, timeout_seconds: float = 5.0, given: bytes = b""
    ) -> Output:
        self.asked.append(list(command[1:]))
        if command[1] == "image":
            return self.inspected
        return self.with_gpu if "--gpus=all" in command else self.without


def described(**over: object) -> Output:
    image = {"Architecture": "amd64", "Config": {"Labels": None, "Env": ["A=1"]}, **over}
    return Output(0, json.dumps(image))


def look(engine: Engine, *, wants_gpu: bool = True) -> Image:
    return probe(engine, "some:1", machine="x86_64", wants_gpu=wants_gpu)[0]


def test_a_container_with_the_gpu_is_looked_into() -> None:
    """What a container prints are the facts of the image, and the engine was asked for the GPU."""
    engine = Engine(inspected=described(), with_gpu=Output(0, SEEN), without=Output(1))
    image = look(engine)
    assert (image.problem, image.has_gpu, image.python.version) == ("", True, "3.12.3")
    assert set(RIGHTS) <= set(engine.asked[1])


def test_a_refused_gpu_is_kept_and_the_image_seen_without() -> None:
    """The engine's words are evidence; the rest of the image is still looked at."""
    engine = Engine(
        inspected=described(), with_gpu=Output(125, stderr=REFUSAL), without=Output(0, SEEN)
    )
    image = look(engine)
    assert "could not select device driver" in image.gpu_refusal
    assert (image.has_gpu, image.python.version) == (False, "3.12.3")


@pytest.mark.parametrize(
    ("inspected", "done", "problem"),
    [
        (Output(1, stderr="Error: No such image: some:1"), Output(0), "not on this machine"),
        (Output(1, stderr="Cannot connect to the Docker daemon"), Output(0), "Cannot connect"),
        (described(), Output(127, stderr=ABSENT), "no python3"),
        (described(), Output(1, stderr="its Python is 3.8, env-check needs 3.9\n"), "3.8"),
        (described(), Output(0, "a banner"), "not facts"),
        (described(), Output(0, '{"schema_version": 99}'), "schema_version is 99"),
        (described(), Output(0, '{"schema_version": 1}'), "its Python was not seen"),
        (described(), Output(0, '{"schema_version": 1, "unread": ["gpu: broke"]}'), "gpu: broke"),
        (described(), Output(None, problem="no answer within 60 s"), "no answer"),
    ],
)
def test_an_image_that_cannot_be_seen_says_why(
    inspected: Output, done: Output, problem: str
) -> None:
    """Every way to see nothing is a reason, and never an exception."""
    engine = Engine(inspected=inspected, with_gpu=done, without=done)
    assert problem in look(engine, wants_gpu=False).problem


def test_a_container_that_hangs_is_removed() -> None:
    """The killed command leaves its container behind; it is removed by name."""
    silent = Output(None, problem="no answer within 60 s")
    engine = Engine(inspected=described(), with_gpu=silent, without=silent)
    look(engine)
    name = next(word for word in engine.asked[1] if word.startswith("--name="))
    assert ["rm", "--force", name[len("--name=") :]] in engine.asked


def test_an_image_of_another_processor_is_not_started() -> None:
    """An emulator would answer for the wrong machine."""
    engine = Engine(
        inspected=described(Architecture="arm64"), with_gpu=Output(0), without=Output(0)
    )
    assert look(engine).machine == "aarch64"
    assert len(engine.asked) == 1


def test_labels_and_requirements_are_read() -> None:
    """Labels of trainbox and the variable of NVIDIA's base images."""
    config = {
        "Labels": {"trainbox.variant": "cu130", "trainbox.python": "3.12"},
        "Env": ["PATH=/bin", "NVIDIA_REQUIRE_CUDA=cuda>=12.8 brand=tesla,driver>=535"],
    }
    engine = Engine(inspected=described(Config=config), with_gpu=Output(0, SEEN), without=Output(0))
    image = look(engine)
    assert (image.variant, image.labelled_python) == ("cu130", "3.12")
    assert image.required_cuda.startswith("cuda>=12.8")


def test_the_archive_runs_on_an_interpreter_of_its_own() -> None:
    """What goes into a container is enough to collect facts there."""
    done = subprocess.run(
        [sys.executable, "-c", INSIDE, "collect"], input=archive(), capture_output=True
    )
    assert json.loads(done.stdout)["schema_version"] == 1


@pytest.mark.parametrize(
    ("required", "cuda", "driver", "expected"),
    [
        ("cuda>=12.8", "13.0", "580.95.05", True),
        ("cuda>=12.8", "12.4", "550.163.01", False),
        ("cuda>=12.8 driver>=535,driver<536", "12.2", "535.261.03", True),
        ("cuda>=12.8 brand=tesla,driver>=535,driver<536", "12.2", "535.261.03", None),
        ("cuda>=12.8 brand=tesla,driver>=535,driver<536", "12.4", "550.163.01", False),
        ("", "12.4", "550.163.01", False),
    ],
)
def test_the_requirement_of_a_base_image_is_evaluated(
    required: str, cuda: str, driver: str, expected: bool | None
) -> None:
    """Or between words, and within them; where the brand decides there is no answer."""
    assert meets(required, cuda=cuda, driver=driver) is expected


@pytest.mark.docker
def test_a_real_image_is_seen_from_inside(image_name: str) -> None:
    """A real container of a local image answers with its own Python, and is gone afterwards."""
    system = LocalSystem()
    machine = system.kernel()[2]
    before = containers()
    image, _ = probe(system, image_name, machine=machine, wants_gpu=False)
    assert (image.problem, image.machine) == ("", machine)
    assert image.python.version and image.host.container == "docker"
    assert containers() <= before


def containers() -> set[str]:
    """Return the ids of the containers of this kind that there are."""
    command = ["docker", "ps", "--all", "--filter", "name=env-check-", "--quiet"]
    return set(subprocess.run(command, capture_output=True, text=True).stdout.split())


@pytest.mark.docker
def test_a_real_engine_without_gpu_runtime_refuses(image_name: str) -> None:
    """Asked for a GPU for real, its refusal is IMG853, under the missing toolkit."""
    system = LocalSystem()
    engine = collect(system).engine
    assert isinstance(engine.server_version, str), "no Docker engine answers"
    if "nvidia" in engine.runtimes:
        pytest.skip("this engine has a GPU runtime")
    image, _ = probe(system, image_name, machine=system.kernel()[2], wants_gpu=True)
    assert image.gpu_refusal and not image.has_gpu
    host = collect(RecordedSystem(load_host("no-toolkit")))
    findings = judge(Facts(host=host.host, gpu=host.gpu, engine=engine, image=image))
    assert findings[0].id == "CTR412"
    assert "IMG853" in [each.id for each in findings[0].follows]


@pytest.mark.docker
def test_an_image_without_python_says_so() -> None:
    """An empty image, made here, has no python3 to ask."""
    empty = subprocess.run(["tar", "-cf-", "-T", "/dev/null"], capture_output=True).stdout
    made = subprocess.run(["docker", "import", "-"], input=empty, capture_output=True)
    assert made.returncode == 0, made.stderr
    reference = made.stdout.decode().strip()
    try:
        system = LocalSystem()
        image, _ = probe(system, reference, machine=system.kernel()[2], wants_gpu=False)
        assert image.problem == "no python3"
    finally:
        subprocess.run(["docker", "rmi", reference], capture_output=True)
