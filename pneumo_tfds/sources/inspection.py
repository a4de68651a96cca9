"""What `python -m pneumo_tfds inspect` prints and writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.identifiers import is_unknown
from pneumo_tfds.sources.inventory import Source
from pneumo_tfds.sources.survey import LeftOut


def short_form(source: Source, *, show_path: bool = True) -> list[str]:
    """Return the lines that build, audit and train print first: what was understood, and what is doubtful.

    Without `show_path` the source is named by the last part of its path, for output that is handed on.
    """
    return [*_understood(source, show_path=show_path), *map(_left_out, source.survey.left_out)]


def describe(source: Source) -> list[str]:
    """Return the lines of `short_form` with an example of what is left out, and a table of every part of the source."""
    examples = [f"{_left_out(group)}, such as {group.examples[0]}" for group in source.survey.left_out]
    return [*_understood(source, show_path=True), *examples, "", *source.survey.table()]


def _understood(source: Source, *, show_path: bool) -> list[str]:
    survey, labels = source.survey, Counter(image.label for image in source.images)
    counts = ", ".join(f"{labels[label]:,} {label}" for label in sorted(labels))
    known = {image.patient for image in source.images if not is_unknown(image.patient)}
    unknown = sum(is_unknown(image.patient) for image in source.images)
    return [
        f"{source.where if show_path else Path(source.where).name}: {counted(len(source.images), 'image')} ({counts})",
        f"read as: {survey.title} (layout {survey.layout})",
        f"patients: {len(known):,} known; {counted(unknown, 'image')} of unknown patients",
        f"splits: {_splits(source)}",
        *(f"needs a decision: {text}" for text in survey.questions),
        *(f"warning: {text}" for text in survey.warnings),
        *(f"note: {text}" for text in survey.notes),
    ]


def _left_out(group: LeftOut) -> str:
    return f"left out: {counted(group.files, 'file')} ({group.reason})"


def _splits(source: Source) -> str:
    counts = Counter(image.official_split for image in source.images if image.official_split)
    unit = "image" if all(is_unknown(image.patient) for image in source.images) else "patient"
    if not counts:
        return f"none in the source; a build draws validation and test by {unit}"
    shown = ", ".join(f"{split} {counts[split]:,}" for split in ("train", "val", "test") if counts[split])
    if source.validation == "redrawn":
        what = "train and val" if counts["test"] else "them into train, val and test"
        return f"{shown}; a build divides {what} anew by {unit}"
    if set(counts) == {"test"}:
        return f"{shown}; there is nothing to train on, but a model can be scored on it"
    drawn = "" if counts["val"] else f"; a build draws validation from train by {unit}"
    return f"{shown}; taken as they are{drawn}{'' if counts['test'] else '; there is no test split'}"


def report(source: Source) -> dict[str, Any]:
    """Return what was understood of a source as an object for JSON."""
    return {
        "source": source.where,
        "kind": source.kind,
        "images": len(source.images),
        "labels": dict(sorted(Counter(image.label for image in source.images).items())),
        "splits": dict(sorted(Counter(image.official_split or "none" for image in source.images).items())),
        "validation": source.validation,
        "patients": len({image.patient for image in source.images if not is_unknown(image.patient)}),
        "patients_unknown": sum(is_unknown(image.patient) for image in source.images),
        **source.survey.as_json(),
    }
