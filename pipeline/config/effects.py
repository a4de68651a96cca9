"""Settings that have an effect only beside others: what each needs, and the refusal of one that would have none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from pipeline.config.groups import AugmentConfig, RunConfig, SearchConfig
from pipeline.config.guarantee import candidates
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.source_options import SourceOptions


@dataclass(frozen=True)
class Need:
    """What some settings of a group need to have an effect."""

    group: str
    names: tuple[str, ...]
    met: Callable[[RunConfig], bool]
    otherwise: str
    """What is said of them where it is not met, after "has no effect"."""


def _names(kind: type, *without: str) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name not in without)


BUILT = "on a built dataset, which is used as it is"
NEEDS = (
    Need("data", ("source", *_names(SourceOptions)), lambda settings: settings.data.dataset is None, BUILT),
    Need(
        "data",
        ("validation_fraction",),
        lambda settings: settings.data.dataset is None or settings.data.folds > 0 or settings.search.trial_folds > 1,
        BUILT,
    ),
    Need("augment", _names(AugmentConfig, "augment"), lambda settings: settings.augment.augment, "with --no-augment"),
    Need(
        "model",
        ("fine_tune_blocks",),
        lambda settings: settings.model.start != "none",
        "without --pretrained-weights: all of the network is trained",
    ),
    Need("fit", ("subtype_weight",), lambda settings: settings.model.subtype_head, "without --subtype-head"),
    Need(
        "evaluation",
        ("prevalence",),
        lambda settings: bool(candidates(settings.evaluation.guarantee)),
        "with --guarantee none",
    ),
    Need("search", _names(SearchConfig, "tune"), lambda settings: settings.search.tune, "without --tune"),
    Need("search", ("confirm_seeds",), lambda settings: settings.search.confirm_top != 0, "with --confirm-top 0"),
    Need(
        "search",
        ("median_stopping",),
        lambda settings: settings.search.tuner != "hyperband",
        "with --tuner hyperband, which stops trials by its own rule",
    ),
)


def lacking(settings: RunConfig, group: str, name: str) -> str | None:
    """Return why a setting has no effect beside the others, in words that follow "has no effect"; None if it has."""
    unmet = (need.otherwise for need in NEEDS if need.group == group and name in need.names and not need.met(settings))
    return next(unmet, None)


def require_effects(settings: RunConfig, left_out: RunConfig | None) -> None:
    """Raise InputError if a flag was given that has no effect beside the others.

    Args:
        settings: with the flags.
        left_out: what flags have that are not given; None for the defaults. These need no effect: a run's config.json
            has them all.
    """
    default = RunConfig()
    for group, of_group in vars(settings).items():
        for name, value in vars(of_group).items():
            untouched = [getattr(getattr(each, group), name) for each in (default, left_out or default)]
            if value not in untouched and (why := lacking(settings, group, name)):
                flag = f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
                raise InputError(f"{flag} has no effect {why}; leave it out")
