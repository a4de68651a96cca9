"""Batches: every image once, in the same order for a seed, from memory or from files."""

import numpy as np
import pytest

from pipeline.data.batches import evaluation_batches, training_batches
from pneumo_tfds.program.errors import InputError
from record_files import COUNT, SIZE, numbers, write


@pytest.fixture
def split(tmp_path):
    return write(tmp_path)


@pytest.mark.parametrize("cache", ["on", "off"])
def test_training_batch_pairs_images_with_their_labels(split, cache):
    batches = list(training_batches(split, 8, seed=0, epoch=1, cache=cache))
    assert len(batches) == COUNT // 8
    for images, targets in batches:
        assert tuple(images.shape) == (8, SIZE, SIZE, 1)
        labels = np.asarray(images)[:, 0, 0, 0] % 2
        assert np.array_equal(np.asarray(targets), np.stack([labels, np.where(labels, 1, -1)], axis=1))


@pytest.mark.parametrize("cache", ["on", "off"])
def test_epoch_has_every_image_once_but_the_dropped_remainder(split, cache):
    seen = numbers(training_batches(split, 8, seed=0, epoch=1, cache=cache))
    assert len(seen) == 48
    assert len(set(seen)) == 48


@pytest.mark.parametrize("cache", ["on", "off"])
def test_order_differs_each_epoch_and_repeats_for_a_seed(split, cache):
    first = numbers(training_batches(split, 10, seed=3, epoch=1, cache=cache))
    assert first == numbers(training_batches(split, 10, seed=3, epoch=1, cache=cache))
    assert first != numbers(training_batches(split, 10, seed=3, epoch=2, cache=cache))
    assert first != numbers(training_batches(split, 10, seed=4, epoch=1, cache=cache))
    assert sorted(first) == list(range(COUNT))
    assert first != list(range(COUNT))


@pytest.mark.parametrize("cache", ["on", "off"])
def test_evaluation_keeps_every_example_in_order(split, cache):
    batches = list(evaluation_batches(split, 8, cache=cache))
    assert numbers(batches) == list(range(COUNT))
    assert [len(labels) for _, labels in batches] == [8] * 6 + [2]


def test_streaming_gives_what_memory_gives(split):
    memory, stream = (list(evaluation_batches(split, 16, cache=cache)) for cache in ("on", "off"))
    for (images, labels), (streamed, their_labels) in zip(memory, stream, strict=True):
        assert np.array_equal(images, streamed)
        assert np.array_equal(labels, their_labels)


def test_batch_larger_than_the_split_is_refused(split):
    with pytest.raises(InputError, match="--batch-size is 51"):
        list(training_batches(split, COUNT + 1, seed=0, epoch=1))


@pytest.mark.parametrize("cache", ["on", "off"])
def test_workers_rows_make_the_batch(split, cache):
    whole, first, second = (
        [numbers([batch]) for batch in training_batches(split, 8, seed=0, epoch=1, cache=cache, rows=rows)]
        for rows in (slice(None), slice(0, 4), slice(4, 8))
    )
    assert [one + other for one, other in zip(first, second, strict=True)] == whole
