"""Answer X-rays with onnxruntime, Pillow and NumPy alone: python predict.py MODEL.any_size.onnx IMAGE..."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def grey_of(path: str) -> tuple[np.ndarray, bool]:
    """Return uint8 [H, W], upright, what is transparent black; and whether it was a JPEG."""
    picture = Image.open(path)
    jpeg = picture.format == "JPEG"
    if picture.format == "PNG" and Path(path).read_bytes()[24] == 16:
        sys.exit(f"{path} has 16 bits, which Pillow cuts to 8 in another way than training; make it 8 bits first")
    picture.draft("L", picture.size)  # of a JPEG in colour, the luminance alone
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture.convert("RGBA"))
    return np.asarray(picture.convert("L")), jpeg


def answer_of(metadata: Mapping[str, str], outputs: Mapping[str, np.ndarray]) -> str:
    """Return the answer to one image by the limits in the metadata: four answers, or without the limits two."""
    threshold, probability = metadata["threshold"], outputs["probability"][0, 0]
    normal, pneumonia = json.loads(metadata["classes"])
    if "familiarity_threshold" in metadata and outputs["familiarity"][0, 0] < float(metadata["familiarity_threshold"]):
        return "UNSUITABLE"
    if probability < float(metadata.get("certain_normal_below", threshold)):
        return normal
    return pneumonia if probability >= float(metadata.get("certain_pneumonia_from", threshold)) else "UNCERTAIN"


def why_unfit(metadata: Mapping[str, str], height: int, width: int) -> str:
    """Return why a picture of this size is UNSUITABLE, whatever the model finds; empty if it is not."""
    if "certain_normal_below" not in metadata:  # two answers
        return ""
    if 2 * min(height, width) < int(metadata["image_size"]):
        return f"only {width} x {height} pixels, fewer than X-ray detectors have"
    return "" if 0.5 <= width / height <= 4 else f"{width} x {height} pixels are not the shape of a chest X-ray"


def line_of(metadata: Mapping[str, str], outputs: Mapping[str, np.ndarray], grey: np.ndarray, path: str) -> str:
    """Return probability, answer and name of a picture, and why it is unfit."""
    why = why_unfit(metadata, *grey.shape)
    answer = f"UNSUITABLE {path} ({why})" if why else f"{answer_of(metadata, outputs)} {path}"
    return f"{outputs['probability'][0, 0]:.6f} {answer}"


if __name__ == "__main__":
    import onnxruntime

    session = onnxruntime.InferenceSession(sys.argv[1])
    metadata, names = session.get_modelmeta().custom_metadata_map, [output.name for output in session.get_outputs()]
    for path in sys.argv[2:]:
        grey, jpeg = grey_of(path)
        values = session.run(names, {"image": grey[None, :, :, None], "jpeg": np.array([jpeg])})
        outputs = dict(zip(names, values, strict=True))
        print(line_of(metadata, outputs, grey, path))
