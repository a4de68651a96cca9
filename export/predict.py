"""`python -m export.predict MODEL.onnx IMAGE...`: probability and decision for each image, without TensorFlow."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from pneumo_tfds.program.command import BAD_INPUT, Command, give_up_output, run
from pneumo_tfds.program.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from export.inference.classifier import Classifier, Prediction
    from export.inference.inputs import Image

BATCHES_AHEAD = 2  # decoded batches that may wait for the model


@dataclass(frozen=True, kw_only=True)
class Predict(Command):
    """Say for each X-ray how probable pneumonia is. Research only; not a medical device."""

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file of a run."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Images (JPEG, PNG, DICOM with the extra), folders, zips, or - for one image on standard input."""
    json: Path | None = None
    """Write one JSON object a line to this file; - for standard output in place of the table."""
    csv: Path | None = None
    """Write the table as CSV to this file; - for standard output in place of the table."""
    heatmap: Path | None = None
    """Write an overlay PNG for each image into this folder."""
    threshold: float | None = None
    """Decide PNEUMONIA from this probability on, in place of the model's own threshold."""
    batch_size: int = 16
    """Images answered at once."""
    threads: int = 0
    """Threads for decoding and for the model; 0: one for each core."""
    golden: Path | None = None
    """Check decoder, runtime and model against this golden.npz before anything else."""


@dataclass(frozen=True)
class Row:
    """The answer for one image, or why there is none."""

    file: str
    prediction: Prediction | None = None
    pixels: np.ndarray | None = None
    """What the model saw, uint8 `[S, S, 1]`."""
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """`file`, and either `probability`, `decision`, `threshold` or `error`."""
        if self.prediction is None:
            return {"file": self.file, "error": self.error}
        answer = self.prediction
        return {
            "file": self.file,
            "probability": float(f"{answer.probability:.9g}"),
            "decision": answer.decision,
            "threshold": answer.threshold,
        }


def predict_images(classifier: Classifier, images: Sequence[Image], *, batch_size: int, threads: int) -> Iterator[Row]:
    """Answer images in order, decoding the next ones while the model works.

    An image that cannot be read or decoded gives a row with `error`; the others go on.
    """
    from export.inference.inputs import UnreadableError
    from pneumo_tfds.decode import DecodeError, decode

    def load(image: Image) -> np.ndarray | str:
        try:
            return decode(image.read(), classifier.image_size, image.name)
        except (UnreadableError, DecodeError) as error:
            return str(error)

    waiting: deque[tuple[Image, Future[np.ndarray | str]]] = deque()
    upcoming = iter(images)
    with ThreadPoolExecutor(threads or None) as pool:
        while True:
            while len(waiting) < batch_size * BATCHES_AHEAD and (image := next(upcoming, None)) is not None:
                waiting.append((image, pool.submit(load, image)))
            if not waiting:
                return
            batch = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
            yield from _answer(classifier, [(image.name, future.result()) for image, future in batch])


def _answer(classifier: Classifier, batch: Sequence[tuple[str, np.ndarray | str]]) -> Iterator[Row]:
    import numpy as np

    decoded = [pixels for _, pixels in batch if not isinstance(pixels, str)]
    answers = iter(classifier.predict(np.stack(decoded)) if decoded else [])
    for name, pixels in batch:
        if isinstance(pixels, str):
            yield Row(name, error=pixels)
        else:
            yield Row(name, next(answers), pixels)


def predict(config: Predict) -> int:
    """Answer every image; 0 if at least one could be read, 2 if none."""
    if config.batch_size < 1:
        raise InputError(f"--batch-size {config.batch_size} is below 1; give a number of images")
    from export.inference.classifier import Classifier
    from export.inference.inputs import find_images
    from export.inference.outputs import Writers
    from pneumo_tfds.program.progress import track

    classifier = Classifier(config.model, threads=config.threads, threshold=config.threshold)
    if config.golden is not None:
        _check_golden(classifier, config.golden)
        if not config.images:
            return 0
    if config.heatmap is not None and not classifier.has_heatmap:
        raise InputError(
            f"{config.model} gives no heat map (its network has no class activation map); leave --heatmap out"
        )
    images = find_images(config.images)
    rows = predict_images(classifier, images, batch_size=config.batch_size, threads=config.threads)
    read, failed, positive = 0, [], 0
    try:
        with Writers(json_path=config.json, csv_path=config.csv, heatmap=config.heatmap) as writers:
            for row in track(rows, "Predicting", len(images)):
                writers.write(row.to_json())
                if row.prediction is None:
                    failed.append(str(row.error))
                    continue
                read += 1
                positive += row.prediction.decision == classifier.metadata.classes[1]
                if row.pixels is not None and row.prediction.heatmap is not None and config.heatmap is not None:
                    writers.overlay(row.file, row.pixels, row.prediction.heatmap)
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the lines has seen enough, as in `| head`
        give_up_output()
        return 0
    if failed and not read:
        none = f"none of {len(failed)} images could be read; the first: " if len(failed) > 1 else ""
        print(f"{none}{failed[0]}", file=sys.stderr)
        return BAD_INPUT
    for reason in failed:
        print(reason, file=sys.stderr)
    unread = f", {len(failed)} could not be read" if failed else ""
    print(
        f"{read} images: {positive} PNEUMONIA, {read - positive} NORMAL at threshold {classifier.threshold:g}{unread}. "
        f"For {classifier.metadata.intended_use}.",
        file=sys.stderr,
    )
    return 0


def _check_golden(classifier: Classifier, path: Path) -> None:
    from export.inference import golden

    found = golden.self_test(classifier, golden.read(path))
    if found:
        raise InputError(f"{path}: {'; '.join(found)}; this machine does not answer as the exporter did")
    print(f"golden: decoder, runtime and model agree with {path}", file=sys.stderr)


if __name__ == "__main__":
    run(Predict, predict, prog="python -m export.predict")
