"""README and help are true: commands run or parse, links lead somewhere, tables are current.

The README's two main commands are not started from here: `.ci/run` runs them (`make train` on the
demo, `make test`), and a test below holds that it does.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import cli, errors
from runner.base_model.source import describe
from runner.errors import TrainboxError
from runner.load import load_job

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
MAIN = ["make train JOB=jobs/demo.yaml", "make test"]
# Executed below with an empty folder of runs; the rest needs a run, or trains: it is parsed.
LIGHT = {"schema", "runs", "plan", "data"}
SERVER = {"up", "sync", "down"}
OTHERS = {"git", "cd"}  # of the first block: getting the repository


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path / "runs"))


def commands_of(document: Path) -> list[str]:
    """Return the commands of a document's bash blocks, comments cut off."""
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [part.strip() for line in lines if line for part in line.split("&&")]


def trainbox_lines(commands: list[str]) -> list[list[str]]:
    """Return the arguments of each command that is trainbox."""
    words = [shlex.split(command) for command in commands]
    return [line[1:] for line in words if line[0] in ("trainbox", ".venv/bin/trainbox")]


def shown_lines(text: str) -> list[list[str]]:
    """Return the arguments of each line that shows a call, without its explanation.

    The explanation begins after two spaces or a `#`; what follows `>` is the shell's.
    """
    lines = re.findall(r"(?m)^ *(trainbox .*)$", text)
    return trainbox_lines([re.split(r"\s{2,}|\s[>#]", line)[0] for line in lines])


def examples() -> list[list[str]]:
    """Return the arguments of every example in the help of trainbox and of its commands."""
    modules = [importlib.import_module(f"runner.commands.{name}") for name in cli.COMMANDS]
    return shown_lines("\n".join([cli.EXAMPLES, *(module.EXAMPLES for module in modules)]))


def plain_lines(document: Path) -> list[list[str]]:
    """Return the arguments of the trainbox lines in blocks of no language."""
    blocks = re.findall(r"(?ms)^```\n(.*?)^```", document.read_text("utf-8"))
    return shown_lines("\n".join(blocks))


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return the arguments as the real parser reads them."""
    return cli.parse(arguments, arguments[0])


README_LINES = trainbox_lines(commands_of(README))


def ids(lines: list[list[str]]) -> list[str]:
    return [" ".join(line) for line in lines]


def test_every_command_of_the_documents_is_known() -> None:
    """A bash block holds make, trainbox and what gets the repository, nothing untested."""
    first = {shlex.split(command)[0] for one in DOCUMENTS for command in commands_of(one)}
    assert first - OTHERS == {"make", ".venv/bin/trainbox"}


def test_make_targets_of_the_documents_exist() -> None:
    """Every target, variable and job that a `make` line names is there."""
    lines = [shlex.split(line) for one in DOCUMENTS for line in commands_of(one)]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for words in (words[1:] for words in lines if words[0] == "make"):
        for word in words:
            name, _, value = word.partition("=")
            assert (f"$({name})" if value else f"\n{name}: ") in makefile, word
            assert name != "JOB" or (ROOT / value).is_file(), word


def test_ci_runs_the_two_main_commands() -> None:
    """What the README promises first is what CI does, word for word."""
    assert set(MAIN) <= set(commands_of(README))
    steps = re.findall(r"(?m)^(?:step|tests) (.*)$", (ROOT / ".ci/run").read_text("utf-8"))
    assert set(MAIN) <= set(steps)


@pytest.mark.parametrize("arguments", [*README_LINES, *examples()], ids=" ".join)
def test_every_command_line_parses(arguments: list[str]) -> None:
    """A line of the README or of the help is taken by the parser, and its job by the loader."""
    args = parsed(arguments)
    if "overrides" in args and args.job:  # `check` takes a job or none
        load_job(Path(args.job), args.overrides)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_command_lines_of_the_documents_parse(document: Path) -> None:
    """A line that a document shows is one that the parser takes."""
    for arguments in [*plain_lines(document), *trainbox_lines(commands_of(document))]:
        assert parsed(arguments).command == arguments[0]


def test_every_command_has_an_example() -> None:
    """The help of each command shows how it is called."""
    assert {line[0] for line in examples()} == set(cli.COMMANDS)


@pytest.mark.parametrize("arguments", [a for a in README_LINES if a[0] in LIGHT], ids=" ".join)
def test_light_command_works(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What starts nothing is executed; without the demo model here, the plan goes without it."""
    if arguments[0] in ("plan", "data") and not has_model(Path(arguments[1])):
        arguments = ["plan", *arguments[1:], "--no-data"]
    assert cli.main(arguments) == errors.EXIT_DONE
    assert capsys.readouterr().out


def has_model(job: Path) -> bool:
    try:
        describe(load_job(job).job.model, offline=True)
    except TrainboxError:
        return False
    return True


def test_server_commands_work_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    """`up`, `sync --all` and `down` do what the README says, in its order."""
    lines = [arguments for arguments in README_LINES if arguments[0] in SERVER]
    assert ids(lines) == ["up", "sync --all", "down"]
    try:
        for arguments in lines[:-1]:
            assert cli.main(arguments) == errors.EXIT_DONE
        assert "MLflow  http://127.0.0.1:" in capsys.readouterr().out
    finally:
        assert cli.main(lines[-1]) == errors.EXIT_DONE
    assert "ended" in capsys.readouterr().out


def links_of(document: Path) -> Iterator[tuple[str, str]]:
    text = re.sub(r"```.*?```|`[^`]*`(?!\])", "", document.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield file, anchor


def anchors_of(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", document.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """A link to a file or heading of this repository is not broken."""
    for file, anchor in links_of(document):
        target = document.parent / file if file else document
        assert target.exists(), f"{document.name}: {file}"
        assert not anchor or anchor in anchors_of(target), f"{document.name}: {file}#{anchor}"


def test_table_of_jobs_is_current() -> None:
    """Each job has a row that leads to it, and no row leads to a job that is gone."""
    rows = re.findall(r"(?m)^\| \[`([^`]+)`\]\(([^)]+)\) \|", README.read_text("utf-8"))
    assert all(shown == target for shown, target in rows)
    jobs = [str(job.relative_to(ROOT)) for job in ROOT.glob("jobs/*.yaml")]
    assert sorted(shown for shown, _ in rows) == sorted(jobs)


def test_exit_codes_of_the_help_are_those_of_the_program() -> None:
    """`trainbox --help` lists every exit code and no other."""
    listed = cli.EXAMPLES[cli.EXAMPLES.index("exit codes:") :]
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"(?:codes:|·|^ +) ?(\d+) ", listed, re.M)} == codes
