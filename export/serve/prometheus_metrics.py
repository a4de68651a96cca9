"""Prometheus metrics of the service, and whether the last answers differ from those to the reference images."""

from __future__ import annotations

from collections import Counter as Counts
from collections import deque
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from export.inference.answer_reference import FEWEST, QUANTITIES, REFUSALS, compare
from export.inference.classifier import Prediction
from export.inference.decision import UNSUITABLE
from export.inference.onnx_metadata import ModelFileError

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
SHARES = tuple(round(0.05 * step, 2) for step in range(1, 21))
WINDOW = 1000
"""Number of last answers that are compared with the reference."""
WORDS = {
    "probability": "Probability of answers.",
    "familiarity": "Familiarity of answers.",
    "brightness": "Mean brightness of images as the model sees them, 0 (black) to 1.",
}


class Metrics:
    """All metrics of one app. None of them depends on an image's name or content."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.answers = Counter("pneumo_answers", "HTTP answers by status.", ["status"], registry=registry)
        self.active = Gauge("pneumo_active_requests", "Requests that are being answered.", registry=registry)
        self.seconds = Histogram(
            "pneumo_answer_seconds", "Time from request to answer.", registry=registry, buckets=SECONDS
        )
        self.exchanges = Counter(
            "pneumo_model_exchanges", "Files read again on SIGHUP.", ["model", "result"], registry=registry
        )
        self.decisions = Counter(
            "pneumo_decisions", "Decisions that were given, by answer.", ["model", "decision"], registry=registry
        )
        self.values = {
            name: Histogram(f"pneumo_{name}", words, ["model"], registry=registry, buckets=SHARES)
            for name, words in WORDS.items()
        }
        self.batches = Histogram(
            "pneumo_batch_images", "Images per call of the model.", ["model"], registry=registry, buckets=BATCH_SIZES
        )
        self.waiting = Gauge("pneumo_waiting_images", "Images in the queue.", ["model"], registry=registry)
        self.index = Gauge(
            "pneumo_drift_index",
            f"Population stability index of the last {WINDOW} answers beside the reference in the file.",
            ["model", "quantity"],
            registry=registry,
        )
        self.alarm = Gauge(
            "pneumo_drift_alarm",
            f"1 while the last {WINDOW} answers have drifted from the reference by the test of export.drift.",
            ["model", "quantity"],
            registry=registry,
        )

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class ModelMetrics:
    """The metrics of one loaded file, and its last answers. Each of the possible answers is counted, from 0 on.

    Raises:
        ModelFileError: the reference is damaged.
    """

    def __init__(
        self, metrics: Metrics, model: str, answers: tuple[str, ...], reference: Mapping[str, Any] | None, path: str
    ) -> None:
        self.batches = metrics.batches.labels(model)
        self._metrics, self._model, self._refuses = metrics, model, UNSUITABLE in answers
        self._reference = reference
        self._values = {name: deque[float](maxlen=WINDOW) for name in QUANTITIES}
        self._decisions = deque[str](maxlen=WINDOW)
        one_answer = {name: [0.5] for name in QUANTITIES}
        try:
            known = compare(reference, one_answer, {UNSUITABLE: 1} if self._refuses else {}) if reference else {}
        except ValueError as error:
            raise ModelFileError(f"{path} has {error}; export the run again") from error
        for answer in answers:
            metrics.decisions.labels(model, answer)
        for name in (*QUANTITIES, REFUSALS):
            for gauge in (metrics.index, metrics.alarm):
                gauge.remove(model, name)  # of the file that had the name before
                if name in known:
                    gauge.labels(model, name).set(0)

    def record(self, found: Prediction, brightness: float, given: str) -> None:
        """Count an answer by the decision that was given, and keep the model's own to notice drift.

        Without familiarity in the model there is none in the metrics.
        """
        self._metrics.decisions.labels(self._model, given).inc()
        self._decisions.append(found.decision)
        seen = {"probability": found.probability, "familiarity": found.familiarity, "brightness": brightness}
        for name, value in seen.items():
            if value is not None:
                self._metrics.values[name].labels(self._model).observe(value)
                self._values[name].append(value)

    def refresh(self, waiting: int) -> None:
        """Set the gauges: `waiting` images, and the drift of the last answers if the file has a reference."""
        self._metrics.waiting.labels(self._model).set(waiting)
        if self._reference is None:
            return
        values = {name: tuple(last) for name, last in self._values.items() if last}
        decisions = Counts(self._decisions) if self._refuses else {}
        enough = len(self._decisions) >= FEWEST
        for name, one in compare(self._reference, values, decisions).items():
            self._metrics.index.labels(self._model, name).set(one.index)
            self._metrics.alarm.labels(self._model, name).set(one.drifted and enough)
