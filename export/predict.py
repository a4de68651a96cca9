"""`python -m export.predict MODEL.onnx IMAGE...`: probability and decision for each image, without TensorFlow."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from annotated_types import Ge, Le

from export.inference.model_options import ModelOptions
from export.inference.signature import SUFFIX
from pneumo_tfds.program.bounds import Bounded, Count
from pneumo_tfds.program.command import BAD_INPUT, OUTPUT_CLOSED, Command, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.overwriting import STANDARD_OUTPUT, refuse_overwriting
from pneumo_tfds.program.wording import counted

if TYPE_CHECKING:
    import numpy as np

    from export.dicom_out.dicom_folder import DicomFolder
    from export.inference.classifier import Classifier, Prediction
    from export.inference.inputs import Image
    from pneumo_tfds.decode.reasons import Reasons


@dataclass(frozen=True, kw_only=True)
class Predict(ModelOptions, Bounded, Command):
    """Estimate the probability of pneumonia for each X-ray. For research only; not a medical device."""

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file of a run, or the run's folder: its model.onnx."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Images (JPEG, PNG, or DICOM with the extra), folders, zips, or - for one image on standard input."""
    json: Path | None = None
    """Write one JSON object per line to this file; - writes to standard output instead of the table."""
    csv: Path | None = None
    """Write the table as CSV to this file; - writes to standard output instead of the table."""
    heatmap: Path | None = None
    """Write each image with its heat map as a PNG into this folder."""
    dicom_out: Path | None = None
    """Write a Structured Report and a Secondary Capture for each DICOM image into this folder (dicom-out extra)."""
    threshold: Annotated[float, Ge(0), Le(1)] | None = None
    """Decide PNEUMONIA from this probability on, and NORMAL below it: implies --two-way. Default: the model's own."""
    two_way: bool = False
    """Decide NORMAL or PNEUMONIA by the threshold alone, never UNCERTAIN or UNSUITABLE."""
    batch_size: Annotated[int, Ge(1)] = 16
    """Images per call of the model."""
    threads: Count | None = None
    """Threads for decoding and for the model. Default: one per core."""
    golden: Path | None = None
    """First check decoder, runtime and model against this golden.npz."""


