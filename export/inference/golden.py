"""Golden examples: encoded files, their decoded pixels and Keras's outputs, with which any consumer can test itself.

`golden.npz` is published with the model file, so it holds drawn images only, no patient's. Arrays (n examples):

- `names` text [n]; `file_<i>` uint8 [bytes]: the encoded file of example i (JPEG or PNG), as a consumer would get it.
  The edge cases at the end (black, white, noise and others), and a drawn X-ray that is UNCERTAIN, if one was found, are
  tensors only and have no file.
- `images` uint8 [n, S, S, 1]: each file as `pneumo_tfds.decode.decode` returns it, with the model's framing.
- `probability` float32 [n, 1], and if the model has them `heatmap` float32 [n, h, w], `familiarity` and `subtype`
  float32 [n, 1]: Keras's outputs in float32.
- `decision` text [n]: what the limits in the model file make of them, NORMAL, PNEUMONIA, UNCERTAIN or UNSUITABLE. The
  answer to `file_<i>` may be UNSUITABLE all the same, for what the file says of itself, such as its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from export.inference.classifier import Classifier
from export.inference.decision import UNCERTAIN, decide
from export.inference.onnx_metadata import Metadata
from pneumo_tfds.decode import decode
from pneumo_tfds.decode.headers import format_of
from pneumo_tfds.decode.pixels import decode_full
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing
from pneumo_tfds.program.framing_names import Framing
from pneumo_tfds.program.npz import read_arrays

GOLDEN_SEED = 2018
TOLERANCE = 1e-4
"""Largest difference of a probability on another machine and runtime; the same runtime stays within 1e-5."""
FAMILIARITY_TOLERANCE = 1e-3
"""The same of a familiarity: one of its steps."""
OPENVINO_FACTOR = 1.5
"""Times the `golden_tolerance` of an int8 file, which is measured with onnxruntime, that OpenVINO may differ by. It is
as near to float32 on average, but on the few golden images of two networks by up to 1.12 times the tolerance."""
DRAWN, DRAWN_AT_ONCE = 96, 8
"""X-rays that are drawn at most in search of one that is UNCERTAIN; of one default network 7 in 240 were."""
SOFTNESS = 0.0055
"""Deviation of the Gaussian that they are blurred by, as a fraction of the side. Without, 1 in 240 was UNCERTAIN."""
FAR_FROM_A_LIMIT = 0.002
"""Distance of that one from a limit: twice the tolerance of a familiarity, so that other runtimes answer alike."""
EDGES = ("edge-black", "edge-white", "edge-grey", "edge-noise", "edge-ramp", "edge-checkerboard")

Arrays = Mapping[str, npt.NDArray[Any]]


def encoded_examples() -> dict[str, bytes]:
    """Draw images and return name to file bytes: sizes, aspect ratios, grey and colour, 8 and 16 bit, JPEG and PNG."""
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


def edge_images(side: int) -> npt.NDArray[np.uint8]:
    """Draw the edge cases that `EDGES` names: images unlike X-rays, on which every copy of a model must agree too.

    Returns:
        uint8 [6, S, S, 1]: three flat images, uniform noise, a ramp, a one-pixel checkerboard.
    """
    flat = [np.full((side, side), level, np.uint8) for level in (0, 255, 128)]
    noise = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, side).astype(np.uint8), (side, side))
    row, column = np.indices((side, side))
    board = ((row + column) % 2 * 255).astype(np.uint8)
    return np.stack([*flat, noise, ramp, board])[..., np.newaxis]


def make(answer: Callable[[npt.NDArray[np.uint8]], Arrays], metadata: Metadata) -> dict[str, npt.NDArray[Any]]:
    """Make the arrays of `golden.npz`; `answer` returns Keras's outputs by name for uint8 images [n, S, S, 1]."""
    files = encoded_examples()
    decoded = [decode(data, metadata.image_size, name, metadata.framing) for name, data in files.items()]
    uncertain = _uncertain(answer, metadata)
    images = np.concatenate([np.stack(decoded), edge_images(metadata.image_size), *uncertain])
    encoded = {f"file_{number}": np.frombuffer(data, np.uint8) for number, data in enumerate(files.values())}
    outputs = dict(answer(images))
    decisions = np.array([decide(metadata.limits, *row)[0] for row in rows(outputs)])
    names = np.array([*files, *EDGES, *["drawn-uncertain"] * len(uncertain)])
    return {"names": names, "images": images, **outputs, "decision": decisions, **encoded}


