"""Figures of a running service in Prometheus's text format: counts of answers, batch sizes, and how long they took."""

from __future__ import annotations

import threading
from collections import Counter

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Histogram:
    """Cumulative buckets, sum and count, as Prometheus wants them."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self.name, self.text, self.bounds = name, text, bounds
        self.counts = [0] * len(bounds)
        self.sum, self.count = 0.0, 0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.sum += value
        self.count += 1
        for number, bound in enumerate(self.bounds):
            self.counts[number] += value <= bound

    def lines(self) -> list[str]:
        """Render as text lines."""
        buckets = [f'{self.name}_bucket{{le="{b:g}"}} {n}' for b, n in zip(self.bounds, self.counts, strict=True)]
        return [
            f"# HELP {self.name} {self.text}",
            f"# TYPE {self.name} histogram",
            *buckets,
            f'{self.name}_bucket{{le="+Inf"}} {self.count}',
            f"{self.name}_sum {self.sum:.6f}",
            f"{self.name}_count {self.count}",
        ]


class Meters:
    """All figures of the service. Nothing in them comes from an image's name or content."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[int] = Counter()
        self._decisions: Counter[str] = Counter()
        self._seconds = Histogram("pneumo_answer_seconds", "Time from the request's first byte to its answer.", SECONDS)
        self._batches = Histogram("pneumo_batch_images", "Images answered by one call of the model.", SIZES)

    def answered(self, status: int, seconds: float) -> None:
        """Count one HTTP answer of the prediction route."""
        with self._lock:
            self._answers[status] += 1
            self._seconds.observe(seconds)

    def decided(self, decision: str) -> None:
        """Count one decision."""
        with self._lock:
            self._decisions[decision] += 1

    def batched(self, size: int) -> None:
        """Count one call of the model."""
        with self._lock:
            self._batches.observe(size)

    def render(self, waiting: int) -> str:
        """All figures as text; `waiting` is the present length of the queue."""
        with self._lock:
            lines = ["# HELP pneumo_answers_total HTTP answers by status.", "# TYPE pneumo_answers_total counter"]
            lines += [f'pneumo_answers_total{{status="{s}"}} {n}' for s, n in sorted(self._answers.items())]
            lines += ["# HELP pneumo_decisions_total Decisions made.", "# TYPE pneumo_decisions_total counter"]
            lines += [f'pneumo_decisions_total{{decision="{d}"}} {n}' for d, n in sorted(self._decisions.items())]
            lines += ["# HELP pneumo_waiting_images Images in the queue.", "# TYPE pneumo_waiting_images gauge"]
            lines += [f"pneumo_waiting_images {waiting}", *self._seconds.lines(), *self._batches.lines()]
        return "\n".join(lines) + "\n"
