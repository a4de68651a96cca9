"""Comparison of a file that takes pictures of any size with the decoder and the golden examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from export.inference.golden import Arrays, pictures
from export.inference.inference_session import open_session
from export.inference.picture_input import JPEG
from export.parity.comparison import FLOAT32

MAX_LEVELS = 2
"""Grey levels by which a pixel may differ from `pneumo_tfds.decode` on the golden files. X-rays that were compressed
strongly may differ by more where a black or white edge overshoots: a full decode clips it before the average."""


def compare_pictures(file: Path, preprocessing: bytes, examples: Arrays) -> dict[str, Any]:
    """Return the entry of the file in `parity.json`.

    Args:
        file: takes pictures of any size.
        preprocessing: the part of it before the network, an ONNX file.
        examples: of `golden.npz`. Their squares must give the same answers, their files nearly the same pixels.
    """
    session = open_session(file)
    before = onnxruntime.InferenceSession(preprocessing, providers=["CPUExecutionProvider"])

    def answer(image: np.ndarray, jpeg: bool) -> np.ndarray:
        return np.asarray(session.run(["probability"], {"image": image, JPEG: np.array([jpeg])})[0])

    same = float(np.abs(answer(examples["images"], False) - examples["probability"]).max())
    levels, gap, count = 0, 0.0, 0
    for number, picture, jpeg in pictures(examples):
        square = before.run(None, {"image": picture, JPEG: np.array([jpeg])})[0].astype(np.int16)
        levels = max(levels, int(np.abs(square - examples["images"][number]).max()))
        gap = max(gap, float(np.abs(answer(picture, jpeg) - examples["probability"][number]).max()))
        count += 1
    differences = []
    if same > FLOAT32.probability:
        differences.append(f"a probability differs by {same:.3g} for the same pixels")
    if levels > MAX_LEVELS:
        differences.append(f"pixels differ from the decoder by {levels} grey levels; {MAX_LEVELS} are allowed")
    return {
        "passed": not differences, "files": count, "max_levels": levels, "max_abs_probability": gap,
        "max_abs_probability_of_squares": same, "differences": differences,
    }  # fmt: skip
