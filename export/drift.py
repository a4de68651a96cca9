"""`python -m export.drift ANSWERS.jsonl --model MODEL.onnx`: compare a folder's answers with those of the reference.

The reference images are those of validation, or after `export.recalibrate` the local ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from pneumo_tfds.program.answers import UNCERTAIN, UNSUITABLE
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.installed import require_installed
from pneumo_tfds.program.overwriting import refuse_overwriting
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.inventory import LABELS

if TYPE_CHECKING:
    from export.inference.onnx_metadata import Metadata

ALARM = 1
"""Exit code if the answers have drifted."""
ROUNDING = 1e-6
"""Rounding of the values in the file. An answer whose value is this close to a limit is not checked."""
ANSWERS = (*LABELS, UNCERTAIN, UNSUITABLE)
MEANINGS = {
    "familiarity": "the images look otherwise than the reference images",
    "probability": "the model finds pneumonia more or less often, or is less sure: other images, or other patients",
    "refusals": "more or fewer images are UNSUITABLE: other images, or other headers",
}


@dataclass(frozen=True, kw_only=True)
class Drift(Command):
    """Tell whether today's images still look like those on which the model was tuned.

    Compares the answers of `export.predict --json` with those to the images on which the file was decided. The exit
    code is 1 on alarm.
    """

    answers: Annotated[Path, tyro.conf.Positional]
    """The JSON lines."""
    model: Path
    """The .onnx file that gave them."""
    plot: Path | None = None
    """Draw both distributions into this PNG (needs matplotlib)."""


def drift(command: Drift) -> int:
    """Print the comparison and return the exit code."""
    from export.inference.answer_reference import FEWEST, QUANTITIES, answer_counts, compare
    from export.inference.classifier import Classifier
    from export.inference.content_digest import tell_if_unchecked
    from export.inference.onnx_metadata import ModelFileError

    if command.plot is not None:
        require_installed("matplotlib")
    classifier = Classifier(command.model)
    refuse_overwriting({"--plot": command.plot}, (command.answers, classifier.path))
    metadata = classifier.metadata
    reference = metadata.reference
    if reference is None:
        raise InputError(f"{command.model} has no reference to compare with; export the run again")
    rows, unread = _read(command, metadata, classifier.identity)
    if len(rows) < FEWEST:
        raise InputError(
            f"{command.answers} has {counted(len(rows), 'answer')}, too few to tell drift from chance; "
            f"give {FEWEST} or more"
        )
    if not classifier.content.has_digest:
        tell_if_unchecked(classifier.path)
    given = Counter(row["decision"] for row in rows)
    checked = [name for name in QUANTITIES if name in _shares(metadata)]
    values = {name: [row[name] for row in rows] for name in checked}
    try:
        found, usual = compare(reference, values, given), answer_counts(reference)
    except ValueError as error:
        raise ModelFileError(f"{command.model} has a damaged reference; export the run again") from error
    unreadable = f"; {counted(unread, 'image')} could not be read" if unread else ""
    print(f"{counted(len(rows), 'answer')}, beside {usual.total():,} to reference images{unreadable}")
    for name in ANSWERS:
        print(f"{name:<12}{given[name] / len(rows):>7.1%}  (reference {usual[name] / usual.total():.1%})")
    alarms = [name for name, one in found.items() if one.drifted]
    for name, one in found.items():
        small = "as on the reference" if one.index <= one.chance else "a small difference"
        verdict = "drifted" if one.drifted else small
        print(f"{name:<12}population stability index {one.index:.3f}, by chance up to {one.chance:.3f}: {verdict}")
    for name in alarms:
        print(f"Alarm: {MEANINGS[name]}. Look at them, and score labelled ones.")
    if command.plot is not None:
        _draw(command.plot, {name: (one.expected, one.seen) for name, one in found.items() if name in values})
    return ALARM if alarms else 0


def _shares(metadata: Metadata) -> list[str]:
    """Return what each line must have, from 0 to 1."""
    return ["probability", "threshold", *(["familiarity"] if metadata.familiarity_threshold is not None else [])]


def _read(command: Drift, metadata: Metadata, identity: str) -> tuple[list[Mapping[str, Any]], int]:
    """Return the answers in the file, and how many of its lines are about images that could not be read.

    Raises:
        InputError: the file cannot be read, has no answer, or one that is not of this model.
    """
    from export.inference.decision import UNSUITABLE, decide

    try:
        lines = command.answers.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{command.answers} cannot be read: {reason_of(error)}") from error
    rows, unread = list[Mapping[str, Any]](), 0
    for number, line in enumerate(lines, start=1):
        where = f"{command.answers}, line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (RecursionError, ValueError) as error:
            raise InputError(f"{where}: not JSON; give a file of export.predict --json") from error
        row = row if isinstance(row, dict) else {}
        if "error" in row:
            unread += 1
            continue
        if row.get("model", identity) != identity:
            raise InputError(
                f"{where}: by the model {row['model']!r:.20}, and {command.model} is {identity}; give that one"
            )
        for name in _shares(metadata):
            value = row.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(f"{where}: no {name}; give a file of export.predict --json, by the same model")
        given = row["probability"], row.get("familiarity")
        answer = decide(metadata.limits, *given)[0]
        other = row.get("decision") not in (answer, UNSUITABLE) and not metadata.limits.near(*given, ROUNDING)
        if other or row.get("decision") not in ANSWERS or row["threshold"] != metadata.threshold:
            why = f"{command.model} answers {answer} at such values, and threshold {metadata.threshold:g}"
            raise InputError(
                f"{where}: {row.get('decision')!r:.20} at threshold {row['threshold']:g}, but {why}; "
                "give answers of this model, without --threshold and --two-way"
            )
        rows.append(row)
    if not rows:
        raise InputError(f"{command.answers} has no answer; give a file of export.predict --json")
    return rows, unread


def _draw(path: Path, counts: Mapping[str, tuple[Any, Any]]) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    from pneumo_tfds.program.files import replacing

    figure = Figure(figsize=(4.5 * len(counts), 3.2), layout="constrained")
    for axes, (name, rows) in zip(np.atleast_1d(figure.subplots(1, len(counts))), counts.items(), strict=True):
        for row, words, shift in zip(rows, ("reference", "these answers"), (-0.2, 0.2), strict=True):
            axes.bar(np.arange(1, len(row) + 1) + shift, np.asarray(row) / np.sum(row), 0.4, label=words)
        axes.set(xlabel=f"{name}, by tenths of the reference", ylabel="share of the images")
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


if __name__ == "__main__":
    run(Drift, drift, prog="python -m export.drift")
