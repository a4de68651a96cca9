"""TensorBoard: event files in `RUN/tracking/tensorboard/`; show them with `tensorboard --logdir RUN/tracking`."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, summary, summary_v2
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from pipeline.tracking.tracker import TrackedRun, Value


class TensorBoardTracker:
    """Writes an event file for each process that tracks the run. The settings of trials are their hyper-parameters."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run

    def begin(self, settings: Mapping[str, Value]) -> None:
        """Create an event file."""
        folder = self._run.store / "tensorboard" / self._run.name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}").open("xb")
        self._writer = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2"))
        if self._run.parent:
            self._add(summary_v2.hparams_pb(dict(settings), trial_id=self._run.name))
        else:
            rows = [f"| {name} | {value} |" for name, value in settings.items()]
            self._add(text_pb("settings", "\n".join(["| setting | value |", "|---|---|", *rows])))

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Add a point to every curve."""
        self._add_scalars(values, number)

    def end(
        self, figures: Mapping[str, float], texts: Mapping[str, str], pictures: Mapping[str, Path], *, failed: bool
    ) -> None:
        """Add figures as scalars, texts and pictures; of a trial also how it ended."""
        self._add_scalars(figures, 0)
        for name, text in texts.items():
            self._add(text_pb(name, text))
        for name, path in pictures.items():
            png = path.read_bytes()
            width, height = struct.unpack(">II", png[16:24])  # of the PNG header
            image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
            self._add(Summary(value=[Summary.Value(tag=name, image=image)]))
        if self._run.parent:
            self._add(summary.session_end_pb(api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS))
        self._file.close()

    def _add_scalars(self, values: Mapping[str, float], step: int) -> None:
        self._add(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step)

    def _add(self, content: Any, step: int = 0) -> None:
        event = Event(wall_time=time.time(), step=step)
        event.summary.ParseFromString(content.SerializeToString())  # TensorFlow and TensorBoard have a class each
        self._write(event)

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())
        self._file.flush()
