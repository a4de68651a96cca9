"""Refuse outputs that would replace files of a source, or become images of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.overwriting import refuse_overwriting
from pneumo_tfds.sources.inventory import Source
from pneumo_tfds.sources.listing import IMAGE_SUFFIXES, WORKBOOK_SUFFIXES
from pneumo_tfds.sources.reading import image_files
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.tables_beside import TABLE_SUFFIXES

_DATA = {*IMAGE_SUFFIXES, *TABLE_SUFFIXES, *WORKBOOK_SUFFIXES, ".gz", ".toml", ".txt", ".xml", ".zip"}
"""Suffixes of files that somebody put into a source, whether they are read or not; a report has none of them."""


def keep_source(outputs: Mapping[str, Path | None], source: Source, options: SourceOptions) -> None:
    """Check the files that a command writes before it writes any.

    Args:
        outputs: flag to its file.
        source: what was read.
        options: how it was read; they name files too.

    Raises:
        InputError: an output is a file that the source was read from, or one with images, labels or the like that lies
            in its folder; or two outputs are one file.
    """
    where = Path(source.where)
    layout = None if options.layout is None else Path(options.layout)
    refuse_overwriting(outputs, (where, layout, *options.corrections, *image_files(source)))
    folder = {"folder": where, "csv": where.parent}.get(source.kind)
    for flag, path in outputs.items():
        if folder and path and path.suffix.lower() in _DATA and path.is_file() and _is_inside(path, folder):
            raise InputError(f"{flag} {path} lies in {folder} and stays as it is; name another file")


def refuse_inside(flag: str, folder: Path, source: Path | None) -> None:
    """Raise InputError if a folder for pictures lies in the folder of a source, whose images they would become."""
    if source is not None and source.is_dir() and _is_inside(folder, source):
        raise InputError(
            f"{flag} {folder} lies in {source}, of which its pictures would become images; name a folder elsewhere"
        )


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
