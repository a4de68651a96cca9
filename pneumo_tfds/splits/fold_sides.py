"""Folds for cross-validation: by patient, stratified by label and subtype, drawn by the hash that draws the splits."""

from __future__ import annotations

from collections.abc import Sequence

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.inventory import LABELS, Image
from pneumo_tfds.splits.assignment import group_by_patient, held_out, place_of, strata_of

HELD_OUT = "held_out"


def sides_of_fold(
    images: Sequence[Image], identical: Sequence[Sequence[Image]], folds: int, number: int, validation_fraction: float
) -> dict[str, str]:
    """Return the side of each image in one fold: `held_out`, or of the rest `validation` or `train`.

    The patients of each stratum are dealt in turn to the folds, in the order of a hash of their names, so that folds
    are alike in size and classes. Each image is held out in one fold. Validation is dealt anew for each fold, in each
    stratum, because a coin for each patient would leave a fold of few patients with hardly any.

    Args:
        images: of train and validation together.
        identical: groups of images that are the same file; their patients stay together.
        folds: number of folds, 2 or more.
        number: of this fold, from 1 to `folds`.
        validation_fraction: fraction of the remaining patients.

    Returns:
        Image name to its side.

    Raises:
        InputError: a class has too few patients for each fold to hold out, validate and train on one.
    """
    groups = group_by_patient(images, identical)
    *strata, normal, pneumonia = strata_of(groups)
    for label, of_label in zip(LABELS, (normal, pneumonia), strict=True):
        if len(of_label) < (least := max(folds, 4 if folds == 2 else 3)):
            raise InputError(
                f"{folds} folds need {least} {label} patients in train and validation together, who share no file, but "
                f"there are {len(of_label)}; lower --folds or --trial-folds, or add "
                f"{counted(least - len(of_label), 'patient')}"
            )
    kinds = {name: sorted({(image.label, image.subtype) for image in groups[name]}) for name, *_ in strata}
    dealt = [
        name
        for stratum in sorted(strata, key=lambda stratum: kinds[stratum[0]])  # those of a label beside each other
        for name in sorted(stratum, key=lambda name: place_of("fold", name))
    ]
    held = set(dealt[number - 1 :: folds])
    rest = {name: members for name, members in groups.items() if name not in held}
    validating = held_out(rest, f"validation of fold {number}", validation_fraction, dealt=True)
    return {
        image.name: HELD_OUT if name in held else "validation" if name in validating else "train"
        for name, members in groups.items()
        for image in members
    }
