from dataclasses import replace

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipeline.augmentation import augment, on_host, sharpness_and_grain
from pipeline.augmentation.augment import Changes, Draw
from pipeline.config import AugmentConfig

SIZE = 48
FLAT = {"brightness": 0, "contrast": 0, "gamma": 0, "sharpness": 0, "noise": 0}
STILL = AugmentConfig(flip=0, rotation=0, zoom=0, aspect=0, shift=0, shear=0, random_erasing=0, **FLAT)
GEOMETRY = AugmentConfig(**FLAT)
DEFAULT = AugmentConfig()


def pictures(count, size=SIZE, seed=0):
    """Smooth grey pictures, uint8 `[count, size, size, 1]`."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (count, size, size), dtype=np.uint8)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 2.5) for image in noise]).astype(np.float32)
    low, high = smooth.min(axis=(1, 2), keepdims=True), smooth.max(axis=(1, 2), keepdims=True)
    return np.rint((smooth - low) / (high - low) * 255).astype(np.uint8)[..., None]


def changes(count, matrix=((1, 0, 0), (0, 1, 0)), gain=1.0, offset=0.0, gamma=1.0, box=(2, 0, 0, 0)):
    def column(value):
        return np.full((count, 1), value, np.float32)

    repeated = np.repeat(np.array([matrix], np.float32), count, axis=0)
    boxes = np.repeat(np.array([box], np.float32), count, axis=0)
    return Changes(repeated, column(gain), column(offset), column(gamma), boxes)


def applied(images, drawn):
    parts = (part if part is None else tf.constant(part) for part in drawn)
    return np.asarray(augment.apply(tf.constant(images), Changes(*parts)))


def sampled(config, count=64, seed=0, step=0, size=SIZE):
    uniform = tf.constant(augment.draw(seed, step, count))
    drawn = augment.sample(uniform, config, size)
    return Changes(*(part if part is None else np.asarray(part) for part in drawn))


def opencv(images, drawn):
    """The geometry alone by OpenCV, computed on float32."""
    middle = (images.shape[1] - 1) / 2
    warped = []
    for image, matrix in zip(images, drawn.matrices.astype(np.float64), strict=True):
        pixels = matrix.copy()
        pixels[:, 2] += middle - matrix[:, :2] @ (middle, middle)
        size = (image.shape[1], image.shape[0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped.append(cv2.warpAffine(image[:, :, 0].astype(np.float32), pixels, size, flags=flags))
    return np.stack(warped)[..., None]


def test_nothing_turned_on_gives_the_image_back():
    images = pictures(4)
    assert np.abs(applied(images, sampled(STILL, 4)) - images).max() < 0.01


@pytest.mark.parametrize("size", [31, 48])
def test_geometry_agrees_with_opencv(size):
    images, drawn = pictures(32, size), sampled(GEOMETRY, 32, size=size)
    # OpenCV places samples to 1/32 of a pixel, which on these pictures is worth up to a few grey levels.
    difference = np.abs(applied(images, drawn) - opencv(images, drawn))
    assert difference.mean() < 0.3
    assert difference.max() < 8


def test_large_turns_and_shears_agree_with_opencv():
    wild = AugmentConfig(rotation=180, shear=45, zoom=1, aspect=1, shift=0.5, **FLAT)
    images, drawn = pictures(32), sampled(wild, 32)
    assert np.abs(applied(images, drawn) - opencv(images, drawn)).mean() < 0.5


def test_shift_moves_the_picture_right_and_down():
    images = np.zeros((1, SIZE, SIZE, 1), np.uint8)
    images[0, 20, 20] = 255
    uniform = np.full((1, augment.DRAWS), 0.5, np.float32)
    uniform[0, Draw.SHIFT_RIGHT], uniform[0, Draw.SHIFT_DOWN] = 1.0, 0.75  # the largest shift right, half of it down
    config = AugmentConfig(flip=0, shift=0.25, **FLAT)
    out = np.asarray(augment.apply(images, augment.sample(tf.constant(uniform), config, SIZE)))
    assert np.unravel_index(out[0, :, :, 0].argmax(), (SIZE, SIZE)) == (20 + SIZE // 8, 20 + SIZE // 4)


def test_flip_mirrors_left_and_right_only():
    images = pictures(3)
    drawn = sampled(AugmentConfig(**{**vars(STILL), "flip": 1.0}), 3)
    assert np.abs(applied(images, drawn) - images[:, :, ::-1]).max() < 0.01


def test_quarter_turn_agrees_with_numpy():
    images = pictures(2)
    turned = applied(images, changes(2, ((0, -1, 0), (1, 0, 0))))
    assert np.abs(turned - np.rot90(images, 1, axes=(1, 2))).max() < 0.01
    # Output (x, y) comes from source (-y, x): what was at the right, (1, 0), ends at y = -1, the top.
    image = np.zeros((1, SIZE, SIZE, 1), np.uint8)
    image[0, SIZE // 2, -1] = 255
    assert applied(image, changes(1, ((0, -1, 0), (1, 0, 0))))[0, 0].max() > 200


def test_zoom_above_one_enlarges():
    images = np.zeros((1, SIZE, SIZE, 1), np.uint8)
    images[0, 20:28, 20:28] = 255
    uniform = np.full((1, augment.DRAWS), 0.5, np.float32)
    uniform[0, Draw.ZOOM] = 1.0
    config = AugmentConfig(**{**vars(STILL), "zoom": 1.0})
    out = np.asarray(augment.apply(images, augment.sample(tf.constant(uniform), config, SIZE)))
    assert (out > 127).sum() == pytest.approx(4 * 64, rel=0.1)


def test_outside_is_black_before_the_intensities_change():
    out = applied(np.full((1, SIZE, SIZE, 1), 200, np.uint8), changes(1, ((1, 0, 0.5 * SIZE), (0, 1, 0))))
    assert out[0, :, -1].max() < 0.01
    assert out[0, :, 0].min() == pytest.approx(200, abs=0.1)


@pytest.mark.parametrize(("gain", "offset", "gamma"), [(1.3, 0, 1), (1, 0.15, 1), (1, 0, 1.4), (0.8, -0.1, 0.7)])
def test_intensities_agree_with_numpy(gain, offset, gamma):
    images = pictures(2)
    expected = np.clip(((images / 255.0) ** gamma - 0.5) * gain + 0.5 + offset, 0, 1) * 255
    out = applied(images, changes(2, gain=gain, offset=offset, gamma=gamma))
    assert np.abs(out - expected).max() < 0.05


def test_erased_box_is_black_and_nothing_else_changes():
    images = np.full((1, 40, 40, 1), 100, np.uint8)
    out = applied(images, changes(1, box=(0.25, 0.5, 0.5, 1.0)))[0, :, :, 0]
    expected = np.full((40, 40), 100.0)
    expected[20:, 10:20] = 0
    assert np.abs(out - expected).max() < 0.01


@pytest.mark.parametrize("compiled", [True, False])
def test_compiled_and_in_a_graph_it_is_what_it_is_eagerly(compiled):
    images, uniform = tf.constant(pictures(8)), tf.constant(augment.draw(1, 2, 8))
    config = AugmentConfig(random_erasing=0.5, noise=0)

    def change(images, uniform):
        return augment.apply(images, augment.sample(uniform, config, SIZE))

    eager = np.asarray(change(images, uniform))
    difference = np.abs(np.asarray(tf.function(change, jit_compile=compiled)(images, uniform)) - eager)
    assert np.percentile(difference, 99) < 0.05
    assert eager.shape == (8, SIZE, SIZE, 1)
    assert eager.dtype == np.float32


def test_float_images_give_what_bytes_give():
    images, drawn = pictures(4), sampled(DEFAULT, 4)
    assert np.abs(applied(images.astype(np.float32), drawn) - applied(images, drawn)).max() < 1e-3


def test_output_stays_within_grey_levels():
    wild = AugmentConfig(brightness=1, contrast=1, gamma=1)
    out = applied(pictures(32), sampled(wild, 32))
    assert out.min() >= 0
    assert out.max() <= 255
    assert np.isfinite(out).all()


def test_draw_is_fixed_by_seed_and_step():
    first = augment.draw(7, 3, 16)
    assert np.array_equal(first, augment.draw(7, 3, 16))
    assert not np.array_equal(first, augment.draw(7, 4, 16))
    assert not np.array_equal(first, augment.draw(8, 3, 16))
    assert first.shape == (16, augment.DRAWS)
    assert first.min() >= 0
    assert first.max() < 1


def test_parameters_are_spread_evenly_over_their_ranges():
    drawn = sampled(AugmentConfig(zoom=0.2, aspect=0, shift=0.08), 20_000)
    linear = drawn.matrices[:, :, :2].astype(np.float64)
    assert (np.linalg.det(linear) < 0).mean() == pytest.approx(0.5, abs=0.02)
    # Without a change of aspect a matrix is scale and mirror times rotation times shear, whose determinant is 1.
    scales = 1 / np.sqrt(np.abs(np.linalg.det(linear)))
    assert scales.min() == pytest.approx(1 / 1.2, abs=0.01)
    assert scales.max() == pytest.approx(1.2, abs=0.01)
    assert np.median(scales) == pytest.approx(1.0, abs=0.01)
    angles = np.degrees(np.arctan2(linear[:, 1, 0], np.abs(linear[:, 0, 0])))
    assert np.abs(angles).max() == pytest.approx(10, abs=0.2)
    assert angles.mean() == pytest.approx(0, abs=0.2)
    shifts = -np.linalg.solve(linear, drawn.matrices[:, :, 2:].astype(np.float64))[:, :, 0] / SIZE
    assert np.abs(shifts).max() == pytest.approx(0.08, abs=0.002)
    assert shifts.std() == pytest.approx(0.16 / np.sqrt(12), rel=0.03)


def test_intensity_parameters_stay_within_their_ranges():
    drawn = sampled(DEFAULT, 20_000)
    for values, low, high in (
        (drawn.gain, 1 / 1.3, 1.3), (drawn.offset, -0.15, 0.15), (drawn.gamma, 1 / 1.4, 1.4)
    ):  # fmt: skip
        assert low - 1e-4 <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high + 1e-4


def test_erasing_hits_as_often_as_asked_and_within_its_area():
    boxes = sampled(AugmentConfig(random_erasing=0.25), 20_000).boxes
    hit = boxes[boxes[:, 0] <= boxes[:, 2]]
    assert len(hit) / len(boxes) == pytest.approx(0.25, abs=0.02)
    area = (hit[:, 2] - hit[:, 0]) * (hit[:, 3] - hit[:, 1])
    assert area.min() >= 0.02 - 1e-4
    assert area.max() <= 0.2 + 1e-4
    assert hit.min() >= 0
    assert hit.max() <= 1 + 1e-6


def test_opencv_kernel_does_what_the_device_does():
    images, config = pictures(16), AugmentConfig(random_erasing=0.5, sharpness=0, noise=0)
    uniform = augment.draw(0, 5, 16)
    host = np.empty(images.shape, np.float32)
    on_host.apply(images, on_host.sampler(config, SIZE)(uniform), host)
    device = np.asarray(augment.apply(images, augment.sample(tf.constant(uniform), config, SIZE)))
    assert np.abs(host - device).mean() < 0.5


def test_opencv_sharpens_as_the_device_does():
    images, config = pictures(16), replace(STILL, sharpness=1.0)
    uniform = augment.draw(0, 5, 16)
    host = np.empty(images.shape, np.float32)
    on_host.apply(images, on_host.sampler(config, SIZE)(uniform), host)
    device = np.asarray(augment.apply(images, augment.sample(tf.constant(uniform), config, SIZE)))
    assert np.abs(host - device).max() < 2.5  # two roundings, the second of up to twice the detail
    assert np.abs(host - images).max() > 5


def test_opencv_grain_has_the_deviation_that_was_drawn_and_repeats():
    images, config = np.full((8, SIZE, SIZE, 1), 128, np.uint8), replace(STILL, noise=20.0)
    drawn = on_host.sampler(config, SIZE)(augment.draw(0, 5, 8))
    host, again = (np.empty(images.shape, np.float32) for _ in range(2))
    on_host.apply(images, drawn, host)
    on_host.apply(images, drawn, again)
    assert np.array_equal(host, again)
    assert host.std(axis=(1, 2, 3)) == pytest.approx(drawn.noise[:, 0], rel=0.1)
    assert abs(np.corrcoef((host - 128).reshape(8, -1))[np.triu_indices(8, 1)]).max() < 0.1


def test_sharpness_reaches_from_full_blur_to_twice_the_detail():
    amounts = sampled(AugmentConfig(sharpness=0.5), 20_000).sharpness
    assert amounts.min() == pytest.approx(-0.5, abs=0.01)
    assert amounts.max() == pytest.approx(1.0, abs=0.01)
    assert (amounts < 0).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("amount", [-1.0, -0.4, 1.5])
def test_sharpening_agrees_with_opencv(amount):
    size = 75  # a deviation of 1.2 pixels
    images = pictures(3, size).astype(np.float32)[..., 0]
    smooth = np.stack([cv2.GaussianBlur(image, (7, 7), 1.2, borderType=cv2.BORDER_REFLECT) for image in images])
    out = np.asarray(sharpness_and_grain.sharpen(tf.constant(images), tf.fill((3, 1, 1), amount)))
    assert np.abs(out - (images + amount * (images - smooth))).max() < 0.05


def test_grain_is_white_gaussian_noise_of_the_level_asked_for():
    flat = tf.zeros((4, 128, 128))
    levels = np.array([0, 2, 5, 12], np.float32).reshape(4, 1, 1)
    noise = np.asarray(sharpness_and_grain.grain(flat, levels, tf.constant([1, 2, 3, 4])[:, None, None]))
    np.testing.assert_allclose(noise.std(axis=(1, 2)), levels[:, 0, 0], rtol=0.02)
    np.testing.assert_allclose(noise.mean(axis=(1, 2)), 0, atol=0.3)
    unit = noise[3] / 12
    assert np.abs(np.corrcoef(unit[:, 1:].ravel(), unit[:, :-1].ravel())[0, 1]) < 0.03
    assert np.abs(np.corrcoef(unit.ravel(), noise[2].ravel())[0, 1]) < 0.03
    assert (np.abs(unit) < 1).mean() == pytest.approx(0.683, abs=0.03)  # the sum of four bytes is a little flatter
    assert (np.abs(unit) > 2).mean() == pytest.approx(0.0455, abs=0.015)


def test_grain_is_fixed_by_its_key():
    flat, level = tf.zeros((1, 32, 32)), tf.ones((1, 1, 1))
    first = np.asarray(sharpness_and_grain.grain(flat, level, tf.constant([[[7]]])))
    np.testing.assert_array_equal(first, np.asarray(sharpness_and_grain.grain(flat, level, tf.constant([[[7]]]))))
    assert (first != np.asarray(sharpness_and_grain.grain(flat, level, tf.constant([[[8]]])))).mean() > 0.9


def test_grain_of_a_step_stays_below_its_largest_level():
    levels = sampled(AugmentConfig(noise=9.0), 20_000).noise
    assert levels.min() >= 0
    assert 8.9 < levels.max() <= 9.0


def test_blending_mixes_images_and_targets_alike():
    images, targets = tf.constant(pictures(4).astype(np.float32)), tf.constant([[0.0], [1.0], [1.0], [0.0]])
    uniform = np.zeros((4, augment.DRAWS), np.float32)
    uniform[:, Draw.MIXUP] = [0, 0.5, 1, 1]
    mixed, wanted = augment.blend(images, targets, tf.constant(uniform), 0.4)
    np.testing.assert_allclose(wanted[:, 0], [0.0, 0.8, 1.0, 0.4], atol=1e-6)
    np.testing.assert_allclose(mixed[0], images[0])
    np.testing.assert_allclose(mixed[3], 0.6 * images[3] + 0.4 * images[2], atol=1e-3)
