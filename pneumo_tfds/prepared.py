"""Build a dataset unless it exists.

`prepare` is for programs. It keeps the datasets of different sources and split options in folders named by a
fingerprint, and returns at once if the dataset exists. `build` is for people. It builds into the folder that they name,
and `tfds.load("pneumo_tfds/gray_224", data_dir=...)` finds the dataset there.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from pneumo_tfds.phantoms.phantom_source import DEFAULT_COUNT, phantom_source
from pneumo_tfds.program.errors import InputError, reason_and_remedy
from pneumo_tfds.program.files import synchronize
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING, Framing, as_framing, config_suffix
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.program.locks import exclusive
from pneumo_tfds.program.quiet import errors_only, quiet_tensorflow
from pneumo_tfds.published import in_manual_folder
from pneumo_tfds.sources.inventory import Source
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.writing.build_options import BuildOptions
from pneumo_tfds.writing.build_summary import (
    NAME,
    READABLE,
    REBUILD,
    VERSION,
    BuildSummary,
    inspect,
    is_built,
    read_manifest,
    read_metadata,
)

__all__ = [
    "READABLE", "REBUILD", "VERSION", "BuildOptions", "BuildSummary", "build", "default_data_dir", "framing_of",
    "inspect", "is_built", "manual_source", "prepare", "read_manifest", "read_metadata",
]  # fmt: skip


def default_data_dir() -> Path:
    """Return TFDS's default: the environment variable `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Raises:
        InputError: this user has no home folder, as in some containers.
    """
    try:
        return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    except RuntimeError as error:
        raise InputError("there is no home folder to keep datasets in; give a folder by --data-dir") from error


def manual_source(data_dir: Path | None) -> Path | None:
    """Return the published X-rays in TFDS's manual folder below a root of datasets, None for TFDS's default.

    Returns:
        None if there are no X-rays.

    Raises:
        InputError: something else there looks like X-rays.
    """
    root = data_dir.expanduser() if data_dir is not None else default_data_dir()
    return in_manual_folder(root / "downloads" / "manual")  # where TFDS expects manual downloads


def prepare(
    source: str | os.PathLike[str] | Source | None,
    image_size: int = 224,
    data_dir: str | os.PathLike[str] | None = None,
    validation_fraction: float = SplitOptions.validation_fraction,
    *,
    framing: Framing = DEFAULT_FRAMING,
    whole: bool = False,
    workers: int | None = None,
    phantoms: int = DEFAULT_COUNT,
) -> Path:
    """Build the dataset of a source unless it exists, and return its folder.

    Args:
        source: folder, zip or CSV of X-rays, or what `open_source` returned; None draws phantoms.
        image_size: pixels a side, any from 16 to 2,048.
        data_dir: root of datasets; None for TFDS's default.
        validation_fraction: share of the training patients that are held out for validation.
        framing: how a picture that is not square becomes one: `squeeze`, `crop` or `pad`.
        whole: put all images into one split, named `test`, to score a model on them; any labelled images will do.
        workers: number of decoding threads; None for one per core.
        phantoms: number of phantoms to draw, if `source` is None.

    Returns:
        A folder `.../pneumo_tfds/gray_<size>/1.1.0` (or `phantom_<size>`; with another framing than squeeze
        `gray_<size>_<framing>`), for `tfds.builder_from_directory`.

    Raises:
        InputError: nothing can be built from this source; see `open_source`.
    """
    splits = SplitOptions(validation_fraction, whole=whole)
    if source is None:
        opened = phantom_source(phantoms)
    else:
        opened = source if isinstance(source, Source) else open_source(source)
    config = f"{'phantom' if source is None else 'gray'}_{image_size}{config_suffix(framing)}"
    fingerprint = opened.fingerprint(splits.as_text())
    root = Path(data_dir).expanduser() if data_dir is not None else default_data_dir()
    for place in (root, root / f"{NAME}-{fingerprint}"):
        folder = place / NAME / config / VERSION
        if is_built(folder) and read_metadata(folder).get("fingerprint") == fingerprint:
            return folder
    return build(opened, config, root / f"{NAME}-{fingerprint}", splits, BuildOptions(workers)).folder


def framing_of(dataset: Path) -> Framing:
    """Return the framing that a built dataset was made with; squeeze if it was made before there was a choice.

    Raises:
        InputError: its metadata.json is damaged, or names a framing that this program does not know.
    """
    try:
        return as_framing(read_metadata(dataset).get("framing", DEFAULT_FRAMING))
    except ValueError as error:
        raise InputError(f"{dataset / 'metadata.json'}: {error}; update the program, or {REBUILD}") from error


def build(
    source: Source | None,
    config: str,
    data_dir: Path,
    splits: SplitOptions | None = None,
    options: BuildOptions | None = None,
) -> BuildSummary:
    """Build a dataset with a config such as `gray_224` below the root `data_dir`, unless the same dataset is there.

    `source` is what `open_source` returned; None for phantoms if `config` names them, else for what is downloaded or,
    opened without options, in TFDS's manual folder.

    Raises:
        InputError: another dataset is there, the disk is full, or the source cannot be built.
    """
    splits, options = splits or SplitOptions(), options or BuildOptions()
    fingerprint = source.fingerprint(splits.as_text()) if source else ""
    folder = data_dir / NAME / config / VERSION
    there = os.path.exists(folder)  # before `is_built`: what another process finishes from now on is not replaced
    if is_built(folder) and not options.overwrite:
        _refuse_another(folder, fingerprint)
        return inspect(folder)
    quiet_tensorflow()
    started = time.perf_counter()
    try:
        with _replaced(folder) if there else nullcontext(data_dir) as root:
            _run_builder(root, source, config, splits, options, data_dir / "downloads")
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason_and_remedy(error, 'another --data-dir')}") from error
    if fingerprint:  # another process may have built it while this one waited for the lock
        _refuse_another(folder, fingerprint)
    return inspect(folder, time.perf_counter() - started)


def _refuse_another(folder: Path, fingerprint: str) -> None:
    metadata = read_metadata(folder)
    if metadata.get("fingerprint") != fingerprint:
        held = f"{folder.parent.name} built from {metadata.get('source', 'an unknown source')}"
        raise InputError(f"{folder}: holds {held}; pass --overwrite or another --data-dir")


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """Yield a root to build in, then swap the dataset there and the old one; if that fails, the old one is put back."""
    # The lock comes first, because taking it removes folders of this name.
    with exclusive(folder), tempfile.TemporaryDirectory(f"_{VERSION}", "incomplete.", folder.parent) as place:
        yield Path(place)
        old = folder.rename(Path(place) / "old")
        try:
            Path(place).joinpath(*folder.parts[-3:]).rename(folder)
        except OSError:
            old.rename(folder)
            raise
        synchronize(folder.parent)  # before the old one is deleted


def _run_builder(
    root: Path, source: Source | None, config: str, splits: SplitOptions, options: BuildOptions, downloads: Path
) -> None:
    import tensorflow_datasets as tfds

    from pneumo_tfds.pneumo_tfds_dataset_builder import Builder, make_config

    tfds.disable_progress_bar()  # our commands print what a user needs
    download_config = tfds.download.DownloadConfig(
        register_checksums=options.register_checksums,
        try_download_gcs=False,  # TFDS would look for our datasets in Google's bucket of built ones
    )
    if options.beam_runner is not None:
        try:
            from apache_beam.options.pipeline_options import PipelineOptions
        except ModuleNotFoundError as error:
            raise InputError(f"--beam-runner needs Apache Beam; {how_to_install('beam')}") from error
        flags = [flag if flag.startswith("-") else f"--{flag}" for flag in options.beam_options]
        download_config = download_config.replace(beam_runner=options.beam_runner, beam_options=PipelineOptions(flags))
    with errors_only("absl"):
        builder = Builder(
            source=source, options=splits, workers=options.workers, download=options.download,
            look_for_near_identical=options.look_for_near_identical,
            data_dir=root, config=make_config(config),
        )  # fmt: skip
        builder.download_and_prepare(download_dir=downloads, download_config=download_config)
