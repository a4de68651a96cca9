"""Names of the two classes, in folders and in the label column of a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources import words
from pneumo_tfds.sources.inventory import LABELS


@dataclass(frozen=True)
class ClassWords:
    """Names that mean a class; compared without letter case, and `_`, `-`, `.` and space are alike."""

    negative: tuple[str, ...] = ("NORMAL",)
    positive: tuple[str, ...] = ("PNEUMONIA",)
    met: set[str] = field(default_factory=set, compare=False)
    """The names that were asked for and have a meaning, as `plain_name` gives them."""

    def __post_init__(self) -> None:
        both = {words.plain_name(name) for name in self.negative} & {words.plain_name(name) for name in self.positive}
        if both:
            raise InputError(f"{min(both)!r} is given to --positive and to --negative; give it to one")

    def label_of(self, name: str) -> str:
        """Return `NORMAL` or `PNEUMONIA` if the name means one of them; else empty."""
        plain = words.plain_name(name)
        for label, names in zip(LABELS, (self.negative, self.positive), strict=True):
            if plain in map(words.plain_name, names):
                self.met.add(plain)
                return label
        return ""

    def not_met(self, names: tuple[str, ...]) -> list[str]:
        """Return those of `names` that nothing was called so far."""
        return [name for name in names if words.plain_name(name) not in self.met]

    def in_words(self, between: str = "and") -> str:
        """Return the two groups of names for a message."""
        return f"{' or '.join(self.negative)} {between} {' or '.join(self.positive)}"
