"""Fair measurement: warm-up, several interleaved runs, and the first batch outside both the count and the time.

A *contender* does one piece of work after another and yields how many images each had. All contenders of a table run in
turn, A B C A B C, so that a machine that slows down slows all of them. The ratio of two contenders is the median of
their ratios within each round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import how_to_install, is_installed
from pneumo_tfds.program.progress import track

Work = Generator[int, None, None]
"""Each `next` does one piece of work, usually a batch, and returns its number of images. Closing it releases what it
holds, such as worker processes and files."""

OURS, PEER, LIMIT = "ours", "peer", "limit"


class CannotRunError(RuntimeError):
    """Raised by a contender that cannot run on this machine; it is listed with the message as the reason."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a table."""

    name: str
    """`ours: ...`, `peer: ...` or `limit: ...`."""
    start: Callable[[], Work]
    """Returns the work. What it does before its first `next` has ended is not measured."""
    needs: tuple[str, ...] = ()
    """Modules that must be installed."""
    extra: str = "peers"
    """The extra of this project that installs them."""
    keep: bool = False
    """Start once and continue in later runs, for compiled steps; otherwise every run starts anew."""
    rounded: bool = False
    """Whether it computes less exactly, as int8 does. Of these and of the others, the fastest is marked apart."""
    details: Callable[[], Mapping[str, float]] = dict
    """Called after the last run for more figures, such as the share of time spent waiting; each becomes a column."""

    def missing(self) -> str:
        """Return what must be installed first; empty if nothing."""
        absent = [name for name in self.needs if not is_installed(name)]
        return f"not installed ({', '.join(absent)}); {how_to_install(self.extra)}" if absent else ""


@dataclass(frozen=True)
class Case:
    """Properties that all contenders of one table share."""

    stage: str
    """build, input, augment, train, inference or serve."""
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

    @property
    def title(self) -> str:
        """The title of this table."""
        case = f", {self.case}" if self.case else ""
        shape = f"{self.image_size} x {self.image_size}, batches of {self.batch_size}"
        return f"{self.stage}: {self.source}{case}, {shape}, {self.threads} threads each"


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
    rounded: bool = False
    """As in `Contender`."""

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


def measure(case: Case, contenders: Sequence[Contender], pace: Pace) -> list[Record]:
    """Run each contender `pace.rounds` times in turn; return a record of each, in their order.

    Raises:
        InputError: a contender ran out of images before anything could be measured.
    """
    notes = {contender.name: contender.missing() for contender in contenders}
    runs: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    kept: dict[str, Work] = {}
    for contender in track([*contenders] * pace.rounds, f"{case.stage} {case.case}".strip()):
        name = contender.name
        if notes[name]:
            continue
        try:
            work = kept.pop(name, None) or contender.start()
            runs[name].append(images_per_second(work, pace.seconds, name))
        except CannotRunError as error:
            notes[name] = str(error)
            runs[name].clear()
            continue
        if contender.keep:
            kept[name] = work
        else:
            work.close()
    details = {contender.name: contender.details() for contender in contenders if runs[contender.name]}
    for work in kept.values():
        work.close()
    return [
        Record(case, each.name, tuple(runs[each.name]), notes[each.name], details.get(each.name, {}), each.rounded)
        for each in contenders
    ]


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
