"""What was understood of a source before anything is decoded, what was left out and why, and what is doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from pneumo_tfds.program.wording import counted

ROWS = 30
"""Parts of a source that `inspect` shows."""

EXAMPLES = 12
"""Names that are kept of each group that was left out."""

SHOWN = 8
"""Names that a message lists."""


def listed(counts: Counter[str], most: int = SHOWN, noun: str = "image") -> str:
    """Return names with how many images each has, the largest first: `COVID (3,616 images), other (1 image)`."""
    shown = ", ".join(f"{name} ({counted(count, noun)})" for name, count in counts.most_common(most))
    return f"{shown} and {len(counts) - most} more" if len(counts) > most else shown


@dataclass(frozen=True)
class Part:
    """A folder, or rows of a table that are alike, and what its images were taken for."""

    where: str
    """The folder, with `{patient}` in place of the folders of patients; or the table."""
    label: str
    split: str
    """`train`, `val` or `test`; empty if the source does not say."""
    patient: str
    """Where the patient is told, in words."""
    images: int


@dataclass(frozen=True)
class LeftOut:
    """Files that are left out for one reason."""

    reason: str
    files: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Remark:
    """Something doubtful."""

    text: str
    """What was found, what is done about it, and what to do if that is wrong."""
    question: bool = False
    """Nothing is built before a person has decided; `--yes` does what the text says."""
    about_patients: bool = False
    """It matters where images are divided, by patients or given splits, and not where all are scored."""


@dataclass(frozen=True)
class Survey:
    """What was understood of a source."""

    layout: str = ""
    """Name of the description that the source follows, or `folders` or `table`."""
    title: str = ""
    notes: tuple[str, ...] = ()
    """What else is to be known: the roles of columns, and what the description of a known data set says of it."""
    parts: tuple[Part, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def questions(self) -> list[str]:
        """What must be decided before anything is built."""
        return [remark.text for remark in self.remarks if remark.question]

    @property
    def warnings(self) -> list[str]:
        """What is doubtful and does not stop a build."""
        return [remark.text for remark in self.remarks if not remark.question]

    def as_json(self) -> dict[str, Any]:
        """Return the survey as an object for JSON."""
        found = asdict(self)
        del found["remarks"]
        return found | {"warnings": self.warnings, "questions": self.questions}

    def table(self) -> list[str]:
        """Return lines that show every part with its label, split and patient rule, aligned in columns."""
        head = ("where", "images", "label", "split", "patient")
        first = self.parts[:ROWS]
        rows = [(part.where, f"{part.images:,}", part.label, part.split or "-", part.patient) for part in first]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if index == 1 else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (head, *rows)
        ]
        more = len(self.parts) - len(first)
        return [*lines, f"and {counted(more, 'part')} more; --json FILE has all"] if more else lines


@dataclass
class SurveyNotes:
    """Collects what a survey says while a source is read."""

    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Reason to the names of all files that are left out for it."""
    decided: frozenset[str] = frozenset()
    """Names of the images whose label a person decided on, which is not asked about again."""
    remarks: list[Remark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, names: str | Iterable[str]) -> None:
        """Note files that are left out."""
        self.left_out.setdefault(reason, []).extend([names] if isinstance(names, str) else names)

    def was_read(self, name: str, *, tell: bool = True) -> None:
        """Note that a file is no image and was read, such as a table, so that it is not among what is left out."""
        others = {reason: [other for other in names if other != name] for reason, names in self.left_out.items()}
        self.left_out = {reason: names for reason, names in others.items() if names}
        if tell:
            self.tell(f"{name} was read")

    def tell(self, text: str) -> None:
        """Note something that is to be known and not doubtful."""
        self.notes.append(text)

    def warn(self, text: str) -> None:
        """Note a doubt that does not stop a build."""
        self.remarks.append(Remark(text))

    def ask(self, text: str) -> None:
        """Note a doubt that a person must decide."""
        self.remarks.append(Remark(text, question=True))

    def warn_about_patients(self, text: str) -> None:
        """Note a doubt that matters where images are divided."""
        self.remarks.append(Remark(text, about_patients=True))

    def ask_about_patients(self, text: str) -> None:
        """Note a doubt that a person must decide where images are divided."""
        self.remarks.append(Remark(text, question=True, about_patients=True))

    def survey(self, layout: str, title: str, parts: Counter[tuple[str, str, str, str]]) -> Survey:
        """Return the survey; `parts` counts images by where, label, split and patient rule."""
        groups = (LeftOut(why, len(names), tuple(names[:EXAMPLES])) for why, names in self.left_out.items())
        return Survey(
            layout,
            title,
            tuple(self.notes),
            tuple(Part(*key, count) for key, count in sorted(parts.items())),
            tuple(sorted(groups, key=lambda group: (-group.files, group.reason))),
            tuple(sorted(self.remarks, key=lambda remark: not remark.question)),
        )
