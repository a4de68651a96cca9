"""Reference images: half as they are, half changed, and the same for the same seed."""

import numpy as np
import pytest

from pipeline.data.split import Examples, MemorySplit
from pipeline.training import reference_images as module
from pipeline.training.reference_images import MISTAKES, cut, reference_images, reference_rows, wrong


def pictures(count, size=40):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


def split_of(images):
    """A split of these images, all alike but for their pixels."""
    names = np.full(len(images), "a")
    return MemorySplit("train", Examples(images, np.zeros(len(images), np.int64), names, names, names))


@pytest.mark.parametrize("at_once", [64, module.AT_ONCE])
def test_every_second_image_is_changed(at_once, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    images = pictures(130)
    batches = list(reference_images(split_of(images), seed=0))
    assert [len(batch) for batch in batches] == [64, 64, 2]
    found = np.concatenate(batches)
    same = (found == images).all(axis=(1, 2, 3))
    assert same[0::2].all()
    assert not same[1::2].any()


def test_equal_seeds_give_equal_images_and_the_source_is_not_changed():
    images = pictures(10)
    before = images.copy()
    once, again, other = (np.concatenate(list(reference_images(split_of(images), seed))) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    np.testing.assert_array_equal(images, before)


def test_large_sources_are_sampled(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 6)
    rows = reference_rows(50, seed=0)
    assert len(set(rows.tolist())) == 6
    assert (np.diff(rows) > 0).all()
    assert rows.max() > 6, "not the first ones"
    assert reference_rows(50, seed=0).tolist() == rows.tolist() != reference_rows(50, seed=1).tolist()
    assert reference_rows(4, seed=0).tolist() == [0, 1, 2, 3]


def test_some_changed_images_lose_resolution():
    checked = np.zeros((200, 64, 64, 1), np.uint8)
    checked[:, ::2] = 255  # stripes that a coarser image cannot show
    changed = np.concatenate(list(reference_images(split_of(checked), seed=0)))[1::2, 16:48, 16:48, 0].astype(float)
    contrast = np.abs(np.diff(changed, axis=1)).mean(axis=(1, 2))
    assert (contrast < 30).mean() > 0.2


def test_wrong_images_are_wrong_in_every_way():
    image = np.add.outer(np.arange(48), 3 * np.arange(48)).astype(np.uint8)[None, ..., None]  # no two places alike
    found = wrong(np.repeat(image, 200, axis=0), np.random.default_rng(0))
    assert found.shape == (200, 48, 48, 1)
    assert found.dtype == np.uint8
    assert not (found == image).all(axis=(1, 2, 3)).any()
    inverted, upside_down = (found == 255 - image).all(axis=(1, 2, 3)), (found == image[:, ::-1]).all(axis=(1, 2, 3))
    assert 200 / len(MISTAKES) / 2 < inverted.sum() < 200 * 2 / len(MISTAKES)
    assert upside_down.any()


@pytest.mark.parametrize("part", ["upper", "lower"])
def test_a_cut_takes_a_quarter_to_a_half_from_one_end(part):
    image = np.repeat(np.arange(0, 240, 5, dtype=np.uint8)[:, None], 48, axis=1)[None, ..., None]
    found = cut(np.repeat(image, 100, axis=0), np.random.default_rng(0), part)
    assert found.shape == (100, 48, 48, 1)
    assert found.dtype == np.uint8
    ends = found[:, [0, -1], 0, 0].astype(int)
    gone = ends[:, 0] if part == "upper" else 235 - ends[:, 1]
    kept = 235 - ends[:, 1] if part == "upper" else ends[:, 0]
    assert (kept == 0).all()
    assert (gone.min(), gone.max()) == (60, 120)  # 12 to 24 rows of 5 levels
