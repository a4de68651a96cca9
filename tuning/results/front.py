"""What the networks of a search cost in use, where their width or depth is searched, and which are worth their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np

from pipeline.config import RunConfig
from pneumo_tfds.program.progress import stage
from tuning.results.leaderboard import TrialRow
from tuning.search.objective import Objective
from tuning.search.search_plan import Plan

SHAPE = ("width", "depth")  # the hyper-parameters that change what a network costs
IMAGES, ROUNDS = 8, 7  # timed at once, and how often, all networks in turn


@dataclass(frozen=True)
class Cost:
    """What a network costs in use."""

    milliseconds: float
    """An image by onnxruntime on all cores of this machine, the median of several rounds."""
    megabytes: float
    """Size of its weights in float32."""


def costs(plan: Plan, rows: Sequence[TrialRow]) -> dict[int, Cost]:
    """Return the cost of the network of every ranked trial, by trial; empty if all have the same network."""
    names = [parameter.name for parameter in plan.parameters if parameter.name in SHAPE]
    if not names:
        return {}
    shapes = {row.trial: tuple(row.values[name] for name in names) for row in rows if row.score is not None}
    of_shape = {shapes[row.trial]: plan.winner(row.values) for row in rows if row.trial in shapes}
    by_shape = dict(zip(of_shape, _measured(list(of_shape.values())), strict=True))
    return {trial: by_shape[shape] for trial, shape in shapes.items()}


def front(rows: Sequence[TrialRow], found: Mapping[int, Cost], objective: Objective) -> list[TrialRow]:
    """Return the trials of the Pareto front, fastest first: every faster network has a worse objective."""
    kept: list[TrialRow] = []
    for row in sorted((row for row in rows if row.trial in found), key=lambda row: found[row.trial].milliseconds):
        # `rows` are best first, so of several trials with one network the best comes first.
        if not kept or objective.better(float(row.score or 0.0), float(kept[-1].score or 0.0)):
            kept.append(row)
    return kept


def _measured(configs: Sequence[RunConfig]) -> list[Cost]:
    """Time networks with these settings, in turn; what they have learned does not matter for it."""
    import tensorflow as tf

    from pipeline.conversion.onnx_function import by_onnxruntime
    from pipeline.networks import models
    from pipeline.training.fastest import seconds_in_turn

    answers, megabytes = [], []
    with stage(f"Timing {len(configs)} networks in onnxruntime"):
        for config in configs:
            network = models.build(config.model, config.data.image_size)
            signature = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
            forward = tf.function(lambda images, network=network: {"logit": network(images, training=False)})
            answers.append(by_onnxruntime(forward, signature))
            megabytes.append(network.count_params() * 4 / 1e6)
        images = np.zeros((IMAGES, *signature.shape[1:]), np.float32)
        seconds = seconds_in_turn([partial(answer, images) for answer in answers], ROUNDS)
    return [Cost(median(times) / IMAGES * 1000, size) for times, size in zip(seconds, megabytes, strict=True)]
