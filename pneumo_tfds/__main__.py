"""`python -m pneumo_tfds inspect|build|list|audit|show|phantoms`: understand a source, build a dataset, draw images.

Heavy modules are imported when the work starts, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pneumo_tfds.program.bounds import Bounded, Count, Seed
from pneumo_tfds.program.command import Command, own_flags_first, run_one_of
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.installed import require_installed
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.splits.options import Fraction, SplitOptions
from pneumo_tfds.writing.build_options import BuildOptions

UNDECIDED = 1
"""Exit code of `inspect` if something about the source needs a decision."""


@own_flags_first
@dataclass(frozen=True, kw_only=True)
class BuildConfig(BuildOptions, SplitOptions, SourceOptions, Command):
    """Decode a source once and write it as sharded TFRecords that TensorFlow Datasets loads."""

    source: Path | None = None
    """Folder or zip with folders NORMAL and PNEUMONIA, a known data set, or a CSV of path,label[,patient]. Default:
    TFDS's manual folder."""
    config: str = "gray_224"
    """gray_SIZE for X-rays, phantom_SIZE for drawn images, with any SIZE from 16 to 2048 pixels. Pictures are squeezed
    to a square; gray_SIZE_crop takes their centred square instead, gray_SIZE_pad all of them with black beside it."""
    data_dir: Path | None = None
    """Root folder of datasets. Default: TFDS's own, ~/tensorflow_datasets."""
    count: int = 1000
    """Number of phantoms, for phantom configs."""
    seed: Seed = 0
    """Seed of the phantoms."""
    workers: Count | None = None
    """Number of decoding threads, which does not change the result. Default: one per core."""


@dataclass(frozen=True, kw_only=True)
class _Source(Command):
    """Which source; a base class, so that `--help` lists it before the flags that say how to understand it."""

    source: Path
    """Folder, zip or CSV of X-rays."""


@dataclass(frozen=True, kw_only=True)
class InspectConfig(SourceOptions, _Source):
    """Show what is understood of a source before anything is decoded: classes, splits and patients, what is left out.

    The exit code is 1 if a decision is needed before a dataset can be built, or none can be built.
    """

    json: Path | None = None
    """Write what was understood to this JSON file."""


@dataclass(frozen=True, kw_only=True)
class AuditConfig(SourceOptions, _Source, Bounded):
    """Report what a source holds and what is wrong with it. The exit code is 1 if images leak between splits."""

    json: Path | None = None
    """Write the findings to this JSON file."""
    html: Path | None = None
    """Write a page with charts and pictures to this file (needs the train extra)."""
    validation_fraction: Fraction = SplitOptions.validation_fraction
    """Fraction of the training patients that a build would hold out for validation."""
    workers: Count | None = None
    """Number of decoding threads. Default: one per core."""


@dataclass(frozen=True, kw_only=True)
class ShowConfig(SourceOptions, Command, Bounded):
    """Draw the class distribution by split and a labelled contact sheet of examples (needs the train extra)."""

    out: Path | None = None
    """Folder for classes.png and examples.png. Default: show-NAME here, after the name of the source."""
    source: Path | None = None
    """Folder, zip or CSV of X-rays. Default: phantoms."""
    validation_fraction: Fraction = SplitOptions.validation_fraction
    """Fraction of the training patients held out for validation."""
    seed: Seed = 0
    """Seed that chooses the examples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_a_source("--source", named=self.source is not None)


@dataclass(frozen=True, kw_only=True)
class ListConfig(Command):
    """List the datasets that were built: source, images, size on disk. A folder can be removed to make room."""

    data_dir: Path | None = None
    """Root folder of datasets. Default: TFDS's own, ~/tensorflow_datasets."""


@dataclass(frozen=True, kw_only=True)
class PhantomsConfig(Command, Bounded):
    """Draw phantoms, which are not medical images, as JPEG files in Kaggle's layout."""

    out: Path
    """A new or empty folder."""
    count: int = 1000
    """Number of phantoms."""
    seed: Seed = 0
    """Seed of the drawings."""


