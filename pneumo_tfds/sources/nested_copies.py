"""Leave out the second copy of images that a download holds deeper in its folders, where a table names images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from pneumo_tfds.sources.listing import File
from pneumo_tfds.sources.survey import SurveyNotes

REASON = "second nested copy"


def without_nested_copies(images: Sequence[File], same: Callable[[File, File], bool], notes: SurveyNotes) -> list[File]:
    """Return the images without those that lie a second time in further folders: `a/1.png` in `a/a/1.png`.

    `same` returns whether two files of one name and size are equal.
    """
    alike: dict[tuple[str, int, int], list[File]] = defaultdict(list)
    for file in images:
        alike[file.name.rpartition("/")[2], file.size, file.checksum].append(file)
    copies: set[File] = set()
    for files in alike.values():
        first, *others = sorted(files, key=lambda file: (len(file.folders), file.name))
        copies.update(other for other in others if _is_inside(other.folders, first.folders) and same(first, other))
    if copies:
        notes.leave_out(REASON, sorted(file.name for file in copies))
    return [file for file in images if file not in copies]


def _is_inside(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Return whether the folders `inner` are `outer` with others inserted at one place."""
    more = len(inner) - len(outer)
    return more > 0 and any(
        inner[:at] == outer[:at] and inner[at + more :] == outer[at:] for at in range(len(outer) + 1)
    )
