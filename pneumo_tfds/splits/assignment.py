"""Assign every image to train, validation or test: by patient, stratified, and stable when files are added.

A hash of the patient's name decides whether the patient is held out; the other patients of the source do not matter.
So a patient never changes sides when images are added, a larger validation fraction contains the smaller one, and two
machines agree. The price is that fractions are met on average and not exactly: with n patients of a class the share of
patients varies by about sqrt(f (1 - f) / n), which is 1.3 % for f = 0.2 and 1,000 patients.

The strata are label and subtype. The hash treats all strata alike, and one rule guards small sources: a stratum of two
or more patients has at least one of them on each side.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.inventory import LABELS, Image, Validation
from pneumo_tfds.sources.patients import merge_overlapping
from pneumo_tfds.splits.options import SplitOptions

SPLITS = ("train", "validation", "test")

_GIVEN = {"train": "train", "val": "validation", "test": "test"}

Groups = Mapping[str, Sequence[Image]]
"""Images of patients that must stay together, by the name of the group's first patient."""


@dataclass(frozen=True)
class Assignment:
    """The split of every image of a source."""

    split: dict[str, str]
    """Image name to one of `SPLITS`."""
    dropped: dict[str, str]
    """Image name to the reason why it is in no split."""
    test_origin: str
    """`official` if test is that of the source; `carved` if test was split off by patient; `none` if there is no test
    split; `whole` if all images of the source are in it, undivided."""


def assign(
    images: Sequence[Image],
    identical: Sequence[Sequence[Image]] = (),
    options: SplitOptions | None = None,
    validation: Validation = "redrawn",
) -> Assignment:
    """Assign every image of a source to a split; patients with `identical` images, in groups, stay on one side.

    With `validation="given"` the `official_split` of the images is final; what it does not say is drawn: validation if
    no image is `val`, and test only if no image has a split.

    Raises:
        InputError: a patient or a file is on two sides of given splits, or a split has no image of one of the classes.
    """
    options = options or SplitOptions()
    if options.whole:
        official = all(image.official_split == "test" for image in images)
        return Assignment({image.name: "test" for image in images}, {}, "official" if official else "whole")
    given = {image.name: _GIVEN[image.official_split] for image in images if image.official_split}
    if validation == "redrawn":
        given = {name: split for name, split in given.items() if split == "test"}
    _check_patients(images, given)
    dropped = _copies_of_test(identical, given) if validation == "redrawn" else {}
    _check_identical(identical, given, dropped)
    held, drawn = set(given.values()), {name for name, split in given.items() if split != "train"}
    groups = group_by_patient([i for i in images if i.name not in drawn and i.name not in dropped], identical)
    testing = set() if held else held_out(groups, "test", options.test_fraction)
    rest = {name: members for name, members in groups.items() if name not in testing}
    validating = set() if "validation" in held else held_out(rest, "validation", options.validation_fraction)
    split = {name: side for name, side in given.items() if name in drawn}
    for name, members in groups.items():
        side = "test" if name in testing else "validation" if name in validating else "train"
        split.update({image.name: side for image in members})
    _check_classes(images, split, given, groups)
    return Assignment(split, dropped, "official" if "test" in held else "none" if held else "carved")


def _copies_of_test(identical: Iterable[Sequence[Image]], given: Mapping[str, str]) -> dict[str, str]:
    """Return the images outside test that are identical to one of test, and which."""
    dropped: dict[str, str] = {}
    for copies in identical:
        inside = [image.name for image in copies if given.get(image.name) == "test"]
        if inside:
            dropped.update({i.name: f"identical to {inside[0]} of test" for i in copies if i.name not in inside})
    return dropped


def group_by_patient(images: Sequence[Image], identical: Iterable[Sequence[Image]]) -> Groups:
    """Group images by patient, in order of names; patients who share a byte-identical image are one group."""
    kept = {image.name for image in images}
    together = [[image.patient for image in copies if image.name in kept] for copies in identical]
    first = {patient: min(group) for group in merge_overlapping(together) for patient in group}
    groups: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        groups[first.get(image.patient, image.patient)].append(image)
    return dict(sorted(groups.items()))


