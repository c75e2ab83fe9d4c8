"""Find a run by its name, by the beginning of it, or the newest."""

from __future__ import annotations

from pathlib import Path

from runner.errors import EXIT_REFUSED, TrainboxError
from runner.record.layout import RunDir
from runner.record.state import list_runs

LATEST = "latest"


class RunNotFound(TrainboxError):
    """No run, or more than one, has this name."""

    exit_code = EXIT_REFUSED


def find_run(root: Path, name: str) -> RunDir:
    """Return the run called `name`, the only one that starts with it, or the `latest`.

    Raises:
        RunNotFound: none, or several.
        PlanError: the folder of runs cannot be read.
    """
    runs = list_runs(root)
    name = Path(name).name  # `runs/demo-…` as a shell completes it
    exact = [run for run in runs if run.run_id == name]
    found = exact or [run for run in runs if run.run_id.startswith(name)]
    if name == LATEST:
        found = runs[-1:]
        if not found:
            raise _no_runs(root)
    if len(found) == 1:
        return found[0]
    if found:
        raise RunNotFound(
            id="run-ambiguous",
            what=f"{len(found)} runs start with {name!r}",
            why="it must be clear which one is meant",
            fix=f"write one of them out: {', '.join(run.run_id for run in found[-3:])}",
        )
    raise RunNotFound(
        id="run-not-found",
        what=f"there is no run called {name!r}",
        where=str(root),
        why="nothing was done",
        fix="see `trainbox runs` for the runs that exist",
    )


def _no_runs(root: Path) -> RunNotFound:
    return RunNotFound(
        id="run-not-found",
        what="there is no run yet",
        where=str(root),
        why="nothing was done",
        fix="start one, such as `trainbox train jobs/demo.yaml`; runs elsewhere: set TRAINBOX_RUNS",
    )
