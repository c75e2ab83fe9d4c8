"""Kill real training runs at random moments, over and over, and compare what they end with.

The oracle: losses, gradient norms, learning rates, held-out losses and the bytes of the result are
those of a run nobody disturbed, and the journal has each step once. Everything random is drawn from
one seed; what a moment hits is the machine's.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runner.backends.base import Backend, Process
from runner.errors import EXIT_PREEMPTED
from runner.plan import Plan, read_plan
from runner.record.checkpoint import sealed_steps
from runner.record.journal import read_events, read_from
from runner.record.layout import RunDir
from runner.supervise import Outcome, Supervisor
from tests.faults.damage import DAMAGES, files_of
from tests.faults.jobs import STEPS, fault_run
from tests.runner.train.watch import curve, events, result_sha256

MOST_KILLS_PER_RUN = 5
KILL, TERM = (signal.SIGKILL,), (signal.SIGTERM,)
STRIKES = (KILL, KILL, KILL, KILL, TERM, TERM + TERM)
STUCK = 3  # undisturbed attempts in a row that do not finish
GRACE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What an undisturbed run of a job ends with."""

    run: RunDir
    curve: list[tuple[int, float, float, float]]
    evals: list[tuple[str, int, float]]
    sha256: str
    seconds: float
    num_lines: int  # of its journal


