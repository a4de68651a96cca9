"""Fair measurement: warm-up, several interleaved runs, and the first batch outside both the count and the time.

A *contender* does one piece of work after another and yields how many images each had. All contenders of a table run in
turn, A B C A B C, so that a machine that slows down slows all of them. The ratio of two contenders is the median of
their ratios within each round.
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
"""Each `next` does one piece of work, usually a batch, and returns its number of images."""

OURS, PEER, LIMIT = "ours", "peer", "limit"


class CannotRunError(RuntimeError):
    """Raised by a contender that cannot run on this machine; it is listed with the message as the reason."""


def _no_details() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a table."""

    name: str
    """`ours: ...`, `peer: ...` or `limit: ...`."""
    prepare: Callable[[], Work | Callable[[], int]]
    """Prepares outside the measured time. Returns an iterator, or a function that is called repeatedly."""
    needs: tuple[str, ...] = ()
    """Modules that must be installed."""
    extra: str = "peers"
    """The extra of this project that installs them."""
    keep: bool = False
    """Prepare once and continue in later runs, for compiled steps; otherwise every run is prepared anew."""
    details: Callable[[], Mapping[str, float]] = _no_details
    """Called after the last run for more figures, such as the share of time spent waiting; each becomes a column."""

    def __post_init__(self) -> None:
        if self.name.split(":")[0] not in (OURS, PEER, LIMIT):
            raise ValueError(f"contender {self.name!r} must begin with {OURS}:, {PEER}: or {LIMIT}:")

    def missing(self) -> str:
        """Return what must be installed first; empty if nothing."""
        absent = [name for name in self.needs if not _installed(name)]
        return f"not installed ({', '.join(absent)}): pip install 'pneumo[{self.extra}]'" if absent else ""


@dataclass(frozen=True)
class Case:
    """Properties that all contenders of one table share."""

    stage: str
    """build, input, augment, train or inference."""
    source: str
    """The images: the name of a folder, or of what was drawn."""
    image_size: int
    """Side in pixels of the images that come out."""
    batch_size: int
    """Images in a batch."""
    threads: int
    """Threads or worker processes each contender may use."""
    case: str = ""
    """What else distinguishes this table, such as "augmented"."""
    against: str = ""
    """The contender that ratios refer to; empty for the fastest peer."""


@dataclass(frozen=True)
class Record:
    """The measurement of one contender."""

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
        """Return how many times as fast as `other` this is: the median of the rounds' ratios."""
        return median(mine / theirs for mine, theirs in zip(self.runs, other.runs, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        names = ("stage", "source", "case", "image_size", "batch_size", "threads")
        return {
            **{name: getattr(self.case, name) for name in names},
            "contender": self.contender,
            **({"images_per_second": self.images_per_second, "runs": list(self.runs)} if self.runs else {}),
            **({"details": dict(self.details)} if self.details else {}),
            **({"reason": self.note} if self.note else {}),
        }


@dataclass(frozen=True)
class Pace:
    """The duration of a measurement."""

    rounds: int
    """Runs of each contender."""
    seconds: float
    """A run ends with the batch that exceeds this."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.seconds <= 0:
            raise ValueError(f"a pace needs at least one round and some time, not {self.rounds} of {self.seconds} s")


def measure(case: Case, contenders: Sequence[Contender], pace: Pace) -> list[Record]:
    """Run each contender `pace.rounds` times in turn; return a record of each, in their order.

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
    names = [contender.name for contender in contenders]
    return [Record(case, name, tuple(runs[name]), notes[name], details.get(name, {})) for name in names]


def images_per_second(work: Work, seconds: float, name: str = "a contender") -> float:
    """Return the rate of `work` over `seconds`, after one piece of warm-up that does not count.

    Raises:
        InputError: it ended before a second piece.
    """
    if next(work, None) is None:
        raise InputError(f"--source is too small for {name}: it yields no batch")
    images, start = 0, time.perf_counter()
    for done in work:
        images += done
        if time.perf_counter() - start >= seconds:
            break
    elapsed = time.perf_counter() - start
    if not images:
        raise InputError(f"--source is too small for {name}: it yields one batch, and the first is not counted")
    return images / elapsed


def _prepared(contender: Contender) -> Work:
    prepared = contender.prepare()
    return prepared if isinstance(prepared, Iterator) else _repeated(prepared)


def _repeated(work: Callable[[], int]) -> Work:
    while True:
        yield work()


def _close(work: Work) -> None:
    """Close a generator, so that it stops its worker processes and removes its files."""
    close = getattr(work, "close", None)
    if close:
        close()


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is absent
        return False
