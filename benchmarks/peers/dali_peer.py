"""NVIDIA DALI on the CPU: decode, resize, and optionally one warp and a change of contrast and brightness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.measuring.harness import Work
from pneumo_tfds.program.quiet import standard_error_held_back

SEED = 0


def run(paths: Sequence[str], image_size: int, batch_size: int, workers: int, augmented: bool) -> Work:
    """Run DALI's pipeline with `workers` threads."""
    with standard_error_held_back():  # it reports that GPU decoders, which are not used, cannot be loaded
        from nvidia.dali import pipeline_def

        define = pipeline_def(_graph)
        threads = {"num_threads": workers, "device_id": None}
        built = define(list(paths), image_size, augmented, batch_size=batch_size, seed=SEED, **threads)
        built.build()
    while True:
        built.run()[0].as_array()
        yield batch_size


def _graph(paths: list[str], size: int, augmented: bool) -> Any:
    from nvidia.dali import fn, types

    data, _ = fn.readers.file(files=paths, labels=[0] * len(paths), random_shuffle=True, name="files")
    images = fn.decoders.image(data, device="cpu", output_type=types.GRAY)
    images = fn.resize(images, size=(size, size))
    if not augmented:
        return images
    middle = [size / 2, size / 2]
    uniform = fn.random.uniform
    matrix = fn.transforms.rotation(angle=uniform(range=[-10.0, 10.0]), center=middle)
    matrix = fn.transforms.scale(matrix, scale=uniform(range=[1 / 1.2, 1.2], shape=[2]), center=middle)
    matrix = fn.transforms.shear(matrix, angles=uniform(range=[-5.0, 5.0], shape=[2]), center=middle)
    matrix = fn.transforms.translation(matrix, offset=uniform(range=[-0.08 * size, 0.08 * size], shape=[2]))
    images = fn.warp_affine(images, matrix=matrix, fill_value=0, inverse_map=False)
    images = fn.flip(images, horizontal=fn.random.coin_flip())
    brightness, contrast = uniform(range=[0.85, 1.15]), uniform(range=[1 / 1.3, 1.3])
    return fn.brightness_contrast(images, brightness=brightness, contrast=contrast, dtype=types.FLOAT)