@dataclass(kw_only=True)
class Tally:
    """What a campaign met and found."""

    seed: int
    kills: int = 0  # and other strikes
    strikes: Counter[str] = field(default_factory=Counter)  # by signals sent
    damages: int = 0
    fallbacks: int = 0  # attempts that passed over a damaged checkpoint
    runs: Counter[str] = field(default_factory=Counter)  # finished and identical, by job
    killed_in: Counter[str] = field(default_factory=Counter)  # newest journal line at the kill
    faults: list[str] = field(default_factory=list)  # runs that broke the promise, and how

    def to_dict(self) -> dict[str, Any]:
        counters = {name: dict(getattr(self, name)) for name in ("strikes", "runs", "killed_in")}
        return asdict(self) | counters


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When an attempt is struck: so long after so many new lines in its journal; and how."""

    lines: int
    seconds: float
    signals: tuple[int, ...] = (signal.SIGKILL,)


class Struck:
    """A backend whose training processes are struck at a moment; None lets them be."""

    name = "host"

    def __init__(self, backend: Backend, moment: Moment | None) -> None:
        self._backend = backend
        self._moment = moment

    def prepare(self, plan: Plan, *, say: Callable[[str], None]) -> None:
        """Do nothing: the backend beneath is ready."""

    def surroundings(self) -> Mapping[str, Any]:
        return {}

    def launch(self, run: RunDir, environment: Mapping[str, str], lock_fd: int) -> Process:
        process = self._backend.launch(run, environment, lock_fd)
        if self._moment is not None:
            threading.Thread(
                target=_strike, args=(process.pid, run, self._moment), daemon=True
            ).start()
        return process


def _strike(process_id: int, run: RunDir, moment: Moment) -> None:
    """Signal a process at its moment, or return when it has ended before."""
    offset, lines = run.journal.stat().st_size, 0
    try:
        while lines < moment.lines:
            events, offset = read_from(run.journal, offset)
            lines += len(events)
            os.kill(process_id, 0)
            time.sleep(0.001)
        time.sleep(moment.seconds)
        for number in moment.signals:
            os.kill(process_id, number)
            time.sleep(0.02)  # signals of one kind that come together are one
    except ProcessLookupError:
        pass  # it was faster


def attempt(
    run: RunDir,
    backend: Backend,
    moment: Moment | None = None,
    *,
    stall_seconds: float | None = None,
) -> Outcome:
    """Run one supervised attempt, killed at a moment or not."""
    return Supervisor(
        run,
        read_plan(run.plan),
        Struck(backend, moment),
        on_event=lambda event: None,
        on_terminal=lambda line: None,
        max_seconds=None,
        grace_seconds=GRACE_SECONDS,
        stall_seconds=stall_seconds,
    ).supervise()


class References:
    """Trains a job with nobody disturbing it, when its end is first asked for."""

    def __init__(self, folder: Path, model_folder: Path, backend: Backend) -> None:
        self._folder = folder
        self._model_folder = model_folder
        self._backend = backend
        self._known: dict[str, Reference] = {}

    def __getitem__(self, job: str) -> Reference:
        if job not in self._known:
            self._known[job] = self._train(job)
        return self._known[job]

    def _train(self, job: str) -> Reference:
        run = fault_run(self._folder / job, self._model_folder, job)
        started = time.monotonic()
        outcome = attempt(run, self._backend)
        seconds = time.monotonic() - started
        assert outcome.exit_code == 0, f"{job}: {outcome.reason}"
        return Reference(
            run=run,
            curve=curve(run),
            evals=evals(run),
            sha256=result_sha256(run),
            seconds=seconds,
            num_lines=len(read_events(run.journal)),
        )


def campaign(
    folder: Path,
    model_folder: Path,
    backend: Backend,
    references: References,
    *,
    jobs: Sequence[str],
    num_kills: int,
    seed: int,
    damage_chance: float = 0.0,
    say: Callable[[str], None] = lambda line: None,
) -> Tally:
    """Start runs of the jobs in turn and kill them until so many kills have hit.

    Args:
        damage_chance: after a kill, of harming a random file of the newest checkpoint.
    """
    dice, tally = random.Random(seed), Tally(seed=seed)
    number = 0
    while tally.kills < num_kills:
        job = jobs[number % len(jobs)]
        run = fault_run(folder / f"{job}-{number}", model_folder, job)
        before = tally.kills
        kept = max(len(jobs) - number - 1, 0)  # a kill for each job that has not had its turn
        most = min(dice.randint(1, MOST_KILLS_PER_RUN), num_kills - tally.kills - kept)
        is_finished = _disturb(
            run, backend, references[job], dice, tally, most=most, damage_chance=damage_chance
        )
        found = broken_promises(run, references[job]) if is_finished else ["it does not finish"]
        tally.faults += [f"{run.run_id} (seed {seed}): {fault}" for fault in found]
        tally.runs[job] += not found
        say(f"{run.run_id}: {tally.kills - before} kills, {'; '.join(found) or 'identical'}")
        number += 1
    return tally


def _disturb(
    run: RunDir, backend: Backend, reference: Reference, dice: random.Random, tally: Tally,
    *, most: int, damage_chance: float,
) -> bool:  # fmt: skip
    """Kill a run so often, let it end, and return whether it did."""
    for _ in range(most):
        moment = _draw_moment(dice, reference)
        outcome = attempt(run, backend, moment)
        if outcome.exit_code == 0:
            return True
        tally.kills += 1
        tally.strikes[" ".join(signal.Signals(number).name for number in moment.signals)] += 1
        if moment.signals == (signal.SIGTERM,) and outcome.exit_code != EXIT_PREEMPTED:
            tally.faults.append(f"{run.run_id}: SIGTERM ended it with {outcome}")
        tally.killed_in[_newest_phase(run)] += 1
        newest = next(iter(sealed_steps(run.checkpoints)), None)
        if newest is not None and dice.random() < damage_chance:
            DAMAGES[dice.choice(list(DAMAGES))](dice.choice(files_of(newest)), dice)
            tally.damages += 1
    is_finished = any(attempt(run, backend).exit_code == 0 for _ in range(STUCK))
    tally.fallbacks += sum(bool(event["skipped"]) for event in events(run, "resume"))
    return is_finished


def _draw_moment(dice: random.Random, reference: Reference) -> Moment:
    """Draw from the whole life by the clock, or closely behind a line of the journal.

    The first finds start-up and the end, the second the short moments of saving.
    """
    signals = dice.choice(STRIKES)
    if dice.random() < 0.5:
        # SIGTERM is heard from the first line on: before it, it ends a process as any other
        lines = 0 if signals == KILL else 1
        return Moment(lines=lines, seconds=dice.uniform(0, reference.seconds), signals=signals)
    lines = dice.randint(1, reference.num_lines)
    return Moment(lines=lines, seconds=dice.uniform(0, 0.05), signals=signals)


def broken_promises(run: RunDir, reference: Reference) -> list[str]:
    """Return in what a finished run differs from the undisturbed one."""
    faults = []
    if [step for step, *_ in curve(run)] != list(range(1, STEPS + 1)):
        faults.append(f"journal has steps {[step for step, *_ in curve(run)]}")
    elif curve(run) != reference.curve:
        faults.append("the loss trace differs")
    if evals(run) != reference.evals:
        faults.append(f"held-out losses are {evals(run)}, not {reference.evals}")
    if result_sha256(run) != reference.sha256:
        faults.append("the result has other bits")
    return faults + [f"warning {event['message']}" for event in events(run, "warning")]


def evals(run: RunDir) -> list[tuple[str, int, float]]:
    """Return phase, step and held-out loss of every evaluation, in journal order."""
    return [(event["phase"], event["step"], event["loss"]) for event in events(run, "eval")]


def _newest_phase(run: RunDir) -> str:
    """Return what the killed attempt was doing last, by its journal."""
    lines = [event for event in read_events(run.journal) if event["event"] != "end"]
    newest = lines[-1]
    return str(newest["name"]) if newest["event"] == "phase" else f"after {newest['event']}"