def held_out(groups: Groups, purpose: str, fraction: float, *, dealt: bool = False) -> set[str]:
    """Return the names of the groups that are held out: about `fraction` of them, on both sides of every stratum.

    With `dealt`, the hash does not decide but ranks the groups of each stratum, and the first ones are held out: as
    near to `fraction` of each stratum as can be, but no longer the same groups when others are added.
    """
    place = {name: place_of(purpose, name) for name in groups}
    if dealt:
        *strata, _, _ = strata_of(groups)
        ranked = [sorted(stratum, key=place.__getitem__) for stratum in strata]
        place = {name: (rank + 0.5) / len(stratum) for stratum in ranked for rank, name in enumerate(stratum)}
    held = {name for name in groups if place[name] < fraction}
    for stratum in strata_of(groups):
        in_order = sorted(stratum, key=place.__getitem__)
        if len(in_order) > 1 and held.issuperset(in_order):
            held.remove(in_order[-1])
        elif len(in_order) > 1 and held.isdisjoint(in_order):
            held.add(in_order[0])
    return held


def place_of(purpose: str, name: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the two texts."""
    digest = hashlib.sha256(f"pneumo_tfds/{purpose}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def strata_of(groups: Groups) -> Iterator[list[str]]:
    """Yield sets of groups that need one on each side: the strata, then the labels, which win if both conflict."""
    strata: dict[frozenset[tuple[str, str]], list[str]] = defaultdict(list)
    for name, members in groups.items():
        strata[frozenset((image.label, image.subtype) for image in members)].append(name)
    yield from strata.values()
    for label in LABELS:
        yield [name for name, members in groups.items() if any(image.label == label for image in members)]


def _check_patients(images: Sequence[Image], given: Mapping[str, str]) -> None:
    sides: dict[str, dict[str, str]] = defaultdict(dict)  # patient to split to the name of an image
    for image in images:
        sides[image.patient].setdefault(given.get(image.name, "train"), image.name)
    both = sorted(patient for patient, found in sides.items() if len(found) > 1)
    if both:
        listed = " and ".join(f"{split} ({name})" for split, name in sorted(sides[both[0]].items()))
        raise InputError(
            f"patient {both[0]} has images in {listed}; {counted(len(both), 'patient')} of this kind; move all images "
            "of a patient to one split, or correct the patients"
        )


def _check_identical(
    identical: Iterable[Sequence[Image]], given: Mapping[str, str], dropped: Mapping[str, str]
) -> None:
    found = []
    for copies in identical:
        sides = {given.get(image.name, "train"): image.name for image in copies if image.name not in dropped}
        if len(sides) > 1:
            found.append(" and ".join(f"{name} ({split})" for split, name in sorted(sides.items())))
    if found:
        raise InputError(
            f"{found[0]} are the same file in two splits; {counted(len(found), 'group')} of this kind; keep each file "
            "in one split"
        )


def _check_classes(images: Sequence[Image], split: dict[str, str], given: Mapping[str, str], groups: Groups) -> None:
    present = {(split[image.name], image.label) for image in images if image.name in split}
    for name in sorted({name for name, _ in present} | {"train", "validation"}, key=SPLITS.index):
        for label in LABELS:
            if (name, label) not in present:
                why = _why_missing(name, label, images, given, groups)
                raise InputError(f"the {name} split would have no {label} image; {why}")


def _why_missing(name: str, label: str, images: Sequence[Image], given: Mapping[str, str], groups: Groups) -> str:
    """Return why a split has no image of a class, and what to do about that cause."""
    divided = [image for image in images if given.get(image.name, "train") == "train"]
    of_class = [image for image in divided if image.label == label]
    patients, of_label = {image.patient for image in divided}, {image.patient for image in of_class}
    correct = "correct the column, folder or header that tells the patient"
    if not divided:
        return (
            f"all {counted(len(images), 'image')} are in {' and '.join(sorted(set(given.values())))}, so none is left "
            "to train on; to score a model on them use python -m pipeline.evaluate RUN --source PATH"
        )
    if name != "train" and name in given.values():
        drawn = ", or leave validation out, which is then drawn from train" if name == "validation" else ""
        return f"the source gives it none; move {label} patients there{drawn}"
    if not of_class:
        return f"all of them are in {' and '.join(sorted(set(given.values()) - {'train'}))}; move patients to train"
    if len(patients) == 1 and len(divided) > 1:
        return f"all {len(divided):,} images have the patient {min(patients)}, so nothing can be divided; {correct}"
    if len(of_label) == 1 and len(of_class) > 1:
        said = f"all {len(of_class):,} {label} images have the patient {min(of_label)}"
        return f"{said}; {correct} if they are of several people, else add images of more {label} patients"
    tied = sum(any(image.label == label for image in members) for members in groups.values()) < len(of_label)
    return (
        f"the source has {counted(len(of_label), f'{label} patient')} to divide"
        f"{', and those who share an identical file count as one' if tied else ''}; add images of more {label} "
        "patients (three of each class are the least, two where there is a test split)"
    )
