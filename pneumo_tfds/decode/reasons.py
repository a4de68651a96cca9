"""What a reader of an answer should know about the picture, apart from the answer."""

from __future__ import annotations

from collections.abc import Sequence

from pneumo_tfds.decode.colour import colour_of_file
from pneumo_tfds.decode.dicom_header import read_facts
from pneumo_tfds.decode.exposure import exposure_remark
from pneumo_tfds.decode.fitness import ADULT, remarks, unfit
from pneumo_tfds.decode.headers import format_of
from pneumo_tfds.decode.pixels import Grey


def reasons_to_doubt(
    data: bytes, grey: Grey, name: str = "image", doubts: Sequence[str] = (), *, paediatric: bool = False
) -> tuple[str, ...]:
    """Return short texts about what is unusual for a frontal chest X-ray; empty if nothing is.

    Args:
        data: the file, which was decoded without an error.
        grey: its picture, uint8 of any shape.
        name: the image's name in error messages.
        doubts: what `decode` added to its argument of this name.
        paediatric: the image is for a model of children, so the age of an adult is unusual.
    """
    found: list[str] = []
    if format_of(data) == "DICOM":
        facts = read_facts(data, name)
        found += [unfit(facts), *remarks(facts)]
        if paediatric and facts.age is not None and facts.age >= ADULT:
            found.append(f"patient is {facts.age:.0f} years old")
    else:
        found.append(colour_of_file(data, name))
    return tuple(text for text in (*found, exposure_remark(grey), *doubts) if text)
