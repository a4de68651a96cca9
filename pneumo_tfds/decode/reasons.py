"""What a reader of an answer should know about the picture, apart from the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pneumo_tfds.decode.colour import IN_COLOUR, colour_of_file
from pneumo_tfds.decode.dicom_header import read_facts
from pneumo_tfds.decode.exposure import exposure_remark
from pneumo_tfds.decode.fitness import ADULT, remarks, unfit
from pneumo_tfds.decode.headers import format_of, read_header
from pneumo_tfds.decode.pixels import Grey

NARROWEST, WIDEST = 0.5, 4.0
"""Width by height of a picture that may be an X-ray of a chest. 1,572 originals of Kermany et al. have 0.84 to 3.18."""


class Reasons(NamedTuple):
    """Short texts about what is unusual for a frontal chest X-ray; none for most images."""

    unfit: tuple[str, ...] = ()
    """Why the file is not what is asked for, so that no answer about it would mean anything."""
    remarks: tuple[str, ...] = ()
    """What to keep in mind with an answer."""


def reasons_to_doubt(
    data: bytes,
    grey: Grey,
    name: str = "image",
    doubts: Sequence[str] = (),
    *,
    model_side: int | None = None,
    paediatric: bool = False,
) -> Reasons:
    """Return what is unusual for a frontal chest X-ray.

    Args:
        data: the file, which was decoded without an error.
        grey: its picture, uint8 of any shape.
        name: the image's name in error messages.
        doubts: what `decode` added to its argument of this name.
        model_side: side in pixels of the input of the model that the image is for. Then a picture in colour, with a
            side below half of that, or of no X-ray's shape is unfit; None for images that are for no model yet. Of a
            DICOM file `doubts` tell the colour, and its header the sides.
        paediatric: the image is for a model of children, so that an adult is unfit.
    """
    against: list[str] = []
    found: list[str] = []
    if format_of(data) == "DICOM":
        facts = read_facts(data, name)
        against.append(unfit(facts))
        found += remarks(facts)
        if paediatric and facts.age is not None and facts.age >= ADULT:
            against.append(f"patient is {facts.age:.0f} years old")
        width, height = facts.columns, facts.rows
        if model_side is not None:
            against += [doubt for doubt in doubts if doubt.startswith(IN_COLOUR)]
            doubts = [doubt for doubt in doubts if not doubt.startswith(IN_COLOUR)]
    else:
        header = read_header(data, name)
        (found if model_side is None else against).append(colour_of_file(data, header, name))
        width, height = header.width, header.height
        if header.turned:  # perhaps on its side
            width, height = max(width, height), min(width, height)
    if model_side is not None and 0 < 2 * min(width, height) < model_side:
        against.append(f"only {width} x {height} pixels, fewer than X-ray detectors have")
    if model_side is not None and height and not NARROWEST <= width / height <= WIDEST:
        against.append(f"{width} x {height} pixels are not the shape of a chest X-ray")
    found += [exposure_remark(grey), *doubts]
    return Reasons(tuple(filter(None, against)), tuple(filter(None, found)))
