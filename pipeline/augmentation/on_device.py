"""The changes of `augment` as one compiled TensorFlow function, for a training step or a dataset."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import tensorflow as tf

from pipeline.augmentation import augment
from pipeline.config import AugmentConfig


@lru_cache(maxsize=8)  # XLA keeps what it compiled for as long as the process lives, so not once for each user
def compiled(config: AugmentConfig, image_size: int, *, xla: bool = True) -> Callable[[Any, Any], Any]:
    """Return a function from images uint8 `[B, T, T, 1]` and uniform numbers `[B, DRAWS]` to float32 `[B, S, S, 1]`.

    It is compiled on its own, whatever calls it is compiled with. Without `xla` its gathers are several times slower
    (docs/explanation/speed.md).
    """

    @tf.function(jit_compile=xla)
    def changed(images: Any, uniform: Any) -> Any:
        return augment.apply(images, augment.sample(uniform, config, image_size), image_size)

    return changed  # type: ignore[no-any-return]
