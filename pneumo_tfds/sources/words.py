"""Words that people use for splits, masks and the like in the names of folders, columns and cells."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection


def set_of(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


SPLIT_WORDS = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
"""Words for a split, in names of folders and in tables, and the split that they mean."""

FILLERS = set_of(
    "chest cxr cxrs data dataset dicom dicoms dcm file files folder image images img imgs jpeg jpegs jpg org "
    "original part photo photos picture pictures png pngs radiograph radiographs raw ray rays scan scans set sets "
    "split splits subset x xray xrays"
)
"""Words that say nothing about an image. A folder named with nothing else holds images and means no more."""

_MASKS = set_of(
    "annotation annotations bbox bboxes contour contours gradcam heatmap heatmaps mask masks masked overlay "
    "overlays saliency seg segmentation segmentations segmented segs"
)

_LATERAL = set_of("lateral lat ll rl decubitus oblique")

_GROUPS = set_of(
    "batch center centre class clinic cohort cv fold folds group hospital institution level part partition set "
    "site source subset split train training test testing val valid validation year"
)
"""Words whose numbers count something other than patients."""

_VISITS = set_of("exam examination series session studies study view visit")

_SUBTYPES = {
    "bacteria": "bacteria", "bacterial": "bacteria", "bacterium": "bacteria",
    "virus": "virus", "viral": "virus",
}  # fmt: skip

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")


@functools.lru_cache(maxsize=1 << 16)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words and numbers of a name in lower case: `ChestXRay_Test-2` gives chest, x, ray, test and 2."""
    return tuple(word.lower() for word in _WORD.findall(name))


@functools.lru_cache(maxsize=1 << 16)
def plain_name(name: str) -> str:
    """Return a name for comparison: `Viral_Pneumonia`, `viral-pneumonia` and `VIRAL PNEUMONIA` are alike."""
    return " ".join(re.split(r"[\s_.\-]+", name.strip().casefold())).strip()


@functools.lru_cache(maxsize=1 << 16)
def split_of(name: str) -> str:
    """Return `train`, `val` or `test` if a name means that split and nothing else, such as `Test Set`; else empty."""
    words = [word for word in words_of(name) if word not in FILLERS and not word.isdecimal()]
    splits = {SPLIT_WORDS.get(word, "") for word in words}
    return splits.pop() if len(splits) == 1 else ""


def has_split_word(name: str) -> bool:
    """Return whether a name holds a word for a split among others."""
    return not SPLIT_WORDS.keys().isdisjoint(words_of(name))


@functools.lru_cache(maxsize=1 << 16)
def is_mask(name: str) -> bool:
    """Return whether a folder is named like one of masks, boxes or heat maps, which are no X-rays."""
    return not _MASKS.isdisjoint(words_of(name))


@functools.lru_cache(maxsize=1 << 16)
def is_lateral(name: str) -> bool:
    """Return whether a name says that the view is not frontal."""
    return not _LATERAL.isdisjoint(words_of(name))


@functools.lru_cache(maxsize=1 << 16)
def is_filler(name: str) -> bool:
    """Return whether a folder's name says nothing about its images, such as `images` or `X-rays`."""
    return all(word in FILLERS for word in words_of(name))


@functools.lru_cache(maxsize=1 << 16)
def is_visit(name: str) -> bool:
    """Return whether a folder is one examination of a patient, such as `study2`."""
    words = words_of(name)
    return not _VISITS.isdisjoint(words) and all(word in _VISITS or word.isdecimal() for word in words)


@functools.lru_cache(maxsize=1 << 16)
def subtype_of(name: str) -> str:
    """Return `bacteria` or `virus` if a folder's name says so; else empty."""
    found = {_SUBTYPES[word] for word in words_of(name) if word in _SUBTYPES}
    return found.pop() if len(found) == 1 else ""


def are_identifiers(names: Collection[str]) -> bool:
    """Return whether the folders of one level are named like patients: by numbers of their own, or by many names.

    Years, and numbers behind words such as `fold` or `hospital`, count something else.
    """
    if all(re.fullmatch(r"(19|20)[0-9]{2}", name) for name in names):
        return False
    if any(not _GROUPS.isdisjoint(words_of(name)) for name in names):
        return False
    return len(names) >= MANY_NAMES or all(any(c.isdecimal() for c in name) for name in names)


MANY_NAMES = 12
"""So many different folders on one level are patients even where their names have no digits."""