def _uncertain(answer: Callable[[npt.NDArray[np.uint8]], Arrays], metadata: Metadata) -> list[npt.NDArray[np.uint8]]:
    """Draw X-rays until one is UNCERTAIN, and return it, uint8 [1, S, S, 1]; an empty list if none of them is."""
    limits = metadata.limits
    if limits.certain_normal_below == limits.certain_pneumonia_from:
        return []
    for start in range(0, DRAWN, DRAWN_AT_ONCE):
        images = np.stack(
            [_drawn(number, metadata.image_size, metadata.framing) for number in range(start, start + DRAWN_AT_ONCE)]
        )
        for image, row in zip(images, rows(answer(images)), strict=True):
            if decide(limits, *row)[0] == UNCERTAIN and not limits.near(*row, FAR_FROM_A_LIMIT):
                return [image[np.newaxis]]
    return []


@cache
def _drawn(number: int, side: int, framing: Framing) -> npt.NDArray[np.uint8]:
    """Draw an X-ray, as soft as real ones are beside drawings, and return it as `decode` does, uint8 [S, S, 1]."""
    from pneumo_tfds.phantoms.drawing import render

    kind = ("normal", "bacteria", "virus")[number % 3]
    drawn = render(GOLDEN_SEED, str(number), f"{number}.png", kind)
    square = decode(cv2.imencode(".png", drawn)[1].tobytes(), side, f"{number}.png", framing)
    return np.asarray(cv2.GaussianBlur(square, (0, 0), SOFTNESS * side), np.uint8)[..., np.newaxis]


def rows(outputs: Arrays) -> list[tuple[float, float | None]]:
    """Return probability and familiarity of each image; None where the model has no familiarity."""
    probability = outputs["probability"][:, 0].tolist()
    familiarity = outputs["familiarity"][:, 0].tolist() if "familiarity" in outputs else [None] * len(probability)
    return list(zip(probability, familiarity, strict=True))


def pictures(arrays: Arrays) -> Iterator[tuple[int, npt.NDArray[np.uint8], bool]]:
    """Return of each golden file its number, its picture uint8 `[1, H, W, 1]` at full size, and if it is a JPEG."""
    for number, name in enumerate(arrays["names"]):
        if f"file_{number}" in arrays:
            data = arrays[f"file_{number}"].tobytes()
            yield number, decode_full(data, str(name))[np.newaxis, :, :, np.newaxis], format_of(data) == "JPEG"


def write(path: Path, arrays: Arrays) -> None:
    """Write the arrays as a compressed .npz file, atomically."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **dict(arrays))


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read a golden file.

    Raises:
        InputError: the file is missing, damaged, or not a golden file.
    """
    arrays = read_arrays(path, "give a golden.npz, or export the run again")
    missing = [name for name in ("names", "images", "probability") if name not in arrays]
    if missing:
        raise InputError(f"{path} is not a golden file: it lacks {', '.join(missing)}; export the run again")
    if not _fit_together(arrays):
        raise InputError(f"{path} is not a golden file: its arrays do not fit together; export the run again")
    return arrays


def _fit_together(arrays: Arrays) -> bool:
    names, images = arrays["names"], arrays["images"]
    count = len(names) if names.ndim else 0
    texts = [arrays[name] for name in ("names", "decision") if name in arrays]
    shares = [arrays[name] for name in ("probability", "familiarity", "subtype") if name in arrays]
    heatmaps = [arrays[name] for name in ("heatmap",) if name in arrays]
    files = [array for name, array in arrays.items() if name.startswith("file_")]
    return (
        count > 0
        and all(array.dtype.kind == "U" and array.shape == (count,) for array in texts)
        and images.dtype == np.uint8
        and images.ndim == 4
        and images.shape == (count, images.shape[1], images.shape[1], 1)
        and all(array.dtype == np.float32 and array.shape == (count, 1) for array in shares)
        and all(array.dtype == np.float32 and array.ndim == 3 and len(array) == count for array in heatmaps)
        and all(array.dtype == np.uint8 and array.ndim == 1 for array in files)
    )


def tolerances(arrays: Arrays, tolerance: float = TOLERANCE) -> dict[str, float]:
    """Return by how much each output of a float32 file may differ, from the tolerance of a probability."""
    allowed = {"probability": tolerance, "familiarity": FAMILIARITY_TOLERANCE, "subtype": tolerance}
    if "heatmap" in arrays:
        allowed["heatmap"] = 10 * tolerance * max(1.0, float(np.abs(arrays["heatmap"]).max()))
    return allowed


