"""`python -m export.recalibrate MODEL.onnx --source LABELLED --out NEW.onnx`: another place's threshold and limits.

The network stays; what is decided after training is decided again on local images, without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from annotated_types import Ge, Gt, Le, Lt, Unit

from pneumo_tfds.program.bounds import Bounded, Count, Seed
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.program.overwriting import refuse_overwriting
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.source_options import SourceOptions

if TYPE_CHECKING:
    from export.inference.onnx_metadata import Metadata
    from export.recalibration.labelled_images import LabelledImages
    from export.recalibration.local_decision import DecisionRequest, Figure, LocalDecision
    from pipeline.evaluation.predictions import Predictions

LEAST_PATIENTS = 20
"""Patients of each class. With 20 the standard error of a sensitivity of 0.9 is 0.07, and of the bias about 0.3."""
FEW_PATIENTS = 100
"""Patients of each class; with fewer it is said that they are few. Without an error 100 show an NPV of 0.97."""

ROWS = {
    "auroc": "AUROC", "brier": "Brier score", "ece": "calibration error", "sensitivity": "sensitivity",
    "specificity": "specificity", "accuracy": "accuracy", "unsuitable": "UNSUITABLE", "uncertain": "UNCERTAIN",
    "certain_accuracy": "right, of certain ones", "certain_npv": "NPV, of certain ones",
    "certain_ppv": "PPV, of certain ones",
}  # fmt: skip
"""Figures that are shown, and how they are called."""


@dataclass(frozen=True, kw_only=True)
class Recalibrate(SourceOptions, Bounded, Command):
    """Adapt a model to another hospital with some hundred labelled X-rays of it.

    Calibration, threshold, limits and familiarity of an ONNX file are decided anew; the network stays. Needs no
    TensorFlow. Refuses with exit code 2 where the model cannot tell the classes apart.
    """

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file of a run, in float32 or int8."""
    source: Path
    """Labelled X-rays: folder, zip or CSV. All of its images are used, whatever split they are in."""
    out: Path
    """The new .onnx file."""
    threshold_rule: str | None = None
    """How the threshold is chosen: youden, or for example sensitivity>=0.95. Default: the rule that the file has."""
    guarantee: str = "auto"
    """What certain answers must guarantee, such as npv>=0.95,ppv>=0.95. auto asks for 0.95, or for 0.9 or 0.8 where
    there are too few patients for that; with still fewer it guarantees nothing, and says so. none: no answer is
    UNCERTAIN."""
    prevalence: Annotated[float, Gt(0), Lt(1), Unit("(a fraction)")] = 0.5
    """Fraction of patients with pneumonia for which the guarantee is stated."""
    force: bool = False
    """Write the file even if AUROC may be 0.5 or less, where no threshold helps."""
    resamples: Annotated[int, Ge(100), Le(100_000)] = 2000
    """Bootstrap resamples of patients behind every 95 % interval."""
    seed: Seed = 0
    """Seed of the fifths of the patients, and of the bootstrap."""
    batch_size: Annotated[int, Ge(1)] = 16
    """Images per call of the model."""
    threads: Count | None = None
    """Threads for decoding and for the model. Default: one per core."""


