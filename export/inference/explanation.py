"""An answer with the picture that it is about, and the evidence for it drawn over the picture."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field

import cv2
import numpy as np

from export.inference.classifier import Classifier, Prediction, read_image
from export.inference.outputs import OVERLAY_SIDE, overlay
from pneumo_tfds.decode import decode_whole
from pneumo_tfds.program.errors import InputError


@dataclass(frozen=True, eq=False)
class Explanation:
    """An answer and its picture; a notebook shows both."""

    prediction: Prediction
    """The answer."""
    picture: np.ndarray = field(repr=False)
    """The whole picture, BGR uint8 `[height, width, 3]`, coloured where there is evidence for pneumonia. Uncoloured for
    an UNSUITABLE image, of which the heat map means nothing."""

    @property
    def png(self) -> bytes:
        """The picture as a PNG file."""
        return cv2.imencode(".png", self.picture)[1].tobytes()

    def _repr_html_(self) -> str:
        source = f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"
        return f'{self.prediction._repr_html_()}<img alt="the picture with its heat map" src="{source}">'


def explain(classifier: Classifier, path: str | os.PathLike[str], side: int = OVERLAY_SIDE) -> Explanation:
    """Answer for one image file, and draw the heat map over the picture.

    Args:
        classifier: of a model with a heat map.
        path: the image file.
        side: longer side of the drawn picture, pixels.

    Raises:
        InputError: the model has no heat map, the file cannot be read or decoded, or `side` is below 1.
    """
    if side < 1:
        raise InputError(f"side is {side}; it must be 1 pixel or more")
    if not classifier.has_heatmap:
        raise InputError(f"{classifier.path} has no heat map, as its network does not end in global average pooling")
    data = read_image(path)
    answer, picture = classifier.predict_bytes(data, str(path)), decode_whole(data, side, str(path))
    heat = np.zeros((1, 1), np.float32) if answer.heatmap is None else answer.heatmap
    return Explanation(answer, overlay(picture, heat, side, classifier.metadata.framing))
