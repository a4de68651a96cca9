"""TensorBoard's HParams logs of a search, without TensorBoard; look at them by `tensorboard --logdir RUN_DIR/tuner`.

TensorFlow no longer brings TensorBoard, but still its event files. What its HParams tab wants in them are three small
protocol buffers of its own (tensorboard/plugins/hparams/plugin_data.proto and api.proto); they are encoded here, field
by field (https://protobuf.dev/programming-guides/encoding/), and a test has TensorBoard read them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import tensorflow as tf

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing
from tuning.results.leaderboard import Row
from tuning.search import journal
from tuning.search.search_plan import Plan

PLUGIN = "hparams"
EXPERIMENT, STARTED, ENDED = "experiment", "session_start_info", "session_end_info"
FIELD = {EXPERIMENT: 2, STARTED: 3, ENDED: 4}  # of HParamsPluginData
FLOAT64, VALIDATION, SUCCESS, FAILURE = 3, 2, 1, 2  # DataType, DatasetType and Status of api.proto
SCORE = "objective"
CURVES = ("loss", "validation_loss", "validation_auroc", "validation_accuracy", "learning_rate")
EVENTS = "events.out.tfevents.0.search"


def write_hparams(folder: Path, trials: Path, plan: Plan, rows: Iterable[Row]) -> None:
    """Write the event files of the search and of its ended trials; those that are there already stay.

    Args:
        folder: for the event files; a trial's files lie in `folder/trial_NUMBER`, numbered as in `rows`.
        trials: the folder of KerasTuner's trials, with their journals.
        plan: what is searched.
        rows: the leaderboard.
    """
    if not (folder / EVENTS).exists():
        _write(folder / EVENTS, [_event(0.0, _plugin(EXPERIMENT, _experiment(plan)))])
    places = {int(place.name.removeprefix("trial_")) + 1: place for place in trials.glob("trial_*")}
    for row in rows:
        path = folder / f"trial_{row.trial:03d}" / EVENTS
        if row.status != "running" and not path.exists():
            _write(path, _session(places[row.trial], row))


def _session(trial: Path, row: Row) -> Iterator[tf.compat.v1.Event]:
    """Give a trial's events: its values, its curves by epoch, the objective, its end."""
    account = journal.read(trial) or journal.Journal(row.values)
    end = (trial / "trial.json").stat().st_mtime
    now = begin = end - account.seconds
    values = b"".join(
        _bytes(1, _bytes(1, name.encode()) + _bytes(2, _double(2, value))) for name, value in row.values.items()
    )
    name = f"trial {row.trial}"
    yield _event(begin, _plugin(STARTED, values + _bytes(4, name.encode()) + _double(5, begin)))
    for step, epoch in enumerate(account.epochs, start=1):
        now += epoch["seconds"]
        yield _event(min(now, end), *(_scalar(name, epoch[name]) for name in CURVES), step=step)
    if row.score is not None:
        yield _event(end, _scalar(SCORE, row.score), step=len(account.epochs))
    yield _event(end, _plugin(ENDED, _varint(1, FAILURE if row.score is None else SUCCESS) + _double(2, end)))


def _experiment(plan: Plan) -> bytes:
    """Give what is searched and what it is judged by: `Experiment` of api.proto."""
    parts = [_bytes(1, f"{plan.start.model.model}, {plan.start.search.tuner}".encode())]
    for parameter in plan.parameters:
        low = 0.0 if parameter.scale == "log_or_zero" else parameter.low
        interval = _double(1, low) + _double(2, parameter.high)
        parts.append(_bytes(4, _bytes(1, parameter.name.encode()) + _varint(4, FLOAT64) + _bytes(6, interval)))
    metrics = {SCORE: plan.objective.name, "validation_auroc": "", "validation_loss": ""}
    for tag, display in metrics.items():
        name = _bytes(1, _bytes(2, tag.encode()))
        parts.append(_bytes(5, name + _bytes(3, (display or tag).encode()) + _varint(5, VALIDATION)))
    return b"".join(parts)


def _plugin(kind: str, content: bytes) -> tf.compat.v1.Summary.Value:
    data = {"plugin_name": PLUGIN, "content": _bytes(FIELD[kind], content)}
    return tf.compat.v1.Summary.Value(
        tag=f"_{PLUGIN}_/{kind}",
        metadata=tf.compat.v1.SummaryMetadata(plugin_data=data),
        tensor=tf.make_tensor_proto([], tf.float32, shape=(0,)),
    )


def _scalar(tag: str, value: float) -> tf.compat.v1.Summary.Value:
    return tf.compat.v1.Summary.Value(tag=tag, simple_value=value)


def _event(time: float, *values: tf.compat.v1.Summary.Value, step: int = 0) -> tf.compat.v1.Event:
    return tf.compat.v1.Event(wall_time=time, step=step, summary=tf.compat.v1.Summary(value=values))


def _write(path: Path, events: Iterable[tf.compat.v1.Event]) -> None:
    try:
        with replacing(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            writer.write(tf.compat.v1.Event(file_version="brain.Event:2").SerializeToString())
            for event in events:
                writer.write(event.SerializeToString())
    except tf.errors.OpError as error:  # TensorFlow has its own for a full disk
        raise InputError(f"cannot write {path}: {error.message}; make room or choose another folder") from error


def _number(value: int) -> bytes:
    """Encode a whole number, seven bits a byte, lowest first."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _varint(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value)


def _double(field: int, value: float) -> bytes:
    return _number(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, content: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(content)) + content
