"""Which images train, validate and test: by patient, stratified, and stable when files are added.

Whether a patient is held out is decided by a hash of the patient's name alone, not by who else is in the source. So a
patient never changes sides when images are added, a larger validation fraction contains the smaller one, and two
machines agree. The price is that fractions are met on average and not exactly: with n patients of a class the share of
patients wanders by about sqrt(f (1 - f) / n), 1.3 % for f = 0.2 and 1,000 patients.

Stratification is by label and subtype. The hash treats every stratum alike, and one rule guards small sources: a
stratum of two or more patients gives at least one of them to each side.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import LABELS, Image

SPLITS = ("train", "validation", "test")

TEST_FRACTION = 0.15
"""Share of patients that a source without a test folder gives to one."""


@dataclass(frozen=True)
class Assignment:
    """The answer for every image of a source."""

    split: dict[str, str]
    """Image name to one of `SPLITS`."""
    dropped: dict[str, str]
    """Image name to the reason why it is in no split."""
    test_origin: str
    """`official` if the source has a test folder, else `carved`."""


@dataclass
class _Group:
    """Patients that must stay together, and their images."""

    patients: set[str] = field(default_factory=set)
    images: list[Image] = field(default_factory=list)

    def draw(self, purpose: str) -> float:
        """A number in [0, 1) that depends on nothing but the name of the group's first patient."""
        digest = hashlib.sha256(f"pneumo_tfds/{purpose}/{min(self.patients)}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    @property
    def stratum(self) -> str:
        """Label and subtypes of its images."""
        return " ".join(sorted({f"{image.label}/{image.subtype}" for image in self.images}))


def assign(
    images: Sequence[Image],
    identical: Iterable[tuple[Image, ...]] = (),
    validation_fraction: float = 0.2,
    test_fraction: float = TEST_FRACTION,
) -> Assignment:
    """Assign every image to a split.

    Args:
        images: of one source.
        identical: groups of byte-identical images; their patients stay on one side.
        validation_fraction: share of the training patients that validate, in (0, 1).
        test_fraction: share of all patients that test, in (0, 1); used only if no image has the official split `test`.

    Raises:
        InputError: a fraction outside (0, 1), a patient in the official test and outside it, or a split in which a
            class would be missing.
    """
    for name, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0.0 < fraction < 1.0:
            raise InputError(f"{name} is {fraction}; give a number between 0 and 1, such as 0.2")
    official = {image.name for image in images if image.official_split == "test"}
    _check_patients(images)
    split = dict.fromkeys(official, "test")
    dropped: dict[str, str] = {}
    for group in identical:
        inside = [image.name for image in group if image.name in official]
        if inside:
            dropped.update({i.name: f"identical to {inside[0]} of test" for i in group if i.name not in official})
    rest = [image for image in images if image.name not in official and image.name not in dropped]
    groups = _group_by_patient(rest, identical)
    if not official:
        testing = _held_out(groups, "test", test_fraction)
        split.update({image.name: "test" for group in testing for image in group.images})
        chosen = {id(group) for group in testing}
        groups = [group for group in groups if id(group) not in chosen]
    validating = {id(group) for group in _held_out(groups, "validation", validation_fraction)}
    for group_ in groups:
        side = "validation" if id(group_) in validating else "train"
        split.update({image.name: side for image in group_.images})
    _check_classes(images, split)
    return Assignment(split, dropped, "official" if official else "carved")


def _held_out(groups: Sequence[_Group], purpose: str, fraction: float) -> list[_Group]:
    held_out = {id(group) for group in groups if group.draw(purpose) < fraction}
    for family in _families(groups):
        ranked = sorted(family, key=lambda group: group.draw(purpose))
        sides = {id(group) in held_out for group in ranked}
        if len(ranked) > 1 and len(sides) == 1:  # all on one side: move the patient nearest to the other
            if True in sides:
                held_out.discard(id(ranked[-1]))
            else:
                held_out.add(id(ranked[0]))
    return [group for group in groups if id(group) in held_out]


def _families(groups: Sequence[_Group]) -> Iterable[list[_Group]]:
    """Sets of groups that must be on both sides: every stratum first, then every label, which has the last word."""
    strata: dict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        strata[group.stratum].append(group)
    yield from strata.values()
    for label in LABELS:
        yield [group for group in groups if any(image.label == label for image in group.images)]


def _group_by_patient(images: Iterable[Image], identical: Iterable[tuple[Image, ...]]) -> list[_Group]:
    """One group per patient; patients who share a byte-identical image become one."""
    parent: dict[str, str] = {}

    def root(patient: str) -> str:
        while parent.setdefault(patient, patient) != patient:
            parent[patient] = parent[parent[patient]]
            patient = parent[patient]
        return patient

    kept = list(images)
    names = {image.name for image in kept}
    for group in identical:
        together = [image.patient for image in group if image.name in names]
        for patient in together[1:]:
            first, second = sorted((root(together[0]), root(patient)))
            parent[second] = first
    groups: dict[str, _Group] = defaultdict(_Group)
    for image in kept:
        group_ = groups[root(image.patient)]
        group_.patients.add(image.patient)
        group_.images.append(image)
    return [groups[name] for name in sorted(groups)]


def _check_patients(images: Sequence[Image]) -> None:
    testing = {image.patient for image in images if image.official_split == "test"}
    both = sorted(testing & {image.patient for image in images if image.official_split != "test"})
    if both:
        raise InputError(
            f"patient {both[0]} has images in test and outside it ({len(both)} such); move them to one side"
        )


def _check_classes(images: Sequence[Image], split: dict[str, str]) -> None:
    present = {(split[image.name], image.label) for image in images if image.name in split}
    for name in SPLITS:
        for label in LABELS:
            if (name, label) not in present:
                raise InputError(
                    f"the {name} split would have no {label} image; add images of more {label} patients "
                    "(three patients of each class are the least, two where there is a test folder)"
                )
