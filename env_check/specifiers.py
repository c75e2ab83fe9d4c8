"""Requirements of installed packages against installed versions: as much of PEP 440 and 508 as
the metadata of training packages uses. What is not understood counts as met: no false alarm."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from env_check.system import normalised


@dataclass(frozen=True)
class Requirement:
    """One line of Requires-Dist."""

    name: str
    specifiers: tuple[tuple[str, str], ...]
    marker: str


def parse(line: str) -> Optional[Requirement]:
    """Return the parts of `torch<3,>=2.4; extra == "x"`, None for a form not understood."""
    body, _, marker = line.partition(";")
    found = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?\s*\(?([^()@]*)\)?\s*$", body)
    if not found:
        return None
    specifiers = re.findall(r"(===|~=|==|!=|<=|>=|<|>)\s*([\w.*+!-]+)", found.group(3))
    return Requirement(normalised(found.group(1)), tuple(specifiers), marker.strip())


def release(version: str) -> tuple[int, ...]:
    found = re.match(r"\s*v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def key(version: str) -> tuple[tuple[int, ...], int, int]:
    """Return a sort key: release, then dev < pre < final < post, then its number."""
    public = version.split("+")[0].lower()
    numbers = release(public)
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    found = re.search(r"\d[.-]?(dev|a|b|rc|post)[.-]?(\d*)$", public)
    if not found:
        return numbers, 4, 0
    rank = {"dev": 0, "a": 1, "b": 2, "rc": 3, "post": 5}[found.group(1)]
    return numbers, rank, int(found.group(2) or 0)


def meets(version: str, specifiers: tuple[tuple[str, str], ...]) -> bool:
    """Tell whether a version is within all specifiers."""
    return all(_meets_one(version, operator, wanted) for operator, wanted in specifiers)


def _meets_one(version: str, operator: str, wanted: str) -> bool:
    if wanted.endswith(".*"):
        prefix = release(wanted[:-2])
        same = (release(version) + (0,) * len(prefix))[: len(prefix)] == prefix
        return same if operator == "==" else not same
    if operator == "===":
        return version == wanted
    if operator == "~=":
        return (
            key(version) >= key(wanted)
            and release(version)[: len(release(wanted)) - 1] == (release(wanted)[:-1])
        )
    if "+" in wanted and operator == "==":
        return version == wanted
    mine, theirs = key(version), key(wanted)
    return {
        "==": mine == theirs,
        "!=": mine != theirs,
        "<=": mine <= theirs,
        ">=": mine >= theirs,
        "<": mine < theirs,
        ">": mine > theirs,
    }[operator]


def applies(marker: str, *, python: str, machine: str) -> bool:
    """Tell whether a marker holds on this Linux machine; one not understood does not."""
    if not marker:
        return True
    if "extra" in marker or " or " in marker:
        return False
    values = {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": machine,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for clause in marker.split(" and "):
        found = re.fullmatch(
            r"\(?\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*['\"]([^'\"]*)['\"]\s*\)?", clause.strip()
        )
        if not found or found.group(1) not in values:
            return False
        name, operator, wanted = found.groups()
        if name.startswith("python_"):
            if not _meets_one(values[name], operator, wanted):
                return False
        elif (values[name] == wanted) != (operator == "=="):
            return False
    return True
