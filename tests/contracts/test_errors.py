"""docs/errors.md names every error there is and no other, each with one meaning and its exit code.

The ids are read from the source, so that one that no test provokes is found too: an `id=…`, a
`warn("…")`, the text `error[…]`, and any other string of a known family (tables, small helpers).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import errors
from runner.data.faults import KINDS

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/errors.md"
SOURCES = sorted([*ROOT.glob("runner/**/*.py"), *ROOT.glob("bootstrap/**/*.py")])
ROW = re.compile(r"^\| `([^`]+)` \| (\S+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
PROGRAMS = {"docker-compose"}  # words of the shape of an id
SHOWN = re.compile(r"error\[([^\]{]+)\]")
# What carries an id and is no exception: a row of a table that becomes one of these.
EXIT_CODES = {"Conflict": errors.EXIT_REFUSED, "Failure": errors.EXIT_FAILED}
EXIT_CODES |= {
    name: value.exit_code
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.TrainboxError)
    if value is not errors.Faults
}


def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]


def strings_in(node: ast.AST) -> list[str]:
    found = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return [value for value in found if isinstance(value, str)]


def values_of(node: ast.expr) -> list[str]:
    """Return the texts that an expression can be, where they stand in the source."""
    if isinstance(node, ast.IfExp):
        return values_of(node.body) + values_of(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def ids_given(node: ast.AST) -> Iterator[str]:
    """Yield the ids that a node gives to an error or a warning."""
    if isinstance(node, ast.keyword) and node.arg == "id":
        yield from values_of(node.value)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "id" for target in targets):
            yield from values_of(node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "warn" and node.args:
            yield from values_of(node.args[0])
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from SHOWN.findall(node.value)


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Every id in the source."""
    nodes = [node for tree in trees() for node in ast.walk(tree)]
    given = {id for node in nodes for id in ids_given(node)}
    families = {id.partition("-")[0] for id in given}
    strings = {text for tree in trees() for text in strings_in(tree) if ID.fullmatch(text)}
    alike = {text for text in strings if text.partition("-")[0] in families}
    return given | alike - PROGRAMS


@pytest.fixture(scope="module")
def documented() -> list[tuple[str, str]]:
    """Every id of the document, with what stands in its column of exit codes."""
    return [(id, code) for id, code, _, _ in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))]


def test_every_error_is_documented(used: set[str], documented: list[tuple[str, str]]) -> None:
    """Whoever meets an id finds it in docs/errors.md."""
    assert used - {id for id, _ in documented} == set()


def test_no_error_is_documented_that_does_not_exist(
    used: set[str], documented: list[tuple[str, str]]
) -> None:
    """An id that is gone from the source is gone from the document."""
    assert {id for id, _ in documented} - used == set()


def test_every_error_has_one_meaning(documented: list[tuple[str, str]]) -> None:
    """No id stands twice."""
    ids = [id for id, _ in documented]
    assert sorted(ids) == sorted(set(ids))


def test_ids_are_words(used: set[str]) -> None:
    """An id is lower-case words joined by `-`: it can be searched for and never needs quoting."""
    assert {id for id in used if not ID.fullmatch(id)} == set()


def test_faults_of_rows_are_among_them(used: set[str]) -> None:
    """The reader of the source sees the table of row faults."""
    assert set(KINDS) <= used


def test_exit_codes_are_those_of_the_classes(documented: list[tuple[str, str]]) -> None:
    """The document says the code with which each error ends a command; an id has one alone."""
    wrong = []
    for node in (node for tree in trees() for node in ast.walk(tree)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        code = EXIT_CODES.get(node.func.id)
        ids = [id for keyword in node.keywords for id in ids_given(keyword)]
        said = dict(documented)
        wrong += [(id, said.get(id), code) for id in ids if code and said.get(id) != str(code)]
    assert wrong == []


def test_exit_codes_of_the_table_are_those_of_the_program() -> None:
    """The table of exit codes names each code once, and no other."""
    table = re.findall(r"^\| (\d+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    codes = [value for name, value in vars(errors).items() if name.startswith("EXIT_")]
    assert [int(code) for code in table] == codes


def test_reasons_of_the_end_are_documented() -> None:
    """Every fixed sentence with which the supervisor closes a run stands in the document."""
    tree = ast.parse((ROOT / "runner/outcome.py").read_text(encoding="utf-8"))
    judge = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "judge")
    given = [node for node in ast.walk(judge) if isinstance(node, ast.keyword)]
    reasons = {
        node.value.value
        for node in given
        if node.arg == "reason" and isinstance(node.value, ast.Constant)
    }
    text = DOCUMENT.read_text(encoding="utf-8")
    assert reasons and {reason for reason in reasons if f"`{reason}`" not in text} == set()
