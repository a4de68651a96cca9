"""Prometheus metrics of the service: answers, decisions, batch sizes, durations and the length of the queue."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)

SHARES = tuple(round(0.05 * step, 2) for step in range(1, 21))


class Metrics:
    """All metrics of one app. None of them depends on an image's name or content."""

    def __init__(self, answers: Iterable[str]) -> None:
        """Create them; each of the possible answers is counted, from 0 on."""
        self._registry = registry = CollectorRegistry()
        self.answers = Counter("pneumo_answers", "HTTP answers by status.", ["status"], registry=registry)
        self.decisions = Counter("pneumo_decisions", "Decisions by answer.", ["decision"], registry=registry)
        for answer in answers:
            self.decisions.labels(answer)
        self.waiting = Gauge("pneumo_waiting_images", "Images in the queue.", registry=registry)
        self.seconds = Histogram(
            "pneumo_answer_seconds", "Time from request to answer.", registry=registry, buckets=SECONDS
        )
        self.values = {
            name: Histogram(f"pneumo_{name}", f"{name.capitalize()} of answers.", registry=registry, buckets=SHARES)
            for name in ("probability", "familiarity")
        }
        self.batches = Histogram(
            "pneumo_batch_images", "Images per call of the model.", registry=registry, buckets=BATCH_SIZES
        )

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)
