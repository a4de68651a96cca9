"""TensorBoard's HParams logs of a search; show them with `tensorboard --logdir RUN_DIR/tuner`.

TensorBoard is an optional dependency: without it nothing is written.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pneumo_tfds.program.files import replacing
from tuning.results.leaderboard import TrialRow
from tuning.search.journal import Journal
from tuning.search.search_plan import Plan

AVAILABLE = importlib.util.find_spec("tensorboard") is not None
SCORE = "objective"
CURVES = ("loss", "validation_loss", "validation_auroc", "validation_accuracy", "learning_rate")
EVENTS = "events.out.tfevents.0.search"


def write_hparams(folder: Path, trials: Path, plan: Plan, rows: Iterable[TrialRow]) -> None:
    """Write the event files of the search and of its ended trials to `folder`; existing files are kept.

    The file of a trial lies in `folder/trial_NUMBER`, numbered as in `rows`. Its journal is read from `trials`, the
    folder of KerasTuner's trials.
    """
    if not AVAILABLE:
        return
    if not (folder / EVENTS).exists():
        write_events(folder / EVENTS, [_experiment(plan)])
    places = {int(place.name.removeprefix("trial_")) + 1: place for place in trials.glob("trial_*")}
    for row in rows:
        path = folder / f"trial_{row.trial:03d}" / EVENTS
        if row.ended and not path.exists():
            write_events(path, _session(places[row.trial], row))


def write_events(path: Path, events: Iterable[tuple[float, int, Any]]) -> None:
    """Write an event file from tuples of time (seconds since the epoch), step and summary."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    with replacing(path) as temporary, temporary.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(file_version="brain.Event:2").SerializeToString())
        for time, step, summary in events:
            event = Event(wall_time=time, step=step)
            event.summary.ParseFromString(summary.SerializeToString())  # TensorFlow and TensorBoard have a class each
            writer.write(event.SerializeToString())


def _experiment(plan: Plan) -> tuple[float, int, Any]:
    """Return the event that declares the searched parameters and the metrics."""
    from tensorboard.plugins.hparams.summary_v2 import HParam, Metric, RealInterval, hparams_config_pb

    parameters = [HParam(p.name, RealInterval(0.0 if p.contains(0) else p.low, p.high)) for p in plan.parameters]
    names = {SCORE: plan.objective.name, "validation_auroc": None, "validation_loss": None}
    metrics = [Metric(tag, display_name=name, dataset_type=Metric.VALIDATION) for tag, name in names.items()]
    return 0.0, 0, hparams_config_pb(parameters, metrics, time_created_secs=0.0)


def _session(trial: Path, row: TrialRow) -> Iterator[tuple[float, int, Any]]:
    """Yield a trial's events: its values, its curves by epoch, the objective, its end."""
    from tensorboard.plugins.hparams import api_pb2, summary, summary_v2

    journal = Journal.read(trial) or Journal(row.values)
    end = (trial / "trial.json").stat().st_mtime
    now = begin = end - journal.seconds
    yield begin, 0, summary_v2.hparams_pb(row.values, trial_id=f"trial {row.trial}", start_time_secs=begin)
    for step, epoch in enumerate(journal.epochs, start=1):
        now += epoch["seconds"]
        yield min(now, end), step, _scalars({name: epoch[name] for name in CURVES})
    if row.score is not None:
        yield end, len(journal.epochs), _scalars({SCORE: row.score})
    status = api_pb2.STATUS_FAILURE if row.score is None else api_pb2.STATUS_SUCCESS
    yield end, 0, summary.session_end_pb(status, end_time_secs=end)


def _scalars(values: dict[str, float]) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
