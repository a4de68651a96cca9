"""Check the settings of a search, before a folder, a dataset or anything slow is made for it."""

from __future__ import annotations

from pipeline.config import RunConfig
from pipeline.devices.tf_config import read_cluster
from pneumo_tfds.program.errors import InputError
from tuning.search.objective import parse_objective
from tuning.search.space import build_space


def check_settings(settings: RunConfig) -> None:
    """Check the settings of a search.

    Raises:
        InputError: a range or the objective is not valid, `--confirm-seeds` lack seeds, or TF_CONFIG describes several
            machines.
    """
    if read_cluster().workers > 1:
        raise InputError(
            "TF_CONFIG names several workers, but a search runs on one machine: unset it, or see --workers"
        )
    build_space(settings.search.ranges, settings.search.space, settings)
    parse_objective(settings.search.objective)
    if settings.search.confirm_top != 0:
        count = settings.search.confirm_seeds
        settings.require_seeds(count, f"--confirm-seeds {count}")
