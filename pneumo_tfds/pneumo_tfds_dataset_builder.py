"""The builder for TensorFlow Datasets, used by `tfds.load("pneumo_tfds/gray_224")`, `tfds build` and this project.

`import pneumo_tfds` registers it. X-rays come from `source` or from TFDS's manual folder; phantoms are drawn.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_builder

from pneumo_tfds.phantoms.phantom_source import phantom_source
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import is_local, synchronize, synchronize_tree
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING, FRAMINGS, Framing, config_suffix
from pneumo_tfds.program.locks import exclusive
from pneumo_tfds.program.progress import track
from pneumo_tfds.published import MANUAL_NAMES, fetch, in_manual_folder
from pneumo_tfds.sources.inventory import LABELS, Source, manifest
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.splits.near_duplicates import SIDE
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.splits.shard_plan import make_plan
from pneumo_tfds.writing import build_summary
from pneumo_tfds.writing.croissant import croissant
from pneumo_tfds.writing.dataset_metadata import MAX_LOOKED_AT, describe
from pneumo_tfds.writing.examples import BuildLog, stream
from pneumo_tfds.writing.shard_files import Shard, write_here, write_on_beam

MIN_SIZE, MAX_SIZE = 16, 2048
"""Bounds of the image size of a config, in pixels."""

LISTED = ("gray_150", "gray_224", "gray_256", "phantom_150", "phantom_224")
"""Configs that TFDS lists, with every framing. `make_config` makes others, by their names."""

DESCRIPTIONS: dict[Framing, str] = {
    "squeeze": "",
    "crop": ", the centred square of each picture",
    "pad": ", aspect ratio kept, black beside the picture",
}


@dataclasses.dataclass
class PneumoConfig(tfds.core.BuilderConfig):
    """The image size, the framing, and whether images are X-rays or phantoms."""

    image_size: int = 224
    """Side of the square images, in pixels."""
    phantom: bool = False
    """Draw phantoms instead of reading a source."""
    framing: Framing = DEFAULT_FRAMING
    """How a picture that is not square becomes one."""


@functools.cache  # because TFDS requires the object in BUILDER_CONFIGS if that has one of this name
def make_config(name: str) -> PneumoConfig:
    """Return the config of a name such as `gray_224`, `gray_224_pad` or `phantom_96`, of any size from 16 to 2,048.

    Raises:
        InputError: there is no such config.
    """
    suffixes = {config_suffix(framing): framing for framing in FRAMINGS}
    parts = re.fullmatch(rf"(gray|phantom)_(\d+)({'|'.join(suffixes)})", name)
    if not parts or not MIN_SIZE <= int(parts[2]) <= MAX_SIZE:
        raise InputError(
            f"config {name!r}: no such config; use gray_SIZE or phantom_SIZE with a SIZE from {MIN_SIZE} to {MAX_SIZE}"
            ", and after it _crop or _pad for another framing than squeeze"
        )
    phantom, size, framing = parts[1] == "phantom", int(parts[2]), suffixes[parts[3]]
    what = "X-rays" if not phantom else "Drawn phantoms (not medical images)"
    description = f"{what}, grey, {size} x {size} pixels{DESCRIPTIONS[framing]}."
    return PneumoConfig(name=name, description=description, image_size=size, phantom=phantom, framing=framing)


class Builder(dataset_builder.FileReaderBuilder):
    """Paediatric chest X-rays as raw grey squares, split by patient.

    Derived from the base of TFDS's builders that write files, not from the usual `GeneratorBasedBuilder`: the plan
    already knows every shard and its order, so records go straight to their file, nothing is shuffled, and Beam writes
    the same bytes. This overrides or calls methods that TFDS keeps private (`_download_and_prepare`,
    `_get_filename_template`, `_original_state`, `_log_download_*`); a new version of TFDS may need changes here.
    """

    VERSION = tfds.core.Version(build_summary.VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First release.",
        build_summary.VERSION: "DICOM and 16-bit pictures in the range of their content; damaged JPEGs are refused.",
    }
    BUILDER_CONFIGS: ClassVar = [make_config(name + config_suffix(framing)) for framing in FRAMINGS for name in LISTED]
    DEFAULT_BUILDER_CONFIG_NAME = "gray_224"
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Put the chest X-rays (Kaggle's "Chest X-Ray Images (Pneumonia)" or Mendeley Data 10.17632/rscbjbr9sj) into this
    folder as one of {", ".join(MANUAL_NAMES)}. Or name the source:
    `tfds.load("pneumo_tfds", builder_kwargs={{"source": PATH}})` or `python -m pneumo_tfds build --source PATH`.
    """

    def __init__(
        self,
        *,
        source: str | os.PathLike[str] | Source | None = None,
        options: SplitOptions | None = None,
        workers: int | None = None,
        download: bool = False,
        look_for_near_identical: bool = True,
        **kwargs: Any,
    ) -> None:
        """Create a builder; `data_dir`, `config` and `version` are as for every builder.

        Args:
            source: folder, zip or CSV of X-rays, or an opened source; None for TFDS's manual folder, or for the default
                phantoms in phantom configs.
            options: how to split.
            workers: number of decoding threads; None for one per core. Does not change the resulting files.
            download: download the published archive if the manual folder has no source either.
            look_for_near_identical: look for near-identical images in different splits and name them in the metadata.
            **kwargs: of every builder.
        """
        self._source = source
        self._options = options or SplitOptions()
        self._workers = workers
        self._download = download
        self._look = look_for_near_identical
        super().__init__(**kwargs)
        self._original_state.update(
            source=source, options=options, workers=workers, download=download,
            look_for_near_identical=look_for_near_identical,
        )  # fmt: skip

    @classmethod
    def get_builder_config(cls, name: str, version: Any = None) -> PneumoConfig:
        """Return the config of a name, also of one that is not listed, such as `gray_64`; TFDS asks by this."""
        return make_config(name)

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.image_size
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(size, size, 1), dtype=np.uint8, encoding="bytes"),
                    "label": tfds.features.ClassLabel(names=list(LABELS)),
                    "patient": tfds.features.Text(),
                    "subtype": tfds.features.Text(),
                    "filename": tfds.features.Text(),
                    "official_split": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://doi.org/10.17632/rscbjbr9sj",
            metadata=tfds.core.MetadataDict(),
        )

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Build the dataset unless it exists, one process at a time, and first remove what a killed build left."""
        with exclusive(self.data_dir):
            super().download_and_prepare(**kwargs)
            if is_local(self.data_dir):
                synchronize(Path(self.data_dir).parent)

    def _download_and_prepare(
        self, dl_manager: tfds.download.DownloadManager, download_config: tfds.download.DownloadConfig | None = None
    ) -> None:
        config = download_config or tfds.download.DownloadConfig()
        source = self._open_source(dl_manager)
        size, framing = self.builder_config.image_size, self.builder_config.framing
        plan = make_plan(source, size, self._options, config.max_examples_per_split)
        templates = {split: self._get_filename_template(split_name=split) for split in plan.shards}
        shards = [
            Shard(os.fspath(templates[split].sharded_filepath(shard_index=index, num_shards=len(parts))), images)
            for split, parts in plan.shards.items()
            for index, images in enumerate(parts)
        ]
        log, file_format = BuildLog(), self.info.file_format
        if config.beam_runner is None:
            look = self._look and size >= SIDE and len(plan.images()) <= MAX_LOOKED_AT
            records = stream(source.reader, plan.images(), size, self._workers, framing, thumbnails=look)
            shown = track(records, f"Building {self.builder_config.name}", len(plan.images()))
            written = write_here(shards, shown, log, file_format)
        else:
            beam = config.beam_runner, config.beam_options
            written = write_on_beam(shards, source.reader, size, framing, log, file_format, *beam)
        log.check(plan)
        in_order = iter(written)  # split after split
        files = {split: list(islice(in_order, len(parts))) for split, parts in plan.shards.items()}
        infos = [
            tfds.core.SplitInfo(split, [file.count for file in own], sum(file.bytes for file in own), templates[split])
            for split, own in files.items()
        ]
        self.info.set_splits(tfds.core.SplitDict(infos))
        (self.data_path / "manifest.sha256").write_text(manifest(log.sha256), encoding="utf-8")
        self.info.metadata.update(describe(source, plan, self._options, log, framing, self._workers))
        card = croissant(self.builder_config.name, str(self.version), file_format.value, self.info.metadata, files)
        (self.data_path / "croissant.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        # The last thing that TFDS writes. It then gives the folder its name, which must not be there before the data.
        self.info.write_to_directory = functools.partial(_write_and_synchronize, self.info.write_to_directory)

    def _open_source(self, dl_manager: tfds.download.DownloadManager) -> Source:
        if isinstance(self._source, Source):
            return self._source
        if self.builder_config.phantom:
            return phantom_source()
        if self._source is not None:
            return open_source(self._source)
        try:
            manual = Path(dl_manager.manual_dir)
        except AssertionError:  # raised by TFDS if the folder is missing or empty
            manual = None
        found = None if manual is None else in_manual_folder(manual)
        if found is None and self._download:
            found = fetch(dl_manager, self.url_infos or {})
        if found is None:
            where = "TFDS's manual folder" if manual is None else f"TFDS's manual folder {manual}"
            raise InputError(
                f"no X-rays in {where} (as {', '.join(MANUAL_NAMES)}); "
                "pass --source PATH, or --download to download the published archive"
            )
        return open_source(found)

    def _log_download_bytes(self) -> None:
        """Print nothing; our commands print what a user needs."""

    def _log_download_done(self) -> None:
        """Print nothing."""


def _write_and_synchronize(write: Callable[..., None], folder: Any, *arguments: Any, **keywords: Any) -> None:
    """Write what TFDS knows of a dataset into its folder, and wait until the disk has all of it."""
    write(folder, *arguments, **keywords)
    if is_local(folder):
        synchronize_tree(Path(folder))
