"""From a job file to everything a plan needs: the steps that `plan`, `train` and `resume` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.base_model.architecture import linear_modules
from runner.base_model.source import ModelFolder, describe, fetch, file_hashes, weight_bytes
from runner.data.packing import count_packed_rows
from runner.data.prepare import PreparedData, load_prepared, prepare
from runner.data.tokenizer import load_tokenizer
from runner.errors import TrainboxError
from runner.fetch import bring_hub_data
from runner.forecast.of_plan import forecast
from runner.load import LoadedJob, check_against_model, load_job
from runner.machine import Machine, read_machine
from runner.plan import Plan, PlannedModel, build_plan
from runner.predict import find_architecture
from runner.record.layout import cache_root, runs_root
from runner.record.root import check_cache
from runner.wsl import wsl_warnings


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A job whose model is described and whose data is proved and prepared."""

    loaded: LoadedJob
    model: ModelFolder
    data: PreparedData
    machine: Machine


def resolve(
    path: Path, overrides: Sequence[str], *, offline: bool, say: Callable[[str], None]
) -> Resolved:
    """Load a job, describe its model and prepare its data; starts nothing.

    Raises:
        TrainboxError: all faults that can be found together.
    """
    check_cache(cache_root())
    loaded = load_job(path, overrides)
    model = describe_model(loaded, offline=offline, say=say)
    check_against_model(loaded, model.config, linear_modules(model.config, model.folder))
    bring_hub_data(loaded.job, where=loaded.where, offline=offline, say=say)
    data = prepare(
        loaded.job,
        load_tokenizer(model.folder),
        where=loaded.where,
        cache=cache_root(),
        offline=offline,
        say=say,
    )
    for line in wsl_warnings(loaded.job, model):
        say(line)
    return Resolved(loaded=loaded, model=model, data=data, machine=read_machine())


def describe_model(loaded: LoadedJob, *, offline: bool, say: Callable[[str], None]) -> ModelFolder:
    """Describe the job's model; a fault that has no place of its own is the key's."""
    try:
        return describe(loaded.job.model, offline=offline, say=say)
    except TrainboxError as error:
        error.where = error.where or loaded.where("model.name_or_path")
        raise


def bring_model(resolved: Resolved, *, offline: bool, say: Callable[[str], None]) -> PlannedModel:
    """Bring the weights into the cache and return the model as the training process finds it."""
    folder = fetch(resolved.loaded.job.model, offline=offline, say=say)
    return planned_model(folder)


def planned_model(folder: ModelFolder) -> PlannedModel:
    """Return the model with the hashes of its files."""
    return PlannedModel(
        public_name=folder.public_name,
        revision=folder.revision,
        folder=str(folder.folder),
        model_type=str(folder.config.get("model_type", "unknown")),
        files=file_hashes(folder.folder),
    )


def plan_of(resolved: Resolved, model: PlannedModel, run_id: str) -> Plan:
    """Build the plan of a resolved job, with the forecast of what it will take."""
    job = resolved.loaded.job
    plan = build_plan(
        job,
        run_id=run_id,
        model=model,
        train_data=resolved.data.train,
        eval_data=resolved.data.eval,
        machine=resolved.machine,
        overrides=resolved.loaded.overrides,
        packed_rows=_packed_rows(resolved) if job.data.packing is True else None,
        config=resolved.model.config,
    )
    taken = forecast(
        plan,
        job,
        find_architecture(resolved.model.config),
        weight_bytes=weight_bytes(job.model, offline=True),
        runs=runs_root(),
    )
    return replace(plan, forecast=taken)


def _packed_rows(resolved: Resolved) -> int:
    offsets = load_prepared(resolved.data.train.path)["offsets"]
    lengths = (offsets[1:] - offsets[:-1]).tolist()
    return count_packed_rows(lengths, resolved.loaded.job.data.max_length)
