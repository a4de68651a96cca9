"""The files that images of a dataset were made from: their sizes, and what another decoder makes of them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from pipeline.config import DataConfig
from pipeline.evaluation.predictions import Floats, Images, Labels
from pneumo_tfds.decode import resize
from pneumo_tfds.decode.framing import source_box, target_box
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.prepared import read_manifest, read_metadata
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.framing_names import Framing
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.sources.opening import reader_of

DECODER = "decoded whole by Pillow"
RESIZE = "decoded and made smaller by Pillow (bilinear)"


@dataclass(frozen=True)
class OriginalFiles:
    """What is known of the files of n images."""

    sizes: Floats
    """Width and height in pixels [n, 2]; NaN where they are not known."""
    rows: Labels
    """[m], the images that Pillow decoded: those whose files are grey or colour JPEGs."""
    views: dict[str, Images]
    """What they are then, uint8 [m, S, S, 1], by the name of the way."""
    note: str = ""
    """Why no sizes are known; empty if some are."""


def original_files(data: DataConfig, names: Sequence[str], size: int) -> OriginalFiles:
    """Read the files of images by their names in the dataset, if its source is where it was.

    A file counts only if its SHA-256 is that in the manifest of the dataset. `size` is the side of the images.
    """
    unknown = OriginalFiles(np.full((len(names), 2), np.nan), np.empty(0, np.int64), {})
    folder = data.built.folder
    try:
        digests = read_manifest(folder)
        reader = reader_of(str(read_metadata(folder).get("source")))
    except InputError:
        note = "not known, because the files that the dataset was built from are not where they were"
        return replace(unknown, note="phantoms have none" if data.built.phantom else note)

    def look_at(name: str) -> tuple[tuple[float, float], list[Images]]:
        try:
            content = reader.read_name(name)
        except InputError:
            content = b""
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            return (np.nan, np.nan), []
        header = read_header(content, name)
        decoded = _by_pillow(content, size, data.framing) if header.format == "JPEG" else []
        return (header.width or np.nan, header.height or np.nan), decoded

    found = list(ordered_map(look_at, names))
    sizes = np.array([pair for pair, _ in found], np.float64)
    rows = np.array([row for row, (_, squares) in enumerate(found) if squares], np.int64)
    views = {
        name: np.array([found[row][1][place] for row in rows])
        for place, name in enumerate((DECODER, RESIZE))
        if len(rows)
    }
    known = np.unique(sizes[np.isfinite(sizes).all(axis=1)], axis=0)
    if len(known) == 1:  # as in archives whose pictures were made square by somebody else
        width, height = known[0].astype(int)
        note = f"all files are {width} x {height} pixels, so those of the pictures as they were taken are not known"
        return OriginalFiles(unknown.sizes, rows, views, note)
    return OriginalFiles(sizes, rows, views, "" if len(known) else "not known, as the files were changed or are gone")


def _by_pillow(content: bytes, size: int, framing: Framing) -> list[Images]:
    """Return uint8 [size, size, 1] of a JPEG decoded whole, resized by us, and by Pillow.

    An empty list if Pillow does not read it as grey or RGB.
    """
    try:
        with Pillow.open(io.BytesIO(content)) as picture:
            if picture.mode not in ("L", "RGB"):
                return []
            grey = ImageOps.exif_transpose(picture).convert("L")
    except OSError:  # what is no reason for us may be one for Pillow
        return []
    width, height = grey.size
    source, target = source_box(width, height, framing), target_box(width, height, size, framing)
    shown = (source.left, source.top, source.left + source.width, source.top + source.height)
    square = np.zeros((size, size, 1), np.uint8)
    square[(*target.area, 0)] = np.asarray(
        grey.resize((target.width, target.height), Pillow.Resampling.BILINEAR, shown)
    )
    return [resize(np.asarray(grey), size, framing), square]
