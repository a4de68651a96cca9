"""MLflow: the server of MLFLOW_TRACKING_URI if that is set, else files in `RUN/tracking/mlflow/`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from pipeline.tracking.tracker import TrackedRun, Value, explained

SERVER, EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
KEY = "pneumo_key"  # the tag by which a run is found again
PARAMETERS_AT_ONCE = 100  # MLflow's limit for one request


class MlflowTracker:
    """Writes one run of MLflow; trials are nested in the run of their search."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        if os.environ.get(SERVER):
            with _explained():
                self._client.search_experiments(max_results=1)

    def begin(self, settings: Mapping[str, Value]) -> None:
        """Create the run, or open the one that an earlier process began."""
        with _explained():
            found, parent = self._find(self._run.key), self._run.parent
            if found:
                self._id = found.info.run_id
                self._client.update_run(self._id, status="RUNNING")
                return
            tags = {KEY: self._run.key, "mlflow.source.name": "pneumo"}
            if parent and (above := self._find(parent.key)):
                tags["mlflow.parentRunId"] = above.info.run_id
            made = self._client.create_run(self._experiment, tags=tags, run_name=self._run.title)
            self._id = made.info.run_id
            parameters = [Param(name, str(value)) for name, value in settings.items()]
            for start in range(0, len(parameters), PARAMETERS_AT_ONCE):
                self._client.log_batch(self._id, params=parameters[start : start + PARAMETERS_AT_ONCE])

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Log the values as metrics of this step."""
        self._log(values, number)

    def end(
        self, figures: Mapping[str, float], texts: Mapping[str, str], pictures: Mapping[str, Path], *, failed: bool
    ) -> None:
        """Log figures as metrics, texts as tags, pictures as artifacts."""
        self._log(figures, 0)
        with _explained():
            self._client.log_batch(self._id, tags=[RunTag(name, text) for name, text in texts.items()])
            for path in pictures.values():
                self._client.log_artifact(self._id, str(path), "pictures")
            self._client.set_terminated(self._id, "FAILED" if failed else "FINISHED")

    @cached_property
    def _client(self) -> MlflowClient:
        uri = os.environ.get(SERVER) or (self._run.store / "mlflow").resolve().as_uri()
        return MlflowClient(uri, uri)

    @cached_property
    def _experiment(self) -> str:
        name = os.environ.get(EXPERIMENT, "pneumo")
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _find(self, key: str) -> Run | None:
        found = self._client.search_runs([self._experiment], f"tags.{KEY} = '{key}'", max_results=1)
        return found[0] if found else None

    def _log(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        with _explained():
            self._client.log_batch(self._id, [Metric(name, value, now, step) for name, value in values.items()])


def _explained() -> AbstractContextManager[None]:
    return explained(f"MLflow at {os.environ.get(SERVER, 'its local store')}", MlflowException)
