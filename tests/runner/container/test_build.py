"""The build: what is passed to `docker build`, and what a failure says."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.container.build import build_arguments, explain, pip_settings
from runner.container.image import VARIANTS

ROOT = Path(__file__).parents[3]


def test_build_names_base_lock_and_python_and_no_value_of_a_secret() -> None:
    """Proxies are passed by name, files as secrets: no value stands in the image's history."""
    environ = {"HTTPS_PROXY": "http://user:pw@proxy.example", "HF_TOKEN": "hf_planted"}
    secrets = {"pip": Path("/tmp/x/pip.conf")}
    words = build_arguments(VARIANTS["cpu"], "trainbox:cpu-0", ROOT, secrets, environ)
    assert "--build-arg=LOCK=cpu" in words and "--build-arg=PYTHON=3.12" in words
    assert "--build-arg=HTTPS_PROXY" in words and "--secret=id=pip,src=/tmp/x/pip.conf" in words
    assert "pw@proxy" not in " ".join(words) and "hf_planted" not in " ".join(words)


def test_indexes_of_the_users_pip_reach_the_build_and_folders_do_not() -> None:
    """A mirror is used inside the build too; a folder of this machine is not there."""
    listed = (
        "global.index-url='https://mirror.example/simple'\n"
        "global.extra-index-url='file:///opt/a https://more.example/simple'\n"
        ":env:.find-links='/opt/b'\n"
    )
    assert pip_settings(listed) == (
        "[global]\nindex-url = https://mirror.example/simple\n"
        "extra-index-url = https://more.example/simple\n"
    )
    assert pip_settings(":env:.find-links='/opt/b'\n") == ""


@pytest.mark.parametrize(
    ("output", "id"),
    [
        ("#5 1.0 ERROR: [Errno 28] No space left on device", "image-disk-full"),
        ("#9 3.1 ERROR: SSLError(SSLCertVerificationError", "image-certificate"),
        (
            "#2 ERROR: failed to do request: Head: dial tcp: i/o timeout\n------\n"
            " > [internal] load metadata for docker.io/nvidia/cuda:13.0.3-base-ubuntu24.04:\n",
            "image-no-base",
        ),
        ("#9 2.2 ERROR: No matching distribution found for torch===2.13.0", "image-no-package"),
        ("#9 9.9 Max retries exceeded with url: /simple/torch", "image-no-index"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the daemon running?",
         "docker-no-engine"),
        ("permission denied while trying to connect to the Docker daemon socket",
         "docker-permission"),
        ("#12 0.3 prove: torch 2.12 is installed, the lock says 2.13", "image-build-failed"),
    ],
)  # fmt: skip
def test_a_failed_build_says_why(output: str, id: str) -> None:
    """Each cause has its error; an unknown one shows the end of the build's output."""
    error = explain(output, Path("build.log"))
    assert error.id == id
    if id == "image-build-failed":
        assert "torch 2.12 is installed" in error.what


def test_a_stage_is_built_by_its_name() -> None:
    """The MLflow server is a stage of the same Dockerfile; the training image is the last one."""
    words = build_arguments(VARIANTS["mlflow"], "trainbox:mlflow-0", ROOT, {}, {})
    assert "--target=mlflow" in words and "--build-arg=LOCK=mlflow" in words
    words = build_arguments(VARIANTS["cpu"], "trainbox:cpu-0", ROOT, {}, {})
    assert not any(word.startswith("--target") for word in words)
