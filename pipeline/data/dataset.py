"""The dataset of a run: built from the X-rays that the settings name, those in TFDS's manual folder, or phantoms."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipeline.config import RunConfig
from pneumo_tfds.prepared import inspect, is_built, manual_source, prepare
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import quoted
from pneumo_tfds.sources.inspection import short_form
from pneumo_tfds.sources.inventory import KINDS, Source
from pneumo_tfds.sources.opening import open_source, require_both_classes, require_decisions, understand
from pneumo_tfds.sources.source_options import SourceOptions


def with_dataset(config: RunConfig) -> RunConfig:
    """Build the dataset of a run unless it is built; return the settings with its folder in `data.dataset`.

    The version of the user's own network is recorded too. What was understood of the source is printed first.

    Raises:
        InputError: nothing can be built from the source, it holds less than one batch of training images, or there is
            no file of pretrained weights, or no network of the user as the settings name it.
    """
    config = dataclasses.replace(config, model=config.model.pinned())
    data, start = config.data, config.model.start
    for other in config.evaluation.also_judge:
        require_judgeable(other)
    if start not in ("none", "imagenet") and not Path(start).is_file():  # its content is checked when it is loaded
        raise InputError(
            f"--pretrained-weights {start} is not a file; give imagenet, none, or a file for {config.model.model}"
        )
    if data.corrections and not data.source:
        raise InputError("--corrections needs --source, the images that it corrects; a built dataset stays as it is")
    if data.dataset is not None:
        if not is_built(data.dataset):
            raise InputError(
                f"--dataset {data.dataset} holds no built dataset; make one with python -m pneumo_tfds build, or name "
                "the images by --source"
            )
        _check_training_images(config, data.dataset)
        return config
    source = data.source or manual_source(data.data_dir)
    data.require_a_source("--source", named=source is not None)
    opened = None if source is None else open_source(source, data)
    if opened:
        print("\n".join(short_form(opened, show_path=False)), flush=True)
    dataset = prepare(opened, data.image_size, data.data_dir, data.validation_fraction, framing=data.framing)
    _check_training_images(config, dataset)
    return dataclasses.replace(config, data=dataclasses.replace(data, dataset=dataset.resolve()))


def _check_training_images(config: RunConfig, dataset: Path) -> None:
    """Raise InputError if the training split holds less than a batch, or lacks a kind that `--subtype-head` learns.

    With `--hold-out` it may hold fewer images still.
    """
    built = inspect(dataset)
    count = built.examples.get("train", 0)
    if config.fit.batch_size > count and not config.search.tune:  # a search may try other sizes
        raise InputError(f"--batch-size is {config.fit.batch_size}, but train holds {count} images; make it smaller")
    kinds = built.metadata.get("planned_subtypes", {}).get("train", {})
    missing = [kind for kind in KINDS if not kinds.get(kind)]
    if config.model.subtype_head and missing:
        none = f"train has no PNEUMONIA image that is known to be of {' or '.join(missing)}"
        raise InputError(f"--subtype-head needs images of bacteria and virus, but {none}; leave it out")


def with_images_to_score(config: RunConfig, source: Path, options: SourceOptions) -> RunConfig:
    """Return the settings of a run with other labelled X-rays in place of its own, built as one split.

    These are the images of the source's test split if it has one, else all. Nothing is divided, so a few images, one
    class or one patient will do. What was understood of the source is printed first.

    Raises:
        InputError: nothing can be built from the source, or something about it needs a decision.
    """
    data = config.data
    opened = images_to_score(source, options)
    print("\n".join(short_form(opened)), flush=True)
    dataset = prepare(opened, data.image_size, data.data_dir, framing=data.framing, whole=True)
    understood = options.source_options()
    understood["corrections"] = tuple(path.expanduser().resolve() for path in options.corrections)
    data = dataclasses.replace(data, source=source, dataset=dataset.resolve(), **understood)
    return dataclasses.replace(config, data=data)


def require_judgeable(source: Path) -> None:
    """Raise InputError unless a source of `--also-judge` has X-rays of both classes and needs no decision."""
    try:
        require_both_classes(images_to_score(source, SourceOptions()))
    except InputError as error:
        raise InputError(
            f"--also-judge: leave {source} out, because flags about sources do not reach it here, and score it with "
            f"pipeline.evaluate RUN --source {quoted(source)}, where they do; what is wrong: {error}"
        ) from error


def images_to_score(source: Path, options: SourceOptions) -> Source:
    """Open a source for scoring: its test split if it has one, else all of its images, of one class or both.

    Doubts about patients are no reason to stop, because the images are not split.
    """
    opened = understand(source, options)
    remarks = [
        dataclasses.replace(remark, question=remark.question and not remark.about_patients)
        for remark in opened.survey.remarks
        if remark.question or not remark.about_patients
    ]
    opened = dataclasses.replace(opened, survey=dataclasses.replace(opened.survey, remarks=tuple(remarks)))
    require_decisions(opened, options)
    test = tuple(image for image in opened.images if image.official_split == "test")
    return dataclasses.replace(opened, images=test or opened.images)
