"""Outputs of prediction: lines on the terminal, JSON Lines, CSV, and heat maps drawn over the images."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

import cv2
import numpy as np
import numpy.typing as npt

from export.inference.decision import UNSUITABLE
from pneumo_tfds.decode.framing import source_box, target_box, within
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing, write_bytes
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING, Framing
from pneumo_tfds.program.standard_output import StandardOutput

COLUMNS = ("file", "probability", "decision", "threshold", "familiarity", "reasons", "error")
SUBTYPE_COLUMNS = ("subtype", "subtype_probability")
OVERLAY_SIDE = 512  # pixels, of the longer side
OVERLAY_ENDING = ".heatmap.png"
UNSEEN = 0.5  # brightness of what `crop` cut off
OVERLAY_STRENGTH = 0.45  # opacity of the colour where the evidence is strongest


class _KeptError(Exception):
    """What was to replace a file is not wanted."""


class Writers(ExitStack):
    """Writers of all outputs that were asked for; a table on standard output if neither JSON nor CSV was.

    Use as a context manager: files get their names when the block ends without an error, so that an interrupted
    command leaves no incomplete file. Those in `kept` by then stay as they were. A path of `-` is standard output;
    `heatmap` is the folder of overlays. With `subtype` the table has the columns for that; `others` says that the
    caller writes something else besides.
    """

    def __init__(
        self,
        *,
        json_path: Path | None = None,
        csv_path: Path | None = None,
        heatmap: Path | None = None,
        subtype: bool = False,
        others: bool = False,
    ) -> None:
        if json_path == csv_path == Path("-"):
            raise InputError("--json - and --csv - both ask for standard output; give one of them a file")
        files = {path for path in (json_path, csv_path, heatmap) if path is not None} - {Path("-")}
        self.standard_output = StandardOutput(is_all=not files and not others)
        self._json_path, self._csv_path, self._heatmap = json_path, csv_path, heatmap
        self._columns = COLUMNS + SUBTYPE_COLUMNS if subtype else COLUMNS
        super().__init__()
        self.kept: set[Path] = set()
        self._overlays: set[str] = set()

    def __enter__(self) -> Writers:
        self._json = self._open(self._json_path)
        table = self._open(self._csv_path)
        self._csv = None
        if table is not None:
            self._csv = csv.DictWriter(table, self._columns, lineterminator="\n", restval="", extrasaction="ignore")
            self._csv.writeheader()
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one prediction, or one error, to every output."""
        if self._json is not None:
            self._json.write(json.dumps(row, ensure_ascii=False) + "\n")
        if self._csv is not None:
            self._csv.writerow({**row, "reasons": "; ".join(row.get("reasons", ()))})
        if self._json is None and self._csv is None:
            answer = "-" if row.get("decision", UNSUITABLE) == UNSUITABLE else f"{row['probability']:.4f}"
            doubts = f"  ({'; '.join(row['reasons'])})" if row.get("reasons") else ""
            kind = f"  {row['subtype']} {row['subtype_probability']:.2f}" if row.get("subtype") else ""
            line = f"{answer:>6}  {row.get('decision', 'unreadable'):<10}  {row['file']}{kind}{doubts}"
            self.standard_output.write(f"{line}\n")

    def overlay(
        self,
        name: str,
        picture: npt.NDArray[np.uint8],
        heat: npt.NDArray[np.float32],
        framing: Framing = DEFAULT_FRAMING,
    ) -> None:
        """Write a picture with its heat map as a PNG named after the image, numbered if names repeat, if asked for."""
        if self._heatmap is None:
            return
        stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(name).name).strip("_.") or "image"
        number, unique = 1, stem
        while unique in self._overlays:
            number, unique = number + 1, f"{stem}-{number + 1}"
        self._overlays.add(unique)
        encoded = cv2.imencode(".png", overlay(picture, heat, framing=framing))[1]
        write_bytes(self._heatmap / f"{unique}{OVERLAY_ENDING}", encoded.tobytes())

    def _open(self, path: Path | None) -> IO[str] | StandardOutput | None:
        if path is None:
            return None
        if str(path) == "-":
            return self.standard_output
        temporary = self.enter_context(self._replacing_unless_kept(path))
        return self.enter_context(temporary.open("w", encoding="utf-8", newline=""))

    @contextmanager
    def _replacing_unless_kept(self, path: Path) -> Iterator[Path]:
        with suppress(_KeptError), replacing(path) as temporary:
            yield temporary
            if path in self.kept:
                raise _KeptError


def overlay(
    picture: npt.NDArray[np.uint8],
    heat: npt.NDArray[np.float32],
    side: int = OVERLAY_SIDE,
    framing: Framing = DEFAULT_FRAMING,
) -> npt.NDArray[np.uint8]:
    """Colour a picture by the evidence for pneumonia: grey where there is none, up to red where it is strongest.

    Args:
        picture: uint8 `[height, width]` or `[height, width, 1]`, of any aspect ratio.
        heat: float32 `[h, w]`, logits; values of 0 and below are evidence against pneumonia and get no colour.
        side: longer side of the result in pixels.
        framing: how the square that the model received was made of the picture. What `crop` cut off is darkened.

    Returns:
        BGR uint8 of the picture's aspect ratio.
    """
    grey = within(picture.reshape(picture.shape[:2]), side)
    height, width = grey.shape
    seen = np.full(grey.shape, UNSEEN, np.float32)
    seen[source_box(width, height, framing).area] = 1.0
    evidence = np.maximum(over_picture(heat, width, height, framing), 0.0)
    evidence /= max(float(evidence.max()), 1.0)  # weak evidence stays pale: full colour needs a logit of 1 or more
    colour = cv2.applyColorMap((255 * evidence).astype(np.uint8), cv2.COLORMAP_INFERNO)
    weight = (OVERLAY_STRENGTH * evidence)[..., np.newaxis]
    blended = (grey * seen)[..., np.newaxis] * (1 - weight) + colour * weight
    return np.asarray(np.clip(np.rint(blended), 0, 255), dtype=np.uint8)


def over_picture(heat: npt.NDArray[np.float32], width: int, height: int, framing: Framing) -> npt.NDArray[np.float32]:
    """Return a heat map of the model's square, `[h, w]`, as it lies over the picture: float32 `[height, width]`.

    It is 0 where `crop` cut the picture off. What `pad` put beside the picture is left out.
    """
    if framing == "pad":
        longer = max(width, height)
        return _enlarged(heat, longer, longer)[target_box(width, height, longer, framing).area]
    placed = np.zeros((height, width), np.float32)
    part = source_box(width, height, framing)
    placed[part.area] = _enlarged(heat, part.width, part.height)
    return placed


def _enlarged(heat: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
