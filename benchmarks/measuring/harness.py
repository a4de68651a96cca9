"""Measuring contenders fairly: warmed up, interleaved, several runs, first batch out of both the count and the clock.

A *contender* does one piece of work after another and says how many images each was. All contenders of a table run in
turn, A B C A B C, so that a machine that slows down slows all of them; the ratio of two is the median of the ratios
within each round.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.progress import track

Work = Iterator[int]
"""Each `next` does one piece of work, a batch mostly, and gives the number of images it was."""

OURS, PEER, LIMIT = "ours", "peer", "limit"


class CannotRunError(RuntimeError):
    """A contender cannot run on this machine; the message says why. It is listed with that reason, not dropped."""


def _no_details() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a table."""

    name: str
    """`ours: ...`, `peer: ...` or `limit: ...`."""
    prepare: Callable[[], Work | Callable[[], int]]
    """Sets up outside the clock. Gives an iterator, ended or not, or a function that is called again and again."""
    needs: tuple[str, ...] = ()
    """Modules that have to be installed."""
    extra: str = "peers"
    """The extra of this project that brings them."""
    keep: bool = False
    """Prepare once and go on in later runs: for compiled steps. Without it every run starts afresh."""
    details: Callable[[], Mapping[str, float]] = _no_details
    """Asked after the last run for more figures, such as the share of time spent waiting; each becomes a column."""

    def __post_init__(self) -> None:
        if self.name.split(":")[0] not in (OURS, PEER, LIMIT):
            raise ValueError(f"contender {self.name!r} must begin with {OURS}:, {PEER}: or {LIMIT}:")

    def missing(self) -> str:
        """Say what has to be installed first; empty if nothing."""
        absent = [name for name in self.needs if not _installed(name)]
        return f"not installed ({', '.join(absent)}): pip install 'pneumo[{self.extra}]'" if absent else ""


@dataclass(frozen=True)
class Case:
    """What all contenders of one table share."""

    stage: str
    """build, input, augment, train or inference."""
    source: str
    """Which images: the name of a folder, or what was made."""
    image_size: int
    """Side in pixels of the images that come out."""
    batch_size: int
    """Images in a batch."""
    threads: int
    """Threads or worker processes each contender may use."""
    case: str = ""
    """What else sets this table apart, such as "augmented"."""
    against: str = ""
    """The contender that ratios are against; empty for the fastest peer."""


@dataclass(frozen=True)
class Record:
    """What was measured of one contender."""

    case: Case
    contender: str
    runs: tuple[float, ...] = ()
    """Images per second of every run, in order; empty if it could not run."""
    note: str = ""
    """Why it did not run; empty if it did."""
    details: Mapping[str, float] = field(default_factory=dict)
    """More figures, by name."""

    @property
    def kind(self) -> str:
        """`ours`, `peer` or `limit`."""
        return self.contender.split(":")[0]

    @property
    def images_per_second(self) -> float:
        """The median of the runs."""
        return median(self.runs)

    def ratio(self, other: Record) -> float:
        """Give how many times as fast as `other` this is: the median of the rounds' ratios."""
        return median(mine / theirs for mine, theirs in zip(self.runs, other.runs, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Give what the JSON file holds of it."""
        return {
            **{
                name: getattr(self.case, name)
                for name in ("stage", "source", "case", "image_size", "batch_size", "threads")
            },
            "contender": self.contender,
            **({"images_per_second": self.images_per_second, "runs": list(self.runs)} if self.runs else {}),
            **({"details": dict(self.details)} if self.details else {}),
            **({"reason": self.note} if self.note else {}),
        }


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    rounds: int
    """Runs of each contender."""
    seconds: float
    """A run ends with the batch that passes this."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.seconds <= 0:
            raise ValueError(f"a pace needs at least one round and some time, not {self.rounds} of {self.seconds} s")


def measure(case: Case, contenders: Sequence[Contender], pace: Pace) -> list[Record]:
    """Run each contender `pace.rounds` times in turn, and give a record of each, in their order.

    Raises:
        InputError: a contender ran out of images before anything could be measured.
    """
    notes = {contender.name: contender.missing() for contender in contenders}
    runs: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    kept: dict[str, Work] = {}
    turns = [contender for _ in range(pace.rounds) for contender in contenders]
    for contender in track(turns, f"{case.stage} {case.case}".strip()):
        if notes[contender.name]:
            continue
        try:
            work = kept.pop(contender.name, None) or _prepared(contender)
            runs[contender.name].append(images_per_second(work, pace.seconds, contender.name))
        except CannotRunError as error:
            notes[contender.name] = str(error)
            runs[contender.name].clear()
            continue
        if contender.keep:
            kept[contender.name] = work
        else:
            _close(work)
    details = {contender.name: contender.details() for contender in contenders if runs[contender.name]}
    for work in kept.values():
        _close(work)
    return [
        Record(
            case, contender.name, tuple(runs[contender.name]), notes[contender.name], details.get(contender.name, {})
        )
        for contender in contenders
    ]


def images_per_second(work: Work, seconds: float, name: str = "a contender") -> float:
    """Time `work` for `seconds`, after one piece that warms it up and counts for nothing.

    Raises:
        InputError: it ended before a second piece.
    """
    if next(work, None) is None:
        raise InputError(f"--source is too small for {name}: it gave no batch at all")
    images, start = 0, time.perf_counter()
    for done in work:
        images += done
        if time.perf_counter() - start >= seconds:
            break
    elapsed = time.perf_counter() - start
    if not images:
        raise InputError(f"--source is too small for {name}: it gave one batch, and the first is not counted")
    return images / elapsed


def _prepared(contender: Contender) -> Work:
    prepared = contender.prepare()
    return prepared if isinstance(prepared, Iterator) else _repeated(prepared)


def _repeated(work: Callable[[], int]) -> Work:
    while True:
        yield work()


def _close(work: Work) -> None:
    """Let a generator clean up: stop its worker processes, remove its files."""
    close = getattr(work, "close", None)
    if close:
        close()


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is absent
        return False
