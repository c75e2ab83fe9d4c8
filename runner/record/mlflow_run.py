"""One run on an MLflow server: the only place that imports mlflow.

Every call may raise whatever MLflow, HTTP or a broken server makes of it; the caller
(`runner.record.delivery`) survives it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.record.mlflow_view import RUN_ID_TAG, DatasetView, Point

MAX_POINTS_PER_REQUEST = 900  # MLflow takes 1000 entities
REQUEST_SECONDS = 3
UPLOAD_BYTES_PER_SECOND = 2**20  # slower than this counts as hanging


def set_environment() -> None:
    """Set what MLflow reads from the environment, before it is imported; the user's values win."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        # The default, 7 retries of 120 s, blocks for minutes; the caller tries again by itself.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_SECONDS),
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }.items():
        os.environ.setdefault(name, value)


def load() -> None:
    """Import MLflow: seconds, and before the first request rather than in it."""
    import mlflow.tracking  # noqa: F401


class MlflowRun:
    """A run that exists on the server."""

    def __init__(self, client: Any, run: Any, uri: str) -> None:
        self._client = client
        self._uri = uri
        self.id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.status: str = run.info.status
        self._params: set[str] = set(run.data.params)

    @property
    def url(self) -> str:
        """The page of the run; a database without a server has none, so the store itself."""
        if self._uri.startswith("http"):
            return f"{self._uri.rstrip('/')}/#/experiments/{self.experiment_id}/runs/{self.id}"
        return f"{self._uri} (run {self.id})"

    def log(self, points: Sequence[Point], tags: Mapping[str, str]) -> None:
        """Send metrics and tags; sending the same again adds nothing."""
        from mlflow.entities import Metric, RunTag

        metrics = [Metric(point.key, point.value, point.time_ms, point.step) for point in points]
        for start in range(0, len(metrics), MAX_POINTS_PER_REQUEST):
            self._client.log_batch(self.id, metrics[start : start + MAX_POINTS_PER_REQUEST])
        if tags:
            self._client.log_batch(self.id, tags=[RunTag(*tag) for tag in tags.items()])

    def log_params(self, params: Mapping[str, str]) -> None:
        """Send the params that the run has not got; MLflow refuses to change one."""
        from mlflow.entities import Param

        new = [Param(key, value) for key, value in params.items() if key not in self._params]
        self._client.log_batch(self.id, params=new)
        self._params |= set(params)

    def log_datasets(self, datasets: Sequence[DatasetView]) -> None:
        """Name the data sets as inputs; the server keeps each once."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self._client.log_inputs(
            self.id,
            [
                DatasetInput(
                    Dataset(
                        name=dataset.name,
                        digest=dataset.digest,
                        source_type="local",
                        source=dataset.source,
                        profile=dataset.profile,
                    ),
                    [InputTag("mlflow.data.context", dataset.context)],
                )
                for dataset in datasets
            ],
        )

    def upload(self, file: Path, folder: str | None) -> None:
        """Upload a file; one that is there already is replaced by the same."""
        with _timeout(upload_seconds(file)):
            self._client.log_artifact(self.id, str(file), folder)

    def set_status(self, status: str, end_time_ms: int | None) -> None:
        """Set the status, with the end time of the journal where it has ended."""
        if end_time_ms is None:
            self._client.update_run(self.id, status=status)
        else:
            self._client.set_terminated(self.id, status=status, end_time=end_time_ms)
        self.status = status


def upload_seconds(file: Path) -> int:
    """Return how long the upload of a file may take."""
    return REQUEST_SECONDS + file.stat().st_size // UPLOAD_BYTES_PER_SECOND


def open_run(
    *,
    uri: str,
    experiment: str,
    known_id: str | None,
    run_id: str,
    start_time_ms: int,
    tags: Mapping[str, str],
) -> MlflowRun:
    """Find the run by its known id or by its tag, or create it.

    Args:
        known_id: what MLflow called it last time; a killed tracker may have created it unrecorded.
        run_id: ours, in the tag `trainbox.run_id`.
    """
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(tracking_uri=uri)
    run = _get(client, known_id) if known_id else None
    if run is None:
        experiment_id = _experiment_id(client, experiment)
        found = client.search_runs(
            [experiment_id], f"tags.`{RUN_ID_TAG}` = '{run_id}'", max_results=1
        )
        run = found[0] if found else None
    if run is None:
        run = client.create_run(experiment_id, start_time_ms, dict(tags), run_name=run_id)
    return MlflowRun(client, run, uri)


def _get(client: Any, known_id: str) -> Any | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(known_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None  # another database answers at this address now
        raise


def _experiment_id(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # two runs created it at the same time
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return str(experiment.experiment_id)


@contextmanager
def _timeout(seconds: int) -> Iterator[None]:
    """Let requests take longer for a while; MLflow reads the variable at every request."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    usual = os.environ.get(name)
    os.environ[name] = str(max(seconds, int(usual or 0)))
    try:
        yield
    finally:
        if usual is None:
            del os.environ[name]
        else:
            os.environ[name] = usual
