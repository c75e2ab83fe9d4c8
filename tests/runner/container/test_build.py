"""The build: what is passed to `docker build`."""

from __future__ import annotations

from pathlib import Path

from runner.container.build import build_arguments, pip_settings
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


def test_a_stage_is_built_by_its_name() -> None:
    """The MLflow server is a stage of the same Dockerfile; the training image is the last one."""
    words = build_arguments(VARIANTS["mlflow"], "trainbox:mlflow-0", ROOT, {}, {})
    assert "--target=mlflow" in words and "--build-arg=LOCK=mlflow" in words
    words = build_arguments(VARIANTS["cpu"], "trainbox:cpu-0", ROOT, {}, {})
    assert not any(word.startswith("--target") for word in words)
