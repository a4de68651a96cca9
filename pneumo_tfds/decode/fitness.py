"""Judge by its DICOM header whether an image is a frontal chest radiograph of a person, and what is unusual."""

from __future__ import annotations

from pneumo_tfds.decode.dicom_header import HeaderFacts
from pneumo_tfds.decode.header_words import (
    RADIOGRAPHY,
    is_chest,
    is_frontal,
    is_known_view,
    is_radiography,
    is_sideways,
    no_plain_radiograph,
    not_human,
    other_part,
    phantom_word,
    tells_no_part,
)

ADULT = 18
"""Years."""

_RADIOGRAPHS = ("Computed Radiography", "Digital X-Ray Image", "Secondary Capture", "Multi-frame")
"""How the names of the SOP classes start that hold radiographs; the last two may hold anything."""


def unfit(facts: HeaderFacts) -> str:
    """Return why an image is not a frontal chest radiograph; empty if its header does not speak against it.

    What names the image itself comes before what describes it in words, and that before what describes its study.
    """
    if not_human(facts.species):
        return f"patient is not human: {facts.species}"
    if facts.control:
        return "a quality control image"
    if word := phantom_word(facts.called, facts.series, *facts.protocol, *facts.procedure):
        return f"named {word}, which is no patient"
    if words := no_plain_radiograph(facts.series, *facts.protocol):
        return f"described as {words}, which is no plain radiograph of the chest"
    if facts.modality and not is_radiography(facts.modality):
        return f"modality {facts.modality} is not radiography"
    if not facts.modality and _is_other_kind(facts):
        return f"{facts.kind} is not radiography"
    told = bool(facts.body_part) and not tells_no_part(facts.body_part)
    if told and not is_chest(facts.body_part):
        return f"body part {facts.body_part} is not the chest"
    if not told and (part := _described_part(facts)):
        return f"described as {part} and not as chest"
    return _not_frontal(facts) or _not_an_original(facts)


def _not_frontal(facts: HeaderFacts) -> str:
    if is_sideways(facts.view):
        return f"view {facts.view} is not frontal"
    if is_frontal(facts.view):
        return ""
    if is_sideways(facts.coded_view):
        return f"view {facts.coded_view} is not frontal"
    if is_frontal(facts.coded_view):
        return ""
    text = _described_view(facts)
    if is_sideways(text) and not is_frontal(text):
        return f"series {text} is not frontal"
    if not facts.view and facts.orientation[:1] and facts.orientation[0][:1] in ("A", "P"):
        return "its rows lead to the patient's front or back, as in a lateral view"
    return ""


def _not_an_original(facts: HeaderFacts) -> str:
    if facts.image_type[:2] == ("DERIVED", "SECONDARY"):
        return "a copy derived from another image (DERIVED, SECONDARY)"
    if facts.frames > 1:
        return f"{facts.frames:,} frames are not one radiograph"
    return ""


def _is_other_kind(facts: HeaderFacts) -> bool:
    return "Image Storage" in facts.kind and not facts.kind.startswith(_RADIOGRAPHS)


def _described_part(facts: HeaderFacts) -> str:
    """Return the word for another body part by which the image, or else its study, is described; empty for a chest."""
    of_image = (facts.series, *facts.protocol)
    return other_part(*of_image) or ("" if any(map(is_chest, of_image)) else other_part(*facts.procedure))


def _described_view(facts: HeaderFacts) -> str:
    """Return the first description of the image that names a view, or an empty text."""
    texts = (facts.series, *facts.protocol)
    return next((text for text in texts if is_sideways(text) or is_frontal(text)), "")


def remarks(facts: HeaderFacts) -> tuple[str, ...]:
    """Return what is unusual about an image but does not speak against it, in neutral words."""
    return tuple(text.format(value) for text, value in kinds_of_remarks(facts))


def kinds_of_remarks(facts: HeaderFacts) -> list[tuple[str, str]]:
    """Return the remarks as a text with `{}` and what stands there, so that alike ones can be counted."""
    found = []
    if facts.image_type[:2] == ("DERIVED", "PRIMARY"):
        found.append(("derived from another image (DERIVED, PRIMARY)", ""))
    if facts.presentation_intent.upper() == "FOR PROCESSING":
        found.append(("raw image, meant for processing and not for presentation (FOR PROCESSING)", ""))
    if is_radiography(facts.modality) and _is_other_kind(facts):
        found.append(("modality and SOP class disagree: {}", f"{facts.modality}, {facts.kind}"))
    if is_radiography(facts.modality) and facts.modality.upper() not in RADIOGRAPHY:
        found.append(("modality {} is taken for radiography, whose codes are CR and DX", facts.modality))
    if facts.called:
        found.append(("patient is called {}, which may be a test and no patient", facts.called))
    if facts.polarity:
        found.append(("photometric interpretation and presentation LUT disagree: {}; inverted", facts.polarity))
    if facts.body_part and tells_no_part(facts.body_part):
        found.append(("body part {} does not say that it is the chest", facts.body_part))
    if is_chest(facts.body_part) and (part := _described_part(facts)):
        found.append(("body part and description disagree: {}", f"{facts.body_part}, {part}"))
    if is_frontal(facts.view) and is_sideways(facts.coded_view):
        found.append(("view and its code disagree: {}", f"{facts.view}, {facts.coded_view}"))
    text = _described_view(facts)
    if is_frontal(facts.view) and is_sideways(text) and not is_frontal(text):
        found.append(("view and description disagree: {}", f"{facts.view}, {text}"))
    if is_frontal(facts.view) and facts.orientation[:1] and facts.orientation[0][:1] in ("A", "P"):
        found.append(("view and orientation disagree: {}", f"{facts.view}, {facts.orientation[0]}"))
    if not is_frontal(facts.view) and is_sideways(text) and is_frontal(text):
        found.append(("series {} names a frontal and another view", text))
    if not is_known_view(facts.view):
        found.append(("view {} is not known", facts.view))
    return found
