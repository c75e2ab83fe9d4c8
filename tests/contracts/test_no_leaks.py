"""Nothing of the machines it was written on is in the repository: no paths, indexes or tokens.

What users pasted (fixtures of logs and hosts) may name their own paths and indexes.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_BYTES = 1_000_000
PASTED = ("tests/fixtures/logs/", "tests/fixtures/hosts/")
PLANTED = ("tests/fixtures/jobs/bad/",)  # jobs that are refused for what looks like a token

# In pieces, so that this file holds none of them.
WORKPLACE = re.compile(
    r"(?<![\w.-])/wo" r"rk/(?:main|shared|\.)|/tmp/" r"exp\b|/opt/" r"wheels|/tmp/" r"heavy"
    r"|\bissues " r"show\b|\bcla" r"ude\b|anth" r"ropic",
    re.IGNORECASE,
)  # fmt: skip
BESIDE_US = re.compile(r"\.\./" r"shared")  # a test may look there, if it exists
OWN_FOLDER = re.compile(r"(?<![\w.])/(?:root/[\w.]|home/(?P<user>[\w.-]+))")
INDEX = re.compile(r"(?:pypi\.|files\.python)(?:org|hosted)|download\.pyto" r"rch")
TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|sk-[A-Za-z0-9_-]{30,}|AKIA[A-Z0-9]{16}|xox[bp]-[\w-]{20,})\b|-----BEGIN [A-Z ]*PRIVATE KEY"
)
# People who do not exist, and the user inside our image.
INVENTED = {"alice", "jo", "me", "meadow", "other", "someone", "trainbox", "user", "you"}
ALLOWED = {
    "Dockerfile": OWN_FOLDER,  # folders inside the image
}


def tracked() -> list[str]:
    """Return the names of the tracked files; none where this is no clone."""
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [name for name in done.stdout.split("\0") if (ROOT / name).is_file() and name]


FILES = tracked()


def found(pattern: re.Pattern[str], *, apart_from: tuple[str, ...] = ()) -> list[str]:
    """Return `file:line` of every place where a pattern is found."""
    places = []
    for name in FILES:
        if name.startswith(apart_from) or ALLOWED.get(name) is pattern:
            continue
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        places += [
            f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
            for match in pattern.finditer(text)
            if match.groupdict().get("user") not in INVENTED
        ]
    return places


@pytest.fixture(autouse=True)
def _clone() -> None:
    if not FILES:
        pytest.skip("not a clone: there is no list of tracked files")


def test_no_path_of_the_workplace() -> None:
    """No file names a folder or tool of the place it was written at."""
    assert found(WORKPLACE) == []
    assert found(BESIDE_US, apart_from=("tests/",)) == []


def test_no_folder_of_a_person() -> None:
    """No file names somebody's home folder but those of invented people."""
    assert found(OWN_FOLDER, apart_from=PASTED) == []


def test_no_package_index() -> None:
    """Where packages come from is the user's own pip setting, in locks, code and documents."""
    assert found(INDEX, apart_from=PASTED) == []


def test_no_token() -> None:
    """No file holds what opens a door."""
    assert found(TOKEN, apart_from=PLANTED) == []


def test_no_large_file() -> None:
    """A clone stays small: nothing but locks is above 1 MB."""
    large = [name for name in FILES if (ROOT / name).stat().st_size > MAX_BYTES]
    assert [name for name in large if not name.startswith("locks/")] == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (WORKPLACE, "see /wo" + "rk/main"),
        (OWN_FOLDER, "in /ro" + "ot/.cache"),
        (OWN_FOLDER, "in /ho" + "me/ann/x"),
        (INDEX, "https://py" + "pi.org/simple"),
        (INDEX, "files.python" + "hosted.org"),
        (TOKEN, "hf_" + 34 * "a"),
    ],
)
def test_pattern_finds_what_it_is_for(pattern: re.Pattern[str], text: str) -> None:
    """A search that finds nothing at all would hold too."""
    assert pattern.search(text)
