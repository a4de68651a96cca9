"""Find the files of the paths in a table: beside it, or each once in the folders below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.listing import File, FileIndex, Find, differs_in_case
from pneumo_tfds.sources.survey import SurveyNotes


def find_all(paths: Iterable[str], find: Find, everywhere: Callable[[], FileIndex], notes: SurveyNotes) -> Find:
    """Return a function that finds the file of each path.

    A path that `find` does not know is looked for at the end of the paths of all files below the table. That function
    raises InputError if several end so, or none; it names one that is alike.
    """
    found = {path: find(path) if path else None for path in paths}
    missing = [path for path, file in found.items() if file is None]
    if not missing:
        return found.get
    index = everywhere()
    endings = {path: index.ending(path) if path else [] for path in missing}
    if all(len(files) == 1 for files in endings.values()):
        notes.tell(
            f"{counted(len(missing), 'path')} of the table lead to no file, but each is there once below its folder, "
            f"the first as {endings[missing[0]][0].name}; these are used"
        )

    def look(path: str) -> File | None:
        files = endings.get(path, [])
        if len(files) > 1:
            raise InputError(
                f"there is no file {path!r} beside the table, but {files[0].name} and {files[1].name}; write the "
                "folder into the path"
            )
        if path in endings and not files and (like := index.alike(path)):
            what = "letter case" if differs_in_case(path, like) else "folder, suffix or letter case"
            raise InputError(f"there is no file {path!r}, but {like.name}; correct the {what} in the table")
        if not files and not found.get(path):
            raise InputError(f"there is no file {path!r}; correct the path, which is relative to the table")
        return files[0] if files else found[path]

    return look