def recalibrate(command: Recalibrate) -> None:
    """Print what the file does on the local images before and after, and write the new file."""
    try:
        import onnx

        from export.recalibration import labelled_images, local_decision
        from export.recalibration.graph_values import CalibratedGraph
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise InputError(f"recalibration needs {missing}; {how_to_install('recalibrate')}") from error
    from export.inference.classifier import Classifier
    from export.inference.content_digest import tell_if_unchecked
    from pipeline.evaluation.intervals import fewest_patients
    from pneumo_tfds.program.files import try_to_write
    from pneumo_tfds.sources.inspection import short_form
    from pneumo_tfds.sources.keeping import keep_source
    from pneumo_tfds.sources.opening import open_source

    classifier = Classifier(command.model, threads=command.threads)
    refuse_overwriting({"--out": command.out}, (classifier.path, command.source, *command.corrections))
    request = _decision_request(command, classifier.metadata)
    graph = CalibratedGraph(onnx.load(classifier.path), str(command.model))
    source = open_source(command.source, command)
    keep_source({"--out": command.out}, source, command)
    try_to_write(command.out)
    print("\n".join(short_form(source)), flush=True)
    found = labelled_images.read_images(source, classifier, command.threads)
    _tell_what_is_left_out(found)
    fewest = fewest_patients(found.table.labels, found.table.patients)
    if fewest < LEAST_PATIENTS:
        raise InputError(
            f"{source.where}: {counted(fewest, 'patient')} of one class, too few to recalibrate on; "
            f"{LEAST_PATIENTS} of each are the least, {FEW_PATIENTS} are better"
        )
    scores = labelled_images.score(graph, found.pixels, batch_size=command.batch_size, threads=command.threads)
    table = labelled_images.answered_by(classifier, found, command.batch_size)
    figures_of = partial(local_decision.figures_of, resamples=command.resamples, seed=command.seed)
    before = figures_of(local_decision.as_it_is(table, classifier.metadata))
    forced = _require_ranking(before["auroc"], command)
    decision = local_decision.decide_here(found.table, scores, request)
    decision = replace(decision, doubt=replace(decision.doubt, guarantee=decision.doubt.guarantee + forced))
    answered, same = local_decision.cross_fit(found.table, scores, request, decision, command.seed)
    after = figures_of(answered) | {"auroc": before["auroc"]}  # the order of the images stays
    if not classifier.content.has_digest:
        tell_if_unchecked(classifier.path)
    print("\n".join(_rows(before, after)))
    print("recalibrated: each fifth of the patients by what the other four decide; the file is decided on all of them")
    print("note: this holds for images that the model was not trained on; the file cannot tell whether these are new")
    if found.sha256 in [entry.get("images_sha256") for entry in classifier.metadata.recalibrated]:
        print("note: these images decided the file before, so its figures as it is are not those of other images")
    for note in _notes(command, decision, before=before, after=after, fewest=fewest, same=same):
        print(f"note: {note}")
    here = decision.apply(found.table, scores)
    lineage = _lineage(classifier.content.sha256, command.source, found, decision, before["auroc"])
    metadata = _metadata(classifier.metadata, lineage, decision=decision, figures=after, found=found, here=here)
    props = graph.props | metadata.to_props()
    _write(command, graph.with_values(decision.temperature, decision.bias, decision.levels, props), found, here)
    print(f"{command.out}: {_summary(decision)}")


def _decision_request(command: Recalibrate, metadata: Metadata) -> DecisionRequest:
    """Read the rule and the guarantee; raises InputError that names the flag."""
    from export.recalibration.local_decision import DecisionRequest
    from pipeline.config.guarantee import candidates
    from pipeline.config.threshold_rule import Rule

    rule = command.threshold_rule or metadata.threshold_rule.partition(" (")[0]
    try:
        parsed = str(Rule.parse(rule))
    except InputError as error:
        of_the_file = "" if command.threshold_rule else f"{command.model} has another one: "
        raise InputError(f"--threshold-rule: {of_the_file}{error}") from error
    try:
        guarantees = candidates(command.guarantee)
    except InputError as error:
        raise InputError(f"--guarantee: {error}") from error
    return DecisionRequest(parsed, guarantees, command.guarantee, command.prevalence)


def _tell_what_is_left_out(found: LabelledImages) -> None:
    for why in found.unreadable:
        print(f"left out: {why}")
    for why, count in found.left_out.items():
        print(f"left out: {counted(count, 'image')} ({why})")


