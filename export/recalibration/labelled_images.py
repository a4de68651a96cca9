"""Labelled images of another place, decoded for a model, and what the model computes for them."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.inference.batched_answers import in_batches
from export.inference.classifier import Classifier
from export.inference.inference_session import open_session
from export.recalibration.graph_values import CalibratedGraph
from pipeline.evaluation.predictions import Floats, Images, Predictions
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.program.progress import track
from pneumo_tfds.sources.inventory import LABELS, Image, Source
from pneumo_tfds.sources.reading import ReadError
from pneumo_tfds.splits.duplicates import check_labels, group_by_digest
from pneumo_tfds.writing.examples import BuildLog

COPIES = "a copy of another image, byte for byte"
UNKNOWN_YET = 0.5
"""Probability of images before they are scored."""


@dataclass(frozen=True)
class LabelledImages:
    """Images of a source that a model would answer."""

    pixels: Images
    """uint8 `[n, S, S, 1]`"""
    table: Predictions
    """Their names, patients and labels; the probabilities are yet to be computed."""
    sha256: str
    """Hash of the sorted hashes of the files, so that it does not tell a name."""
    left_out: Counter[str]
    """Reason to number of images that are not used."""
    unreadable: tuple[str, ...]
    """For each image that could not be read, why."""


@dataclass(frozen=True)
class Scores:
    """What the network computes for images before any calibration."""

    logits: Floats
    """`[n]`"""
    distances: Floats | None
    """`[n]`, of the familiarity; None if the model has none."""

    def take(self, rows: NDArray[np.int64]) -> Scores:
        """Return those of the images at `rows`."""
        return Scores(self.logits[rows], None if self.distances is None else self.distances[rows])


def read_images(source: Source, classifier: Classifier, threads: int | None) -> LabelledImages:
    """Read and decode the images of a source for a model, as a build and `export.predict` do.

    Copies are used once, and images that the model would call UNSUITABLE by what the file says of itself are not used,
    because no probability decides about them.

    Raises:
        InputError: over 5 % of the images cannot be read, none is left, or copies of one image have different labels.
    """

    def load(image: Image) -> tuple[str, NDArray[np.uint8] | None, str]:
        data, doubts = source.read(image), list[str]()
        digest = hashlib.sha256(data).hexdigest()
        try:
            pixels = classifier.decode(data, image.name, doubts)
            unfit = classifier.reasons(data, pixels, image.name, doubts).unfit
            return digest, None if unfit else pixels, "; ".join(unfit)
        except ReadError:
            raise
        except InputError as error:
            return "", None, str(error)

    log, left_out = BuildLog(), Counter[str]()
    found: list[tuple[Image, str, NDArray[np.uint8]]] = []
    loaded = ordered_map(load, source.images, threads)
    for image, (digest, pixels, why) in zip(source.images, track(loaded, "Reading", len(source.images)), strict=True):
        if pixels is not None:
            found.append((image, digest, pixels))
        elif digest:
            left_out[why] += 1
        else:
            log.skipped[image.name] = why
    log.check_share(len(source.images))
    groups = group_by_digest((image, digest) for image, digest, _ in found)
    check_labels(groups)
    copies = {image.name for group in groups for image in group[1:]}
    kept = [one for one in found if one[0].name not in copies]
    left_out.update({COPIES: len(copies)} if copies else {})
    if not kept:
        raise InputError(f"{source.where}: no image is left to recalibrate on; left out: {', '.join(left_out)}")
    images = [image for image, _, _ in kept]
    columns = {"filenames": "name", "patients": "patient", "subtypes": "subtype"}
    table = Predictions(
        **{column: np.array([getattr(image, name) for image in images]) for column, name in columns.items()},
        labels=np.array([LABELS.index(image.label) for image in images]),
        probabilities=np.full(len(kept), UNKNOWN_YET),
    )
    digests = "\n".join(sorted(digest for _, digest, _ in kept))
    sha256 = hashlib.sha256(digests.encode()).hexdigest()
    return LabelledImages(
        np.stack([pixels for _, _, pixels in kept]), table, sha256, left_out, (*log.skipped.values(),)
    )


def answered_by(classifier: Classifier, images: LabelledImages, batch_size: int) -> Predictions:
    """Return the table of the images with a model's own probabilities and, if it has it, familiarity."""
    outputs = in_batches(classifier.predict_batch, images.pixels, batch_size, "Answering")
    return replace(
        images.table,
        probabilities=outputs["probability"][:, 0].astype(np.float64),
        familiarity=outputs["familiarity"][:, 0].astype(np.float64) if "familiarity" in outputs else np.empty(0),
    )


def score(graph: CalibratedGraph, images: Images, *, batch_size: int, threads: int | None) -> Scores:
    """Compute logits and distances of images uint8 `[n, S, S, 1]`, n at least 1."""
    names = [name for name in (graph.logit, graph.distance) if name]
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.onnx")
        probe.write_bytes(graph.probe())
        session = open_session(probe, threads=threads)

    def answer(batch: Images) -> dict[str, NDArray[np.float32]]:
        return dict(zip(names, session.run(names, {"image": batch}), strict=True))

    found = in_batches(answer, images, batch_size, "Scoring")
    logits, *distances = (found[name][:, 0].astype(np.float64) for name in names)
    return Scores(logits, distances[0] if distances else None)
