"""Find the second copy of images that a download holds deeper in its folders: Kaggle's zip has everything twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from pneumo_tfds.sources.listing import File
from pneumo_tfds.sources.survey import SurveyNotes

Same = Callable[[File, File], bool]
"""Returns whether two files of one name and size are equal."""


def nested_copies(files: Iterable[tuple[File, Hashable]], same: Same, notes: SurveyNotes) -> set[File]:
    """Return the files that lie a second time in further folders, `a/1.png` in `a/a/1.png`, and note them as left out.

    Each file comes with what else must be equal in its copies.
    """
    alike: dict[Hashable, list[File]] = defaultdict(list)
    for file, kind in files:
        alike[kind, file.name.rpartition("/")[2], file.size, file.checksum].append(file)
    copies: set[File] = set()
    for group in alike.values():
        first, *others = sorted(group, key=lambda file: (len(file.folders), file.name))
        copies.update(other for other in others if _is_inside(other.folders, first.folders) and same(first, other))
    if copies:
        notes.leave_out("second nested copy", sorted(file.name for file in copies))
    return copies


def _is_inside(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Return whether the folders `inner` are `outer` with others inserted at one place."""
    more = len(inner) - len(outer)
    return more > 0 and any(
        inner[:at] == outer[:at] and inner[at + more :] == outer[at:] for at in range(len(outer) + 1)
    )
