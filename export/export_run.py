"""Exporting one run: convert the model, compare the files with Keras, keep those that passed."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from export.export_options import ExportOptions
from export.graph import convert
from export.inference import golden
from export.inference.answer_reference import brightness_of, distribution
from export.inference.classifier import Classifier
from export.inference.content_digest import sealed
from export.inference.onnx_metadata import Metadata
from export.inference.signature import tell_if_unsigned
from export.parity import comparison, parity_sample
from export.run_metadata import SPLIT, made_with, run_metadata, with_brightness
from pipeline.evaluation.evaluation_lock import verify
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.files import remove, replacing, sha256_of, write_json
from pneumo_tfds.program.progress import stage
from pneumo_tfds.program.wording import counted

FLOAT32_CONVOLUTIONS = (1, 4)
"""Convolutions that int8 leaves in float32, fewest first: see `export.graph.quantize.to_int8`."""

Compare = Callable[..., comparison.Report]
Conversion = Callable[[Path], onnx.ModelProto]


def export_run(folder: Path, options: ExportOptions, *, dataset: Path | None = None) -> Iterator[tuple[Path, str]]:
    """Export a finished run and yield each file with a summary of its comparison, as soon as it is done.

    `model.onnx` comes first, with `parity.json` and `golden.npz`. The smaller variants are made from it; one that is
    over its budget is not kept. A bill of materials that is there is written again, and it is said which signatures no
    longer fit.

    Args:
        folder: the run folder, with `model.keras`, `metrics.json` and `config.json`.
        options: which variants to make, and how to compare.
        dataset: the built dataset to compare on; the one named in `config.json` if None.

    Raises:
        InputError: the run is unfinished or its model cannot be exported.
        ParityError: `model.onnx` would differ from Keras. `parity.json` has the differences; no file was replaced.
    """
    run = RunFolder(folder)
    run.require_folder()
    with run.locked("export"), _told_if_unsigned(run):
        yield from _export(run, options, dataset)
        if run.bill_of_materials.exists():
            from export.bill_of_materials import write_bill_of_materials

            yield write_bill_of_materials(run), "the bill of materials, of these files"


@contextmanager
def _told_if_unsigned(run: RunFolder) -> Iterator[None]:
    """Say afterwards which signatures no longer fit."""
    before = {path: sha256_of(path) for path in run.path.glob("*.onnx")}
    try:
        yield
    finally:
        for path, digest in before.items():
            if not path.exists() or sha256_of(path) != digest:
                tell_if_unsigned(path)


def _export(run: RunFolder, options: ExportOptions, dataset: Path | None) -> Iterator[tuple[Path, str]]:
    if run.config.exists():
        run.import_own_network()
    with stage(f"Loading {run.model}"):
        model = convert.load_keras(run.model)
    side = convert.image_side(model)
    metrics, config = run.read_json(run.metrics), run.read_json(run.config)
    if (lock := verify(run)) and not lock.kept:
        print(f"note: the evaluation lock of {run.path} is {lock.summary}")
    metadata = run_metadata(run, metrics, side)
    dataset = parity_sample.dataset_folder(run.path, config, dataset)
    sample = parity_sample.take(dataset, SPLIT, side, options.parity_images)
    metadata = with_brightness(metadata, distribution(brightness_of(sample.images)))
    expected = convert.reference(model)
    compare = partial(
        comparison.compare,
        expected,
        images=sample.images,
        labels=sample.labels,
        threshold=metadata.threshold,
        limits=metadata.limits if metadata.four_way else None,
        threads=options.threads,
    )
    with stage("Converting the network to ONNX"):
        encoded = sealed(convert.to_onnx(model, metadata.to_props()))
    unchanged = run.onnx.is_file() and run.onnx.read_bytes() == encoded
    reports = _earlier_reports(run.parity) if unchanged else {}
    yield run.onnx, _write_float32(run, encoded, golden.make(expected, metadata), compare, reports)

    if options.fp16:
        from export.graph.quantize import to_fp16  # slow to import, and not always needed

        yield run.onnx_fp16, _write_variant(run, run.onnx_fp16, [to_fp16], compare, reports)
    if options.int8:
        from export.graph.quantize import to_int8

        data = replace(run.read_config().data, dataset=dataset)
        images = parity_sample.trained_on(data, options.calibration_images).images
        attempts = [partial(to_int8, images=images, float32_convolutions=count) for count in FLOAT32_CONVOLUTIONS]
        if "heatmap" in convert.output_names(model):
            attempts.append(
                partial(to_int8, images=images, float32_convolutions=FLOAT32_CONVOLUTIONS[-1], heatmap=False)
            )
        yield run.onnx_int8, _write_variant(run, run.onnx_int8, attempts, compare, reports)

    if options.any_size:
        yield run.onnx_any_size, _write_any_size(run, metadata, reports)


def _write_float32(
    run: RunFolder, encoded: bytes, examples: golden.Arrays, compare: Compare, reports: dict[str, Any]
) -> str:
    """Compare the float32 file under a temporary name, give it its own name if it passed, and return a summary."""
    with replacing(run.onnx) as candidate:
        candidate.write_bytes(encoded)
        report = compare(candidate)
        if report.passed:
            report.differences += golden.self_test(Classifier(candidate), examples, report.budget.probability)
        _add_report(run, reports, run.onnx, report.to_json())
        if not report.passed:
            more = f" and {len(report.differences) - 1} more" if len(report.differences) > 1 else ""
            raise comparison.ParityError(f"{run.onnx} was not written: {report.differences[0]}{more}; see {run.parity}")
        # Made from another model.onnx: they go before the new one gets its name.
        remove(*(file for file in (run.onnx_fp16, run.onnx_int8, run.onnx_any_size) if file.name not in reports))
    golden.write(run.golden, examples)
    return _summary(run.onnx, report)


def _write_variant(
    run: RunFolder, file: Path, attempts: Sequence[Conversion], compare: Compare, reports: dict[str, Any]
) -> str:
    """Keep the first attempt that is within the budget as `file`, or remove the file, and return a summary."""
    with tempfile.TemporaryDirectory() as temporary:
        candidate = Path(temporary, file.name)
        for attempt in attempts:
            with stage(f"Making {file.name}"):
                model = attempt(run.onnx)
            candidate.write_bytes(sealed(model))
            report = compare(candidate, budget=comparison.REDUCED)
            if report.passed:
                tolerance = golden.tolerance_of_reduced(Classifier(candidate), golden.read(run.golden))
                model.metadata_props.add(key="golden_tolerance", value=json.dumps(tolerance, sort_keys=True))
                model.metadata_props.sort(key=lambda each: each.key)
                candidate.write_bytes(sealed(model))
                break
        if report.passed:
            with replacing(file) as place:
                shutil.copyfile(candidate, place)
        else:
            file.unlink(missing_ok=True)
    _add_report(run, reports, file, report.to_json())
    if not report.passed:
        return f"not kept: {report.differences[0]}"
    without = "; without heat map, which differed too much" if report.heatmap_left_out else ""
    return _summary(file, report) + without


def _write_any_size(run: RunFolder, metadata: Metadata, reports: dict[str, Any]) -> str:
    """Write the float32 file with its preprocessing inside if it agrees on the golden files, and return a summary."""
    from export.graph.any_size import preprocessing, to_any_size
    from export.parity.picture_parity import compare_pictures

    with replacing(run.onnx_any_size) as candidate:
        float32 = run.onnx.read_bytes()
        parent = hashlib.sha256(float32).hexdigest()
        model = to_any_size(onnx.load_from_string(float32), metadata.image_size, metadata.framing, parent)
        candidate.write_bytes(sealed(model))
        pixels = bytes(preprocessing(metadata.image_size, metadata.framing).SerializeToString())
        report = compare_pictures(candidate, pixels, golden.read(run.golden))
        _add_report(run, reports, run.onnx_any_size, report)
        if report["differences"]:
            raise comparison.ParityError(f"{run.onnx_any_size} was not written: {report['differences'][0]}")
    return (
        f"{run.onnx_any_size.stat().st_size / 1e6:.2f} MB; on {report['files']} golden files pixels differ by up to "
        f"{counted(report['max_levels'], 'grey level')} and a probability by {report['max_abs_probability']:.2g}"
    )


def _summary(file: Path, report: comparison.Report) -> str:
    return f"{file.stat().st_size / 1e6:.2f} MB; {report.summary()}"


def _add_report(run: RunFolder, reports: dict[str, Any], file: Path, report: dict[str, Any]) -> None:
    reports[file.name] = report
    write_json(run.parity, {"split": SPLIT, "made_with": made_with(), "files": reports})


def _earlier_reports(path: Path) -> dict[str, Any]:
    """Return the reports of an earlier export of the same `model.onnx`, which are still valid."""
    try:
        files = json.loads(path.read_text(encoding="utf-8")).get("files", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return dict(files) if isinstance(files, dict) else {}
