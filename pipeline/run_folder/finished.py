"""`finished.json`: the record that a run is finished, by which `--resume` knows that nothing is left to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, sha256_of, write_json

NO_RESULTS = {"checkpoint", "tuner", "tracking", "finished.json"}
"""Entries of a run folder, and of its folds, that hold no results of the run."""


def record_end(folder: RunFolder, asked: Mapping[str, Any]) -> None:
    """Write the digests of all results, and which flags beside the settings of the run were given."""
    places = (path.relative_to(folder.path) for path in sorted(folder.path.rglob("*")) if path.is_file())
    results = [place for place in places if not (NO_RESULTS & {*place.parts} or _is_hidden(place))]
    digests = {place.as_posix(): sha256_of(folder.path / place) for place in results}
    write_json(folder.finished, {"asked": asked, "files": digests})


def is_finished(folder: RunFolder, asked: Mapping[str, Any]) -> bool:
    """Return whether the run ended, with at least the flags in `asked`, and no result is missing or changed since."""
    try:
        record = folder.read_json(folder.finished)
        return all(record["asked"].get(name) == value for name, value in asked.items()) and all(
            sha256_of(folder.path / name) == digest for name, digest in record["files"].items()
        )
    except (InputError, OSError, *JSON_SHAPE_ERRORS):
        return False


def _is_hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)
