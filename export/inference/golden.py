"""Golden examples: encoded files, their decoded pixels and the right answers, so that any consumer can prove itself.

`golden.npz` travels with the model file, so it holds made images only, never a patient's. Arrays (n examples):

- `names` text [n]; `file_<i>` uint8 [bytes]: the encoded file of example i (JPEG or PNG), as a consumer would get it.
  The last examples are bare tensors (black, white, noise ...) and have no file.
- `images` uint8 [n, S, S, 1]: what `pneumo_tfds.decode.decode` makes of each file.
- `probability` float32 [n, 1], and `heatmap` float32 [n, h, w] if the model has one: Keras's answers in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from export.inference.classifier import Classifier
from export.inference.edge_cases import EDGES, edge_images
from pneumo_tfds.decode import decode
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing
from pneumo_tfds.program.npz import read_arrays

GOLDEN_SEED = 2018
TOLERANCE = 1e-4
"""Largest |Δp| for a consumer on another machine and runtime; the same runtime stays within 1e-5."""


def encoded_examples() -> dict[str, bytes]:
    """Name to file bytes of made images: sizes, aspect ratios, grey and colour, 8 and 16 bit, JPEG and PNG."""
    from pneumo_tfds.phantoms.drawing import render

    def chest(subtype: str, width: int, height: int) -> npt.NDArray[np.uint8]:
        drawn = render(GOLDEN_SEED, subtype, f"{subtype}.jpeg", subtype)
        return np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    examples: dict[str, tuple[npt.NDArray[Any], str]] = {
        "wide-grey.jpeg": (chest("normal", 1000, 700), ".jpg"),
        "tall-grey.jpeg": (chest("bacteria", 640, 900), ".jpg"),
        "large-grey.jpeg": (chest("virus", 1400, 1050), ".jpg"),
        "square-colour.jpeg": (cv2.cvtColor(chest("virus", 512, 512), cv2.COLOR_GRAY2BGR), ".jpg"),
        "small-grey.png": (chest("normal", 60, 48), ".png"),
        "wide-16-bit.png": (chest("bacteria", 360, 240).astype(np.uint16) * 257, ".png"),
        "dark-grey.png": (chest("normal", 400, 300) // 8, ".png"),
    }
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
    return {
        name: cv2.imencode(kind, pixels, quality if kind == ".jpg" else [])[1].tobytes()
        for name, (pixels, kind) in examples.items()
    }


def make(answer: Any, side: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of `golden.npz`, with `answer` (Keras, uint8 [n, S, S, 1] to output name to array) as the truth."""
    files = encoded_examples()
    images = np.concatenate([np.stack([decode(data, side, name) for name, data in files.items()]), edge_images(side)])
    encoded = {f"file_{number}": np.frombuffer(data, np.uint8) for number, data in enumerate(files.values())}
    return {"names": np.array([*files, *EDGES]), "images": images, **dict(answer(images)), **encoded}


def write(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write the arrays as a compressed .npz, at once."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **dict(arrays))


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read a golden file.

    Raises:
        InputError: it is missing, damaged or not one of ours.
    """
    arrays = read_arrays(path, "give a golden.npz, or export the run again")
    missing = [name for name in ("names", "images", "probability") if name not in arrays]
    if missing:
        raise InputError(f"{path} is no golden file: it lacks {', '.join(missing)}; export the run again")
    if not _fit_together(arrays):
        raise InputError(f"{path} is no golden file: its arrays do not fit together; export the run again")
    return arrays


def _fit_together(arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
    names, images, probability = arrays["names"], arrays["images"], arrays["probability"]
    heat = arrays.get("heatmap", np.zeros((len(names) if names.ndim else 0, 1, 1), np.float32))
    files = [array for name, array in arrays.items() if name.startswith("file_")]
    kinds = [f"{array.ndim}d {array.dtype.name}" for array in (images, probability, heat, *files)]
    return (
        names.ndim == 1
        and names.dtype.kind == "U"
        and kinds == ["4d uint8", "2d float32", "3d float32", *["1d uint8"] * len(files)]
        and len(images) == len(heat) == len(names) > 0
        and probability.shape == (len(names), 1)
        and images.shape[1:] == (images.shape[1], images.shape[1], 1)
    )


def self_test(
    classifier: Classifier, arrays: Mapping[str, npt.NDArray[Any]], tolerance: float = TOLERANCE
) -> list[str]:
    """Decode the golden files and answer them here; every difference from the stored pixels and answers, as text.

    A failing pixel means another decoder or resize, a failing probability another runtime or model file.
    """
    found = []
    images = arrays["images"]
    for number, name in enumerate(arrays["names"]):
        if f"file_{number}" in arrays:
            pixels = decode(arrays[f"file_{number}"].tobytes(), classifier.image_size, str(name))
            if pixels.shape != images[number].shape:
                return [
                    f"{name}: decoded to {list(pixels.shape)}, but the golden images are {list(images[number].shape)}"
                ]
            levels = int(np.abs(pixels.astype(np.int16) - images[number]).max())
            if levels:
                found.append(f"{name}: decoded pixels differ by up to {levels} grey levels")
    outputs = classifier.predict_batch(images)
    gaps = np.abs(outputs["probability"].astype(np.float64) - arrays["probability"])[:, 0]
    for name, gap in zip(arrays["names"], gaps, strict=True):
        if not gap <= tolerance:
            found.append(f"{name}: the probability differs by {gap:.3g}, over {tolerance:g}")
    if "heatmap" in arrays and "heatmap" in outputs:
        if arrays["heatmap"].shape != outputs["heatmap"].shape:
            return [*found, "heat maps have another shape"]
        scale = max(1.0, float(np.abs(arrays["heatmap"]).max()))
        gap = float(np.abs(outputs["heatmap"].astype(np.float64) - arrays["heatmap"]).max())
        if not gap <= 10 * tolerance * scale:
            found.append(f"heat maps differ by {gap:.3g}, over {10 * tolerance * scale:.3g}")
    return found
