"""Pictures of the augmentation."""

import cv2
import numpy as np
import pytest

from pipeline.config import AugmentConfig
from pipeline.show_augmented import COLUMNS, ShowAugmented, as_in_training, each_alone, show_augmented
from pneumo_tfds.program.errors import InputError

IMAGE = np.random.default_rng(0).integers(40, 200, (32, 32, 1), dtype=np.uint8)


def test_each_change_is_shown_alone_from_one_end_to_the_other_by_its_flag():
    rows = {
        title: copies
        for title, _, copies in each_alone(IMAGE, 255 - IMAGE, AugmentConfig(rotation=20, flip=0.5, noise=0))
    }
    assert "--rotation 20" in rows
    assert not [title for title in rows if title.startswith(("--noise", "--random-erasing"))], "these are 0"
    turned = rows["--rotation 20"]
    np.testing.assert_allclose(turned[COLUMNS // 2], IMAGE, atol=0.01)
    assert max(turned[0, 0, 0, 0], turned[-1, 0, 0, 0]) < 1, "black corners"
    assert abs(turned[0] - turned[-1]).max() > 20
    np.testing.assert_allclose(rows["--flip 0.5"][0], IMAGE[:, ::-1], atol=0.01)
    brightness = rows["--brightness 0.15"].mean(axis=(1, 2, 3))
    assert (np.diff(brightness) > 5).all()


def test_all_at_once_is_drawn_anew_for_each_copy_and_follows_from_the_seed():
    first, again, other = (
        list(as_in_training([IMAGE, IMAGE], [255 - IMAGE] * 2, AugmentConfig(), seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first[0][2], again[0][2])
    assert abs(first[0][2] - other[0][2]).max() > 20
    assert abs(first[0][2] - first[1][2]).max() > 20


def test_two_pictures_are_drawn(tmp_path, capsys):
    only = AugmentConfig(**{**dict.fromkeys(vars(AugmentConfig()), 0.0), "augment": True, "rotation": 30, "gamma": 0.2})
    show_augmented(ShowAugmented(out=tmp_path / "new" / "folder", image_size=32, augment=only))
    heights = [cv2.imread(path).shape[0] for path in capsys.readouterr().out.split()]
    assert heights[1] == 3 * heights[0], "two changes, six images"


def test_nothing_to_show_is_said(tmp_path):
    with pytest.raises(InputError, match="nothing to show; give one, such as --rotation 10"):
        show_augmented(ShowAugmented(out=tmp_path, augment=AugmentConfig(**dict.fromkeys(vars(AugmentConfig()), 0))))


def test_pictures_are_not_drawn_into_the_source(tmp_path):
    with pytest.raises(InputError, match="of which its pictures would become images"):
        show_augmented(ShowAugmented(source=tmp_path, out=tmp_path / "NORMAL"))