def _require_ranking(auroc: Figure, command: Recalibrate) -> str:
    """Refuse images that the model may not tell apart, without --force; return what the guarantee then says of them."""
    value, interval = auroc
    if value is None or (interval[0] if interval else value) > 0.5:
        return ""
    shown = f"AUROC {value:.3f}" + (f", 95 % interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else "")
    if not command.force:
        raise InputError(
            f"{command.model} may not tell NORMAL from PNEUMONIA on {command.source} at all ({shown}), and no "
            "threshold can repair that; train on such X-rays, or write the file all the same with --force"
        )
    from export.inference.onnx_metadata import FORCED

    print(f"note: {shown}: these images may not be told apart at all; the file is written because of --force")
    return f"; {FORCED} although the images may not be told apart at all ({shown})"


def _rows(before: Mapping[str, Figure], after: Mapping[str, Figure]) -> list[str]:
    """Return the table of figures before and after, with 95 % intervals."""

    def cell(figure: Figure | None) -> str:
        if figure is None or figure[0] is None:
            return "-"
        return f"{figure[0]:.3f}" + ("" if figure[1] is None else f" [{figure[1][0]:.3f}, {figure[1][1]:.3f}]")

    rows = (f"{words:<24}{cell(before.get(name)):<24}{cell(after.get(name))}" for name, words in ROWS.items())
    return [f"{'':<24}{'as it is':<24}recalibrated", *rows]


def _balanced(figures: Mapping[str, Figure]) -> float:
    return sum(figures[name][0] or 0.0 for name in ("sensitivity", "specificity"))


def _notes(
    command: Recalibrate,
    decision: LocalDecision,
    *,
    before: Mapping[str, Figure],
    after: Mapping[str, Figure],
    fewest: int,
    same: int,
) -> Iterator[str]:
    """Yield what speaks against the new file.

    The smaller class has `fewest` patients, and `same` fifths of them show the guarantee that all do (`cross_fit`).
    """
    from export.recalibration.local_decision import FOLDS

    if fewest < FEW_PATIENTS:
        yield f"{fewest} patients of a class are few; the intervals say how little they tell"
    if same < FOLDS:
        times = f"{FOLDS - same} of {FOLDS} times"
        yield f"{times} four fifths of the patients show another guarantee than all do; the fifth got that"
    if _balanced(after) <= _balanced(before):
        yield "sensitivity and specificity together are not better than of the file as it is; consider to keep it"
    if decision.levels is None:
        yield f"{command.model} has no familiarity, so no image will be UNSUITABLE by its looks; train anew for it"


def _lineage(
    parent: str, source: Path, found: LabelledImages, decision: LocalDecision, auroc: Figure
) -> Mapping[str, Any]:
    """Return what the new file says of its origin; no file and no patient is named."""
    from pneumo_tfds.sources.identifiers import is_unknown

    return {
        "parent_sha256": parent,
        "source": "".join(filter(str.isprintable, source.resolve().name)),
        "images": len(found.table),
        "patients": len({patient for patient in found.table.patients.tolist() if not is_unknown(patient)}),
        "images_sha256": found.sha256,
        "temperature": round(decision.temperature, 6),
        "bias": round(decision.bias, 6),
        "auroc": [round(value, 6) for value in (auroc[0] or 0.0, *(auroc[1] or ()))],
    }


def _metadata(
    earlier: Metadata,
    lineage: Mapping[str, Any],
    *,
    decision: LocalDecision,
    figures: Mapping[str, Figure],
    found: LabelledImages,
    here: Predictions,
) -> Metadata:
    """Return the metadata of the new file; `here` is what it answers to the images that were found."""
    from export.inference.answer_reference import brightness_of, distribution, reference_of

    metadata = replace(
        earlier,
        version=2,
        threshold=decision.point.threshold,
        threshold_rule=f"{decision.point.rule} (chosen on {counted(len(here), 'local image')})",
        **asdict(decision.doubt),
        metrics={"local": {name: round(figure[0], 6) for name, figure in figures.items() if figure[0] is not None}},
        recalibrated=(*earlier.recalibrated, lineage),
        parent_sha256=lineage["parent_sha256"],
    )
    familiarities = None if decision.levels is None else here.familiarity.tolist()
    reference = reference_of(metadata.limits, here.probabilities.tolist(), familiarities)
    return replace(metadata, reference={**reference, "brightness": distribution(brightness_of(found.pixels))})


def _summary(decision: LocalDecision) -> str:
    """Return the threshold, the limits and the guarantee in words."""
    doubt, familiarity = decision.doubt, decision.doubt.familiarity_threshold
    unsuitable = "" if familiarity is None else f", UNSUITABLE below familiarity {familiarity:g}"
    certain = f"NORMAL below {doubt.certain_normal_below:.4g}, PNEUMONIA from {doubt.certain_pneumonia_from:.4g}"
    return f"threshold {decision.point.threshold:g}; {certain}{unsuitable}; guarantee: {doubt.guarantee}"


def _write(command: Recalibrate, data: bytes, found: LabelledImages, expected: Predictions) -> None:
    """Write the file, once a `Classifier` that opened it gives the probabilities and familiarities in `expected`.

    Raises:
        ParityError: it gives others; nothing is written.
    """
    import numpy as np

    from export.inference.classifier import Classifier
    from export.parity.comparison import FLOAT32, ParityError
    from export.recalibration.labelled_images import answered_by
    from pneumo_tfds.program.files import replacing

    with replacing(command.out) as temporary:
        temporary.write_bytes(data)
        given = answered_by(Classifier(temporary, threads=command.threads), found, command.batch_size)
        for name in ("probabilities", "familiarity"):
            gap = float(np.nan_to_num(np.abs(getattr(given, name) - getattr(expected, name))).max())
            if gap > (FLOAT32.probability if name == "probabilities" else FLOAT32.familiarity):
                raise ParityError(f"{command.out} was not written: its {name} differ by {gap:.2g} from those computed")


if __name__ == "__main__":
    run(Recalibrate, recalibrate, prog="python -m export.recalibrate")