def inspect(config: InspectConfig) -> int:
    """Print what is understood of the source, and return 1 if something needs a decision."""
    from pneumo_tfds.sources.inspection import describe, report
    from pneumo_tfds.sources.keeping import keep_source
    from pneumo_tfds.sources.opening import require_both_classes, understand
    from pneumo_tfds.splits.assignment import assign

    source = understand(config.source, config)
    keep_source({"--json": config.json}, source, config)
    print("\n".join(describe(source)))
    if config.json:
        write_json(config.json, report(source))
    try:
        require_both_classes(source)
        if {image.official_split for image in source.images} != {"test"}:  # on which a model can be scored
            assign(source.images, validation=source.validation)
    except InputError as error:
        print(f"no dataset can be built: {error}")
        return UNDECIDED
    undecided = [] if config.yes else source.survey.questions
    return UNDECIDED if undecided or (config.strict and source.survey.warnings) else 0


def build(config: BuildConfig) -> None:
    """Build the dataset and print a summary."""
    from pneumo_tfds import prepared
    from pneumo_tfds.phantoms.phantom_source import phantom_source
    from pneumo_tfds.sources.inspection import short_form
    from pneumo_tfds.sources.opening import open_source
    from pneumo_tfds.writing.build_summary import summary

    require_installed("tensorflow")
    phantom = config.config.startswith("phantom_")
    if phantom and config.source is not None:
        raise InputError("--config phantom_SIZE draws its images; leave --source out or use gray_SIZE")
    if config.corrections and not config.source:
        raise InputError("--corrections needs --source, the images that it corrects")
    data_dir = (config.data_dir or prepared.default_data_dir()).expanduser()
    path = None if phantom else config.source or prepared.manual_source(data_dir)
    config.require_a_source("--source", named=path is not None, drawn=phantom)
    opened = open_source(path, config) if path else None
    if opened:
        print("\n".join(short_form(opened)), flush=True)
    source = phantom_source(config.count, config.seed) if phantom else opened
    built = prepared.build(source, config.config, data_dir, splits=config, options=config)
    print("\n".join(summary(built)))


def audit(config: AuditConfig) -> int:
    """Audit the source, print a summary, and return 1 if there is a leak."""
    from pneumo_tfds.audit import audit as auditing

    splits = SplitOptions(config.validation_fraction)
    return auditing.run(config.source, config.json, config.html, splits, config.workers, config)


def show(config: ShowConfig) -> None:
    """Draw the pictures and print their paths."""
    from pneumo_tfds.audit.contact_sheet import draw
    from pneumo_tfds.sources.keeping import refuse_inside

    out = config.out or Path(f"show-{config.source.resolve().stem if config.source else 'phantoms'}")
    refuse_inside("--out", out, config.source)
    for path in draw(config.source, config, out, SplitOptions(config.validation_fraction), config.seed):
        print(path)


def list_datasets(config: ListConfig) -> None:
    """Print a line for each dataset."""
    from pneumo_tfds import prepared
    from pneumo_tfds.writing.build_summary import describe_built

    data_dir = (config.data_dir or prepared.default_data_dir()).expanduser()
    if data_dir.exists() and not data_dir.is_dir():
        raise InputError(f"{data_dir} is no folder; pass the root folder of datasets")
    print("\n".join(describe_built(data_dir)) or f"no datasets in {data_dir}")


def phantoms(config: PhantomsConfig) -> None:
    """Draw the phantoms and print where they are."""
    from pneumo_tfds.phantoms.phantom_source import write_phantoms

    paths = write_phantoms(config.out, config.count, config.seed)
    print(f"{len(paths):,} phantoms (not medical images) in {config.out}")


if __name__ == "__main__":
    run_one_of(
        {
            "inspect": (InspectConfig, inspect),
            "build": (BuildConfig, build),
            "list": (ListConfig, list_datasets),
            "audit": (AuditConfig, audit),
            "show": (ShowConfig, show),
            "phantoms": (PhantomsConfig, phantoms),
        },
        prog="python -m pneumo_tfds",
    )
