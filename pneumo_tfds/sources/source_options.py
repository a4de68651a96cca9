"""What a user can say about how a source is to be understood."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import agreeing

Uncertain = Literal["left_out", "positive", "negative"]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How folders or tables are to be understood, where that does not follow from themselves."""

    layout: str | None = None
    """Name of a known data set, or a TOML file that describes one (docs/how-to/bring-your-own-xrays.md). Default:
    recognised."""
    positive: tuple[str, ...] = ()
    """Folders or labels that mean PNEUMONIA. Default: PNEUMONIA, or what the layout says."""
    negative: tuple[str, ...] = ()
    """Folders or labels that mean NORMAL. Default: NORMAL, or what the layout says."""
    uncertain: Uncertain | None = None
    """What a finding that a table marks as uncertain (-1) counts as. Default: what the layout says, mostly left out."""
    corrections: tuple[Path, ...] = ()
    """Files of corrected labels and removed images, in order: each a suspects.csv of python -m pipeline.suspects whose
    decisions were filled in."""
    strict: bool = False
    """Stop at every warning about the source, not only where a decision is needed."""
    yes: bool = False
    """Go on where a decision is needed, in the way that the message says."""

    def source_options(self) -> dict[str, Any]:
        """Return these options by name, without what a class that inherits them has beside."""
        return {field.name: getattr(self, field.name) for field in fields(SourceOptions)}

    def require_a_source(self, flags: str, *, named: bool, drawn: bool = False) -> None:
        """Raise InputError if one of these options is given, but none of the flags that name a source.

        Where the images are `drawn`, no source can be named.
        """
        given = [f"--{name}" for name, value in self.source_options().items() if value]
        if given and not named:
            verb, what = agreeing(len(given), "is", "are"), agreeing(len(given), "it", "them")
            other = "" if drawn else ", or name the images"
            raise InputError(f"{' and '.join(given)} {verb} about {flags}; leave {what} out{other}")
