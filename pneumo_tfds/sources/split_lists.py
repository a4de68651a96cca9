"""Take the splits of images from text files that list the images of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.file_index import FileIndex
from pneumo_tfds.sources.listing import Labelled
from pneumo_tfds.sources.survey import SurveyNotes


def take_listed_splits(
    rows: Sequence[Labelled], lists: Mapping[str, tuple[str, str]], images: FileIndex, notes: SurveyNotes
) -> list[Labelled]:
    """Return the images with the splits of the lists that name them; images in no list stay as they are.

    Where no list is of training images and every name in the lists leads to an image, the others are for training.

    Args:
        rows: the labelled images.
        lists: name of each list, with its split and text: one file name or path a line, with or without suffix.
        images: all images of the source, also those without a label.
        notes: what is doubtful is added here.

    Raises:
        InputError: an image is in the lists of two splits, or a name could mean two images.
    """
    labelled = {one.file.name for one in rows}
    found: dict[str, tuple[str, str]] = {}
    all_known = True
    for file, (split, text) in lists.items():
        names = list(_names(text))
        known = 0
        for name in names:
            alike = _files(name, images)
            known += bool(alike)
            meant = [one for one in alike if one in labelled]
            if len(meant) > 1:
                raise InputError(
                    f"{file}: {name} could mean {meant[0]} or {meant[1]}; write the folder and suffix into the list"
                )
            for one in meant:
                other, other_file = found.setdefault(one, (split, file))
                if other != split:
                    raise InputError(f"{one} is listed for {other} in {other_file} and for {split} in {file}; keep one")
        all_known = all_known and known == len(names)
        if known:
            notes.tell(f"{file}: {known:,} of {counted(len(names), 'name')} lead to images, which are of {split}")
        else:
            first = f"the first name in it is {names[0]!r:.60}" if names else "it is empty"
            notes.ask(
                f"{file} names no image that is here ({first}); --yes goes on without it; write one file name a line, "
                "or add its images"
            )
    rest = "" if "train" in {split for split, _ in lists.values()} or not all_known else "train"
    if rest and len(found) < len(rows):
        notes.tell(f"{counted(len(rows) - len(found), 'image')} in no list are for training")
    return [replace(one, split=found.get(one.file.name, (one.split or rest, ""))[0]) for one in rows]


def _names(text: str) -> Iterator[str]:
    """Yield the paths that a text lists, one a line."""
    for line in text.splitlines():
        if name := line.strip().replace("\\", "/").strip("/"):
            yield name


def _files(name: str, images: FileIndex) -> list[str]:
    """Return the images whose path ends like `name`, or like a part of it; else those of that name but for suffix."""
    parts = name.split("/")
    for first in range(len(parts)):
        if files := images.ending("/".join(parts[first:])):
            return [file.name for file in files]
    return [file.name for file in images.of_stem(name)]