def tolerance_of_reduced(classifier: Classifier, arrays: Arrays) -> dict[str, float]:
    """Return the metadata `golden_tolerance` of a float16 or int8 file that was found good enough.

    It is twice what each output differs by here, because such files differ between processors too: one with int8 dot
    products adds exactly, one without may saturate.
    """
    outputs = classifier.predict_batch(arrays["images"])
    return {
        name: max(least, 2 * float(np.abs(outputs[name].astype(np.float64) - arrays[name]).max()))
        for name, least in tolerances(arrays).items()
        if name in outputs and name in arrays
    }


def self_test(classifier: Classifier, arrays: Arrays, tolerance: float = TOLERANCE) -> list[str]:
    """Decode and predict the golden files, and return every difference from the stored arrays, as text.

    A difference in pixels means another decoder or resize; one in probabilities, another runtime or model file. A file
    whose metadata has a `golden_tolerance` may differ by that; `tolerance` is for the probabilities of others.
    """
    factor = 1.0 if classifier.engine.startswith("onnxruntime") else OPENVINO_FACTOR
    of_file = {name: factor * value for name, value in (classifier.metadata.golden_tolerance or {}).items()}
    allowed = {**tolerances(arrays, tolerance), **of_file}
    images = arrays["images"]
    decoded = {
        number: classifier.decode(arrays[f"file_{number}"].tobytes(), str(name))
        for number, name in enumerate(arrays["names"])
        if f"file_{number}" in arrays
    }
    for number, pixels in decoded.items():
        if pixels.shape != images[number].shape:
            shapes = f"decoded to {list(pixels.shape)}, but the golden images are {list(images[number].shape)}"
            return [f"{arrays['names'][number]}: {shapes}"]
    outputs = classifier.predict_batch(images)
    return [
        *_differences_of_pixels(arrays, decoded),
        *_differences_of_shares(arrays, outputs, allowed),
        *_differences_of_answers(arrays, outputs, allowed, classifier.metadata.limits),
        *_differences_of_heatmaps(arrays, outputs, allowed),
    ]


def _differences_of_pixels(arrays: Arrays, decoded: Mapping[int, npt.NDArray[np.uint8]]) -> Iterator[str]:
    for number, pixels in decoded.items():
        levels = int(np.abs(pixels.astype(np.int16) - arrays["images"][number]).max())
        if levels:
            yield f"{arrays['names'][number]}: decoded pixels differ by up to {levels} grey levels"


def _differences_of_shares(arrays: Arrays, outputs: Arrays, allowed: Mapping[str, float]) -> Iterator[str]:
    for output in ("probability", "familiarity", "subtype"):
        if output in arrays and output in outputs:
            gaps = np.abs(outputs[output].astype(np.float64) - arrays[output])[:, 0]
            for name, gap in zip(arrays["names"], gaps, strict=True):
                if not gap <= allowed[output]:
                    yield f"{name}: the {output} differs by {gap:.3g}; {allowed[output]:g} is allowed"


def _differences_of_answers(
    arrays: Arrays, outputs: Arrays, allowed: Mapping[str, float], limits: Limits
) -> Iterator[str]:
    if "decision" not in arrays:
        return
    near = max(allowed["probability"], FAMILIARITY_TOLERANCE), allowed["familiarity"]
    examples = zip(arrays["names"], arrays["decision"], rows(outputs), rows(arrays), strict=True)
    for name, decision, row, golden in examples:
        answer = decide(limits, *row)[0]
        if answer != decision and not limits.near(*golden, *near):
            yield f"{name}: the answer is {answer}, not {decision}"


def _differences_of_heatmaps(arrays: Arrays, outputs: Arrays, allowed: Mapping[str, float]) -> Iterator[str]:
    if "heatmap" not in arrays or "heatmap" not in outputs:
        return
    if arrays["heatmap"].shape != outputs["heatmap"].shape:
        yield "heat maps have another shape"
        return
    gap = float(np.abs(outputs["heatmap"].astype(np.float64) - arrays["heatmap"]).max())
    if not gap <= allowed["heatmap"]:
        yield f"heat maps differ by {gap:.3g}; {allowed['heatmap']:.3g} is allowed"
