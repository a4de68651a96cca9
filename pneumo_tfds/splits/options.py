"""What a user can choose about the splits of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Lt

from pneumo_tfds.program.bounds import Bounded

Fraction = Annotated[float, Gt(0), Lt(1)]


@dataclass(frozen=True)
class SplitOptions(Bounded):
    """How large the splits are."""

    validation_fraction: Fraction = 0.2
    """Fraction of the training patients held out for validation."""
    test_fraction: Fraction = 0.15
    """Fraction of all patients held out for test, if the source has no test folder."""

    whole: bool = False
    """Put all images into one split, named test, to score a model on them."""

    def as_text(self) -> str:
        """Return the options as hashed by `Source.fingerprint`. The text must not change, or datasets are not found."""
        whole = ", whole=True" if self.whole else ""
        return f"Options(validation_fraction={self.validation_fraction!r}, test_fraction={self.test_fraction!r}{whole})"
