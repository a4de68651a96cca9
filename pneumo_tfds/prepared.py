"""Build a dataset unless it is there.

`prepare` is for programs: it keeps datasets of different sources and split options apart, in folders named by a
fingerprint, and returns at once when the dataset exists. `build` is for people: it builds to the folder they name,
where `tfds.load("pneumo_tfds/gray_224", data_dir=...)` finds it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pneumo_tfds.phantoms.phantom_source import DEFAULT_COUNT, DEFAULT_SEED, phantom_source
from pneumo_tfds.program.errors import InputError, reason_and_remedy
from pneumo_tfds.program.locks import exclusive
from pneumo_tfds.program.quiet import quiet_tensorflow, quiet_tfds
from pneumo_tfds.sources.inventory import Source
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.splits.shard_plan import Options
from pneumo_tfds.writing.build_summary import Built, inspect, is_built, read_metadata

__all__ = ["Built", "How", "build", "default_data_dir", "inspect", "is_built", "prepare", "read_metadata"]

VERSION = "1.0.0"
NAME = "pneumo_tfds"


@dataclass(frozen=True)
class How:
    """The way a dataset is built, which does not change a byte of it."""

    workers: int | None = None
    """Decoding threads; None for one per core."""
    overwrite: bool = False
    """Replace a dataset of another source or other options; the old one stays until the new one is whole."""
    download: bool = False
    """Fetch the published archive where no source is named and TFDS's manual folder has none."""
    register_checksums: bool = False
    """Record size and SHA-256 of what is downloaded, for later downloads to be checked against."""
    beam_runner: str | None = None
    """Run on Apache Beam, for example `DirectRunner`; needs the `beam` extra."""
    beam_options: tuple[str, ...] = ()
    """Options of Beam's pipeline, such as `direct_num_workers=4`."""


def default_data_dir() -> Path:
    """TFDS's own: the environment's `TFDS_DATA_DIR` or `~/tensorflow_datasets`."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def prepare(
    source: str | os.PathLike[str] | None,
    image_size: int = 224,
    data_dir: str | os.PathLike[str] | None = None,
    validation_fraction: float = 0.2,
    *,
    workers: int | None = None,
    phantoms: int = DEFAULT_COUNT,
    seed: int = DEFAULT_SEED,
) -> Path:
    """Build the dataset of a source unless it is built, and return its folder.

    Args:
        source: folder, zip or CSV of X-rays; None draws phantoms.
        image_size: pixels a side, any from 16 to 2,048.
        data_dir: where datasets live; None is TFDS's own.
        validation_fraction: share of the training patients that validate.
        workers: decoding threads; None for one per core.
        phantoms: how many to draw, if `source` is None.
        seed: of the phantoms.

    Returns:
        A folder `.../pneumo_tfds/gray_<size>/1.0.0` (`phantom_<size>`), as `tfds.builder_from_directory` takes it.

    Raises:
        InputError: nothing can be built from this source; see `open_source`.
    """
    options = Options(validation_fraction)
    opened = phantom_source(phantoms, seed) if source is None else open_source(source)
    config = f"{'phantom' if source is None else 'gray'}_{image_size}"
    fingerprint = opened.fingerprint(options)
    root = Path(data_dir).expanduser() if data_dir is not None else default_data_dir()
    for place in (root, root / f"{NAME}-{fingerprint}"):
        folder = place / NAME / config / VERSION
        if is_built(folder) and read_metadata(folder).get("fingerprint") == fingerprint:
            return folder
    return build(opened, config, root / f"{NAME}-{fingerprint}", options, How(workers)).folder


def build(
    source: Source | None, config: str, data_dir: Path, options: Options | None = None, how: How | None = None
) -> Built:
    """Build a dataset into `data_dir`, unless this very dataset is there.

    Args:
        source: what `open_source` found; None lets the builder look into TFDS's manual folder, or draw phantoms.
        config: such as `gray_224`.
        data_dir: root of datasets.
        options: how to split.
        how: threads, overwriting, downloading, Beam.

    Raises:
        InputError: another dataset is there, the disk is full, or the source cannot be built.
    """
    options, how = options or Options(), how or How()
    folder = data_dir / NAME / config / VERSION
    if is_built(folder) and not how.overwrite:
        if source is not None and _is_of(folder, source, options):
            return inspect(folder)
        raise _other(folder)
    quiet_tensorflow()
    started = time.perf_counter()
    try:
        if folder.exists():
            _replace(folder, source, config, options, how, data_dir)
        else:
            _run_builder(data_dir, source, config, options, how, data_dir)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason_and_remedy(error, 'another --data-dir')}") from error
    if source is not None and not _is_of(folder, source, options):
        raise _other(folder)  # built by another process, for whose lock this one waited
    return inspect(folder, time.perf_counter() - started)


def _is_of(folder: Path, source: Source, options: Options) -> bool:
    return bool(read_metadata(folder).get("fingerprint") == source.fingerprint(options))


def _other(folder: Path) -> InputError:
    where = read_metadata(folder).get("source", "an unknown source")
    return InputError(
        f"{folder}: holds {folder.parent.name} built from {where}; pass --overwrite or another --data-dir"
    )


def _replace(folder: Path, source: Source | None, config: str, options: Options, how: How, downloads: Path) -> None:
    beside = partial(tempfile.TemporaryDirectory, prefix="incomplete.", suffix=f"_{VERSION}", dir=folder.parent)
    with exclusive(folder), beside() as place:  # in this order: taking the lock clears litter of that name
        _run_builder(Path(place), source, config, options, how, downloads)
        old = folder.rename(Path(place) / "old")
        try:
            (Path(place) / NAME / config / VERSION).rename(folder)
        except OSError:
            old.rename(folder)
            raise


def _run_builder(
    data_dir: Path, source: Source | None, config: str, options: Options, how: How, downloads: Path
) -> None:
    import tensorflow_datasets as tfds

    from pneumo_tfds.pneumo_tfds_dataset_builder import Builder, make_config

    download_config = tfds.download.DownloadConfig(
        register_checksums=how.register_checksums, try_download_gcs=False
    )  # TFDS would ask Google's bucket of built datasets whether it has ours
    if how.beam_runner is not None:
        flags = _pipeline_options(how.beam_options)
        download_config = download_config.replace(beam_runner=how.beam_runner, beam_options=flags)
    with quiet_tfds():
        builder = Builder(
            source=source,
            options=options,
            workers=how.workers,
            download=how.download,
            data_dir=data_dir,
            config=make_config(config),
        )
        builder.download_and_prepare(download_dir=downloads / "downloads", download_config=download_config)


def _pipeline_options(flags: Sequence[str]) -> Any:
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise InputError("--beam-runner needs Apache Beam; install it with: pip install 'pneumo[beam]'") from error
    return PipelineOptions([flag if flag.startswith("-") else f"--{flag}" for flag in flags])
