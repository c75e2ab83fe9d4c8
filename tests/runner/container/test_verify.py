"""What is compared of an image: labels with its lock and our tables, files with the clone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.container.described import Described
from runner.container.image import VARIANTS, image_labels
from runner.container.verify import (
    code_changed,
    files_changed,
    labels_wrong,
    layers_added,
    promised,
    proof_failed,
)

ROOT = Path(__file__).parents[3]
BUILD = (
    "RUN pip install",
    'ENTRYPOINT ["trainbox-entrypoint"]',
    'CMD ["python" "/opt/trainbox/about.py"]',
)


def image_of(name: str, **labels: str) -> tuple[Described, str]:
    """Return an image as the build labels it, with some labels changed, and its lock."""
    variant = VARIANTS[name]
    lock = (ROOT / "locks" / f"{variant.lock}.lock").read_text()
    promise, _ = promised(lock)
    floor = f"cuda>={promise.driver_cuda}" if promise else ""
    config = {
        "Labels": image_labels(variant) | {f"trainbox.{key}": labels[key] for key in labels},
        "Env": [f"NVIDIA_REQUIRE_CUDA={floor}"],
    }
    image = Described(
        reference="r", image_id="i", digest=None, machine="amd64", config=config, history=BUILD
    )
    return image, lock


def wrong(image: Described, lock: str) -> list[str]:
    return list(labels_wrong(image, lock, promised(lock)[0]))


@pytest.mark.parametrize("name", ["cpu", "cu130", "cu128", "cu126"])
def test_labels_of_the_build_are_right(name: str) -> None:
    """What the build writes is what lock and tables say."""
    assert wrong(*image_of(name)) == []


@pytest.mark.parametrize(
    ("name", "label", "value"),
    [
        ("cu128", "driver", "470"),
        ("cu128", "variant", "cu130"),
        ("cu128", "architectures", "5.0 6.0"),
        ("cu130", "torch", "2.7.1"),
        ("cpu", "driver", "525"),
        ("cpu", "variant", "cu126"),
    ],
)
def test_a_wrong_label_is_named_with_what_the_lock_says(name: str, label: str, value: str) -> None:
    """One line, with the label and both values."""
    (line,) = wrong(*image_of(name, **{label: value}))
    assert f"trainbox.{label}" in line and repr(value) in line


def test_another_lock_inside_is_named() -> None:
    """The label holds the hash of the lock, so that the one inside cannot be another."""
    image, lock = image_of("cpu")
    (line,) = wrong(image, lock + "\n")
    assert "trainbox.lock.sha256" in line


def test_a_lock_of_which_no_table_knows_promises_nothing() -> None:
    """What cannot be computed is said, and never taken as kept."""
    promise, why = promised("torch===99.0\nbitsandbytes==0.50.2\n")
    assert promise is None and "99.0" in why[0]


def test_what_lies_on_top_of_a_build_is_named() -> None:
    """After the entry point comes one instruction; a `docker commit` leaves an empty one."""
    assert list(layers_added(BUILD)) == []
    (line,) = layers_added((*BUILD, "RUN /bin/sh -c echo evil", ""))
    assert "echo evil" in line and "a commit" in line


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        ({"exit_code": 1, "said": "torch 1 is installed", "facts": None}, "torch 1 is installed"),
        ({"exit_code": 1, "said": "", "facts": None}, "exit code 1"),
        ({"exit_code": None, "said": "no prove.py", "facts": None}, "no prove.py"),
        ({"exit_code": 0, "said": "", "facts": "other"}, "were measured"),
    ],
)
def test_a_proof_is_kept_or_its_words_are_shown(proof: dict[str, Any], words: str) -> None:
    """Failed, absent, or with another result than at the build."""
    assert words in next(iter(proof_failed({"facts": "facts", "proof": proof})))
    kept = {"exit_code": 0, "said": "", "facts": "facts"}
    assert list(proof_failed({"facts": "facts", "proof": kept})) == []


def test_many_changed_files_are_counted() -> None:
    """The first five by name, the others by number."""
    seen = {"changed": [f"f{n}" for n in range(7)], "added": [], "byte_code": ["runner/cli.py"]}
    changed, byte_code = files_changed(seen)
    assert changed.endswith("f4 and 2 more") and "runner/cli.py" in byte_code


def test_code_of_another_state_is_named(tmp_path: Path) -> None:
    """A file that differs, one that the image lacks, and one that the clone lacks."""
    for name in ("runner/a.py", "runner/b.py", "env_check/c.py", "image/prove.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    from runner.container.audit import hash_of

    same = {"env_check/c.py": hash_of(str(tmp_path / "env_check/c.py"))}
    same |= {"image/prove.py": hash_of(str(tmp_path / "image/prove.py"))}
    (line,) = code_changed({"ours": {**same, "runner/a.py": "0", "runner/new.py": "1"}}, tmp_path)
    assert line.endswith("runner/a.py, runner/b.py, runner/new.py")
