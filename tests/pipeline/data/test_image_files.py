import cv2
import numpy as np
import pytest

from pipeline.augmentation import augment, on_host
from pipeline.config import AugmentConfig
from pipeline.data import image_files
from pneumo_tfds.decode import decode
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.opening import open_source

SIZE, COUNT = 24, 22


@pytest.fixture
def source(tmp_path):
    """Image i is about as bright as i, so that its number can be read back."""
    for number in range(COUNT):
        label = ("NORMAL", "PNEUMONIA")[number % 2]
        name = f"person{number}_virus_{number}.jpeg" if number % 2 else f"IM-{number:04d}-0001.jpeg"
        place = tmp_path / "train" / label / name
        place.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((60, 80), 10 * number + 20, np.uint8)
        image[20:30, 20:30] += 5
        cv2.imwrite(str(place), image, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return open_source(tmp_path)


def batches(source, changes=None, seed=0, epoch=1, batch_size=4, threads=2):
    return list(
        image_files.training_batches(
            source, source.images, SIZE, batch_size, seed=seed, epoch=epoch, changes=changes, threads=threads
        )
    )


def numbers(found):
    return [round((float(np.median(image)) - 20) / 10) for images, _ in found for image in images]


def test_without_augmentation_pixels_are_those_of_a_built_dataset(source):
    expected = {decode(source.read(image), SIZE).tobytes() for image in source.images}
    found = batches(source)
    assert all(image.tobytes() in expected for images, _ in found for image in images)
    assert found[0][0].dtype == np.uint8


def test_epoch_has_every_image_once_with_its_label(source):
    found = batches(source)
    seen = numbers(found)
    assert len(seen) == len(set(seen)) == 20
    assert [number % 2 for number in seen] == [int(label) for _, labels in found for label in labels]


def test_order_differs_each_epoch_and_repeats_for_a_seed(source):
    first = numbers(batches(source))
    assert first == numbers(batches(source))
    assert first != numbers(batches(source, epoch=2))
    assert first != numbers(batches(source, seed=1))


def test_number_of_threads_changes_nothing(source):
    for one, many in zip(
        batches(source, AugmentConfig(), threads=1), batches(source, AugmentConfig(), threads=4), strict=True
    ):
        assert np.array_equal(one[0], many[0])
        assert np.array_equal(one[1], many[1])


def test_augmented_batches_are_those_of_the_device_to_interpolation(source):
    config = AugmentConfig(flip=0, rotation=0, zoom=0, aspect=0, shift=0, shear=0)  # intensities alone
    images, _ = batches(source, config, seed=5)[0]
    plain, _ = batches(source, None, seed=5)[0]
    drawn = on_host.sampler(config, SIZE)(augment.draw(5, 0, 4))
    expected = on_host.apply(plain, drawn)
    assert np.median(np.abs(images - expected)) < 2
    assert images.dtype == np.float32


def test_corrupt_file_is_named(source, tmp_path):
    victim = next((tmp_path / "train" / "NORMAL").glob("*.jpeg"))
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(InputError, match=victim.name):
        batches(source, batch_size=COUNT)


def test_batch_larger_than_the_source_is_refused(source):
    with pytest.raises(InputError, match="--batch-size is 23"):
        batches(source, batch_size=COUNT + 1)
