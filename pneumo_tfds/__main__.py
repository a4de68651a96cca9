"""`python -m pneumo_tfds build|audit|show|phantoms`: the data package's commands.

Nothing heavy is imported before an action starts, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pneumo_tfds.program.command import Command, run_one_of
from pneumo_tfds.program.errors import InputError, require

MOST_WORKERS, LAST_SEED = 1024, 2**31 - 1


def _check(value: int | None, flag: str, most: int) -> None:
    require(value is None or 0 <= value <= most, flag, value, f"from 0 to {most}")


@dataclass(frozen=True, kw_only=True)
class BuildConfig(Command):
    """Decode a source once and write it as sharded TFRecords that TensorFlow Datasets loads."""

    source: Path | None = None
    """Folder or zip in Kaggle's layout, or a CSV of path,label[,patient]; TFDS's manual folder by default."""
    config: str = "gray_224"
    """gray_SIZE for X-rays, phantom_SIZE for drawn images; any SIZE from 16 to 2048 pixels."""
    data_dir: Path | None = None
    """Root of datasets; TFDS's own (~/tensorflow_datasets) by default."""
    validation_fraction: float = 0.2
    """Share of the training patients that validate."""
    test_fraction: float = 0.15
    """Share of all patients that test, if the source has no test folder."""
    workers: int | None = None
    """Decoding threads; one per core by default. Does not change the result."""
    count: int = 1000
    """Number of phantoms, for phantom configs."""
    seed: int = 0
    """Of the phantoms."""
    download: bool = False
    """Fetch the published archive (1.2 GB) if no source is given and TFDS's manual folder has none."""
    register_checksums: bool = False
    """Record what is downloaded, so that later downloads are checked against it."""
    overwrite: bool = False
    """Replace a dataset of that name that was built from something else."""
    beam_runner: str | None = None
    """Build on Apache Beam, for example DirectRunner (needs the beam extra)."""
    beam_options: tuple[str, ...] = ()
    """Options of Beam's pipeline, such as direct_num_workers=4 direct_running_mode=multi_processing."""

    def __post_init__(self) -> None:
        _check(self.workers, "workers", MOST_WORKERS)
        _check(self.seed, "seed", LAST_SEED)


@dataclass(frozen=True, kw_only=True)
class AuditConfig(Command):
    """Say what is in a source and what is wrong with it. Leaves with 1 if images leak between splits or labels."""

    source: Path
    """Folder, zip or CSV."""
    json: Path | None = None
    """Write the findings here as JSON."""
    html: Path | None = None
    """Write a page with pictures here."""
    validation_fraction: float = 0.2
    """Share of the training patients that would validate."""
    workers: int | None = None
    """Decoding threads; one per core by default."""

    def __post_init__(self) -> None:
        _check(self.workers, "workers", MOST_WORKERS)


@dataclass(frozen=True, kw_only=True)
class ShowConfig(Command):
    """Draw the class distribution by split and a labelled contact sheet of examples."""

    out: Path
    """Folder for classes.png and examples.png."""
    source: Path | None = None
    """Folder, zip or CSV; phantoms without it."""
    validation_fraction: float = 0.2
    """Share of the training patients that validate."""
    seed: int = 0
    """Which examples are shown."""

    def __post_init__(self) -> None:
        _check(self.seed, "seed", LAST_SEED)


@dataclass(frozen=True, kw_only=True)
class PhantomsConfig(Command):
    """Draw phantoms, which are not medical images, as JPEG files in Kaggle's layout."""

    out: Path
    """A new or empty folder."""
    count: int = 1000
    """How many."""
    seed: int = 0
    """Another seed draws other phantoms."""

    def __post_init__(self) -> None:
        _check(self.seed, "seed", LAST_SEED)


def build(config: BuildConfig) -> None:
    """Build, and say how fast, how much, and what was left out."""
    from pneumo_tfds import prepared
    from pneumo_tfds.phantoms.phantom_source import phantom_source
    from pneumo_tfds.sources.opening import open_source
    from pneumo_tfds.splits.shard_plan import Options
    from pneumo_tfds.writing.build_summary import summary

    phantom = config.config.startswith("phantom_")
    if phantom and config.source is not None:
        raise InputError("--config phantom_SIZE draws its images; leave --source out or use gray_SIZE")
    source = phantom_source(config.count, config.seed) if phantom else None
    if config.source is not None:
        source = open_source(config.source)
    built = prepared.build(
        source,
        config.config,
        (config.data_dir or prepared.default_data_dir()).expanduser(),
        Options(config.validation_fraction, config.test_fraction),
        prepared.How(
            config.workers,
            config.overwrite,
            config.download,
            config.register_checksums,
            config.beam_runner,
            config.beam_options,
        ),
    )
    print("\n".join(summary(built)))


def audit(config: AuditConfig) -> int:
    """Audit, print the findings, and return 1 if there is a leak."""
    from pneumo_tfds.audit import audit as auditing

    return auditing.run(config.source, config.json, config.html, config.validation_fraction, config.workers)


def show(config: ShowConfig) -> None:
    """Draw the pictures and name them."""
    from pneumo_tfds.audit.contact_sheet import draw

    for path in draw(config.source, config.out, config.validation_fraction, config.seed):
        print(path)


def phantoms(config: PhantomsConfig) -> None:
    """Draw the phantoms and say where they are."""
    from pneumo_tfds.phantoms.phantom_source import write_phantoms

    paths = write_phantoms(config.out, config.count, config.seed)
    print(f"{len(paths)} phantoms (not medical images) in {config.out}")


if __name__ == "__main__":
    run_one_of(
        {
            "build": (BuildConfig, build),
            "audit": (AuditConfig, audit),
            "show": (ShowConfig, show),
            "phantoms": (PhantomsConfig, phantoms),
        },
        prog="python -m pneumo_tfds",
    )
