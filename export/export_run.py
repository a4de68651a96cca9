"""Exporting one run: convert, compare, write what passed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from export.graph import convert
from export.inference import golden
from export.inference.classifier import Classifier
from export.inference.onnx_metadata import Metadata, metadata_of_run
from export.parity import comparison, parity_sample
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing, write_json

FP16, INT8 = "model.fp16.onnx", "model.int8.onnx"
SPLIT = "validation"
EXACT = (1, 4)
"""Convolutions that int8 leaves in float32: as few as its budget allows. See `export.graph.quantize.to_int8`."""

Judge = Callable[..., comparison.Report]


def export_run(
    folder: Path,
    *,
    dataset: Path | None = None,
    int8: bool = False,
    fp16: bool = False,
    parity_images: int = 256,
    calibration_images: int = 128,
    threads: int = 0,
) -> Iterator[tuple[Path, str]]:
    """Export a finished run and yield each file with what was found of it, as it is done.

    `model.onnx` comes first, with `parity.json` and `golden.npz`. The smaller variants are made from the same
    model; one that is over its budget is not kept.

    Args:
        folder: the run folder, with `model.keras`, `metrics.json` and `config.json`.
        dataset: the built dataset to compare on; as the run wrote it down if None.
        int8: make the int8 variant too.
        fp16: make the float16 variant too.
        parity_images: validation images to compare on; 0 for all.
        calibration_images: training images that set the int8 ranges.
        threads: of onnxruntime; 0 for every core.

    Raises:
        InputError: the run is unfinished or its model cannot be exported.
        ParityError: `model.onnx` would answer otherwise than Keras. `parity.json` says how; no file was replaced.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder of a finished run, such as runs/first")
    run = RunFolder(folder)
    with run.locked("export"):
        yield from _export(run, dataset, int8, fp16, parity_images, calibration_images, threads)


def _export(
    run: RunFolder,
    dataset: Path | None,
    int8: bool,
    fp16: bool,
    parity_images: int,
    calibration_images: int,
    threads: int,
) -> Iterator[tuple[Path, str]]:
    folder = run.path
    model = convert.float32_copy(convert.load_keras(run.model))
    side = convert.image_side(model)
    metrics, config = run.read_json(run.metrics), run.read_json(run.config)
    metadata = metadata_of_run(metrics, config, side, str(folder))
    place = parity_sample.dataset_folder(folder, config, metrics, dataset)
    sample = parity_sample.take(place, SPLIT, side, parity_images)
    expected = convert.reference(model)
    judge = partial(
        comparison.compare,
        expected,
        images=sample.images,
        labels=sample.labels,
        threshold=metadata.threshold,
        threads=threads,
    )
    encoded = _encoded(model, metadata)
    arrays = golden.make(expected, side)
    unchanged = run.onnx.is_file() and run.onnx.read_bytes() == encoded
    reports = _earlier_reports(run.parity) if unchanged else {}

    report = _write_float32(run, encoded, arrays, judge, reports)
    golden.write(run.golden, arrays)
    yield run.onnx, f"{len(encoded) / 1e6:.2f} MB, {report.summary()}"

    makers: dict[str, list[Callable[[Path], bytes]]] = {}
    if fp16:
        makers[FP16] = [_fp16]
    if int8:
        ranges = parity_sample.take(place, "train", side, calibration_images)
        makers[INT8] = [partial(_int8, sample=ranges, exact=exact) for exact in EXACT]
    for name in {FP16, INT8} - reports.keys():
        (folder / name).unlink(missing_ok=True)  # made from another model.onnx
    for name, attempts in makers.items():
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary, run.onnx.name)
            source.write_bytes(_encoded(model, metadata, widened=False))
            for make in attempts:
                candidate = Path(temporary, name)
                candidate.write_bytes(make(source))
                report = judge(candidate, budget=comparison.REDUCED)
                if report.passed:
                    break
            _keep_or_drop(folder / name, candidate, report)
        reports[name] = report.to_json()
        _write_reports(run, reports)
        size = f"{(folder / name).stat().st_size / 1e6:.2f} MB, " if report.passed else ""
        yield folder / name, size + (report.summary() if report.passed else f"not kept: {report.differences[0]}")


def _encoded(model: Any, metadata: Metadata, *, widened: bool = True) -> bytes:
    return bytes(convert.to_onnx(model, metadata.to_props(), widened=widened).SerializeToString(deterministic=True))


def _write_float32(
    run: RunFolder, encoded: bytes, arrays: Any, judge: Judge, reports: dict[str, Any]
) -> comparison.Report:
    """Judge the float32 file under a temporary name; it gets its own when it answers like Keras."""
    with replacing(run.onnx) as candidate:
        candidate.write_bytes(encoded)
        report = judge(candidate)
        if report.passed:
            report.differences += golden.self_test(Classifier(candidate), arrays, report.budget.probability)
        reports[run.onnx.name] = report.to_json()
        _write_reports(run, reports)
        if not report.passed:
            more = f" and {len(report.differences) - 1} more" if len(report.differences) > 1 else ""
            raise comparison.ParityError(f"{run.onnx} was not written: {report.differences[0]}{more}; see {run.parity}")
    return report


def _keep_or_drop(target: Path, candidate: Path, report: comparison.Report) -> None:
    """Keep a smaller variant that passed; an earlier file of that name goes either way."""
    if report.passed:
        with replacing(target) as temporary:
            shutil.copyfile(candidate, temporary)
    else:
        target.unlink(missing_ok=True)


def _fp16(source: Path) -> bytes:
    from export.graph.quantize import to_fp16

    return bytes(to_fp16(source).SerializeToString(deterministic=True))


def _int8(source: Path, sample: parity_sample.Sample, exact: int) -> bytes:
    from export.graph.quantize import to_int8

    return bytes(to_int8(source, sample.images, exact=exact).SerializeToString(deterministic=True))


def _write_reports(run: RunFolder, reports: dict[str, Any]) -> None:
    write_json(run.parity, {"split": SPLIT, "files": reports})


def _earlier_reports(path: Path) -> dict[str, Any]:
    """What an earlier export found of the variants that are still valid."""
    try:
        files = json.loads(path.read_text(encoding="utf-8")).get("files", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return dict(files) if isinstance(files, dict) else {}