@dataclass(frozen=True)
class Row:
    """The prediction for one image, or the reason why there is none."""

    file: str
    prediction: Prediction | None = None
    picture: np.ndarray | None = None
    """The whole picture to draw the heat map over, uint8 `[height, width]`; None unless it was asked for."""
    data: bytes = b""
    """The image file; empty unless it was asked for."""
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return `file`, and either `error` or the fields of the prediction apart from its heat map."""
        if self.prediction is None:
            return {"file": self.file, "error": self.error}
        answer = self.prediction
        return {
            "file": self.file,
            "probability": float(f"{answer.probability:.9g}"),
            "decision": answer.decision,
            "threshold": answer.threshold,
            "familiarity": None if answer.familiarity is None else float(f"{answer.familiarity:.6g}"),
            "reasons": list(answer.reasons),
            **answer.subtype_fields(),
        }


@dataclass
class Done:
    """What became of the images."""

    answers: Counter[str] = field(default_factory=Counter)
    """How many images got each answer."""
    failed: list[Row] = field(default_factory=list)
    """The rows of images that could not be read."""
    undrawn: int = 0
    """How many heat maps were asked for and not drawn."""
    output_closed: bool = False
    """The reader of standard output ended before the last row."""


def predict_images(
    classifier: Classifier,
    images: Sequence[Image],
    *,
    batch_size: int,
    threads: int | None = None,
    picture_side: int | None = None,
    keep_data: bool = False,
) -> Iterator[Row]:
    """Predict images in order, and decode the next ones while the model works.

    An image that cannot be read or decoded becomes a row with `error`; the others are still predicted. With
    `picture_side`, each row also has the whole picture, with a longer side of so many pixels; with `keep_data`, its
    file.
    """
    import numpy as np

    from pneumo_tfds.decode import decode_whole
    from pneumo_tfds.program.parallel import ordered_map

    def load(image: Image) -> Row | tuple[Row, np.ndarray, Reasons]:
        try:
            data = image.read()
            doubts: list[str] = []
            pixels = classifier.decode(data, image.name, doubts)
            picture = None if picture_side is None else decode_whole(data, picture_side, image.name)
            reasons = classifier.reasons(data, pixels, image.name, doubts)
            return Row(image.name, picture=picture, data=data if keep_data else b""), pixels, reasons
        except InputError as error:
            return Row(image.name, error=str(error))

    loaded = ordered_map(load, images, threads)
    while batch := list(islice(loaded, batch_size)):
        decoded = [found[1:] for found in batch if not isinstance(found, Row)]
        pixels, reasons = zip(*decoded, strict=True) if decoded else ((), ())
        answers = iter(classifier.predict(np.stack(pixels), reasons) if decoded else [])
        for found in batch:
            yield found if isinstance(found, Row) else replace(found[0], prediction=next(answers))


def predict(command: Predict) -> int:
    """Predict every image and return the exit code: 0 if at least one could be read, else 2.

    If the reader of standard output ends first, the other outputs are finished, and the exit code is 141.

    Raises:
        BrokenPipeError: it ended, and there is no other output.
    """
    from export.inference.inputs import find_images
    from export.inference.outputs import OVERLAY_SIDE
    from pneumo_tfds.program.progress import track

    classifier = _checked_model(command, little=bool(command.images))
    if command.golden is not None and not command.images:
        return 0
    if command.heatmap is not None and not classifier.has_heatmap:
        reason = "its network has no class activation map"
        raise InputError(f"{command.model} has no heat map ({reason}); leave --heatmap out")
    dicom = _dicom_folder(command, classifier)
    left_out = Counter[str]()
    images = find_images(command.images, left_out)
    _keep_inputs(command, classifier.path, images)
    if command.is_much(len(images)):
        classifier = _checked_model(command)
        dicom = _dicom_folder(command, classifier)
    rows = predict_images(
        classifier,
        images,
        batch_size=command.batch_size,
        threads=command.threads,
        picture_side=dicom.picture_side if dicom else None if command.heatmap is None else OVERLAY_SIDE,
        keep_data=dicom is not None,
    )
    done = _write_rows(track(rows, "Predicting", len(images)), command, classifier, dicom)
    if done.failed and not done.answers:
        none = f"none of {len(done.failed)} images could be read: " if len(done.failed) > 1 else ""
        print(f"{none}{'; '.join(_by_reason(done.failed))}", file=sys.stderr)
        return BAD_INPUT
    for line in _closing_lines(done, classifier):
        print(line, file=sys.stderr)
    for why, count in left_out.items():
        print(f"left out: {counted(count, 'file')} ({why})", file=sys.stderr)
    code = 0 if dicom is None else dicom.report()
    return code or (OUTPUT_CLOSED if done.output_closed else 0)


def _keep_inputs(command: Predict, model: Path, images: Sequence[Image]) -> None:
    """Raise InputError if an output would replace the model, an image or what they are checked by, or another one."""
    from export.inference.outputs import OVERLAY_ENDING

    paths = [image.path for image in images]
    signature = command.require_signature and model.with_name(model.name + SUFFIX)
    read = (model, command.golden, command.require_signature, signature, *paths)
    refuse_overwriting({"--json": command.json, "--csv": command.csv}, read)
    folder = None if command.heatmap is None else command.heatmap.resolve()
    for path in paths if folder else ():
        if path is not None and path.name.endswith(OVERLAY_ENDING) and path.parent.resolve() == folder:
            raise InputError(f"--heatmap {folder} holds {path}, an input that may be replaced; name another folder")


def _write_rows(rows: Iterable[Row], command: Predict, classifier: Classifier, dicom: DicomFolder | None) -> Done:
    """Write rows as they come, to every output that was asked for.

    Where no image gets an answer, files of an earlier call are not replaced by its errors.

    Raises:
        BrokenPipeError: the reader of standard output has ended, and there is no other output.
    """
    from export.inference.outputs import Writers

    done = Done()
    outputs = {"json_path": command.json, "csv_path": command.csv, "heatmap": command.heatmap}
    writers = Writers(**outputs, subtype=classifier.has_subtype, others=dicom is not None)
    files = {path for path in (command.json, command.csv) if path is not None and str(path) != STANDARD_OUTPUT}
    before = sorted(path for path in files if path.is_file())
    with writers:
        for row in rows:
            writers.write({**row.to_json(), "model": classifier.identity, "engine": classifier.engine})
            if row.prediction is None:
                done.failed.append(row)
                continue
            done.answers[row.prediction.decision] += 1
            if dicom is not None:
                dicom.write(row.data, row.file, row.prediction, row.picture)
            if command.heatmap is None or row.picture is None:
                continue
            if row.prediction.heatmap is None:  # of an UNSUITABLE image, where it means nothing
                done.undrawn += 1
            else:
                writers.overlay(row.file, row.picture, row.prediction.heatmap, classifier.metadata.framing)
        writers.standard_output.flush()
        if before and done.failed and not done.answers:
            print(f"kept as before: {', '.join(map(str, before))}", file=sys.stderr)
            writers.kept.update(before)
    done.output_closed = writers.standard_output.is_closed
    return done


def _closing_lines(done: Done, classifier: Classifier) -> Iterator[str]:
    """Yield why images could not be read, how often each answer was given and at which rule, and what to know of it."""
    from export.inference.onnx_metadata import FORCED

    yield from (str(row.error) for row in done.failed)
    unread = f", {len(done.failed)} could not be read" if done.failed else ""
    answers = ", ".join(f"{done.answers[answer]} {answer}" for answer in classifier.answers)
    images, facts = counted(done.answers.total(), "image"), classifier.metadata
    yield f"{images}: {answers} at {classifier.rule}{unread}. For {facts.intended_use}."
    if FORCED in facts.guarantee:
        yield f"guarantee: {facts.guarantee}"
    if done.undrawn:
        yield f"not drawn: {counted(done.undrawn, 'heat map')} of UNSUITABLE images"


def _by_reason(failed: Sequence[Row]) -> list[str]:
    """Return each reason once, with the name of an image, and how many have it, the most frequent first."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in failed:
        rows[str(row.error).removeprefix(f"{row.file}: ")].append(row)
    ordered = sorted(rows.items(), key=lambda item: -len(item[1]))
    return [
        f"{found[0].file}: {why} ({len(found)} such)" if len(found) > 1 else f"{found[0].file}: {why}"
        for why, found in ordered
    ]


def _checked_model(command: Predict, *, little: bool = False) -> Classifier:
    """Return the command's model, opened for `little` work or for much, after --golden was checked if it is given."""
    classifier = command.opened(
        command.model, little=little, threads=command.threads, threshold=command.threshold, two_way=command.two_way
    )
    if command.golden is not None:
        _check_golden(classifier, command.golden)
    return classifier


def _dicom_folder(command: Predict, classifier: Classifier) -> DicomFolder | None:
    """Return what writes --dicom-out; None without it."""
    if command.dicom_out is None:
        return None
    from export.dicom_out.dicom_folder import DicomFolder

    return DicomFolder(command.dicom_out, classifier)


def _check_golden(classifier: Classifier, path: Path) -> None:
    from export.inference import golden

    found = golden.self_test(classifier, golden.read(path))
    if found:
        raise InputError(f"{path}: {'; '.join(found)}; this machine does not reproduce the exporter's answers")
    print(f"Golden check passed: decoder, runtime and model agree with {path}", file=sys.stderr)


if __name__ == "__main__":
    run(Predict, predict, prog="python -m export.predict")
