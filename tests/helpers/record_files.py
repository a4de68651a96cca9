"""Record files of numbered images, serialised by protobuf itself, whose order of features differs from a build's."""

import numpy as np
import tensorflow as tf

from pipeline.data.split import StoredSplit

SIZE, COUNT = 16, 50


def example(number, size=SIZE):
    """Image `number`: its first pixel is its number, the rest follows from it."""
    pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
    pixels[0, 0] = number
    texts = {
        "image": pixels.tobytes(), "patient": f"person{number // 2}".encode(), "subtype": b"virus",
        "filename": f"train/é{number}.jpeg".encode(), "official_split": b"train",
    }  # fmt: skip
    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for name, text in texts.items()}
    features["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number % 2]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


class Streamed(StoredSplit):
    """A split of which all pixels may never be in memory at once."""

    @property
    def examples(self):
        raise AssertionError("all pixels of a split that is streamed were put into memory")


def write(folder, count=COUNT, files=3, size=SIZE):
    paths = [str(folder / f"pneumo_tfds-train.tfrecord-{part:05d}-of-{files:05d}") for part in range(files)]
    for part, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as writer:
            for number in np.array_split(np.arange(count), files)[part]:
                writer.write(example(int(number), size))
    return StoredSplit("train", tuple(paths), count, size)


def numbers(batches):
    """Return the numbers of all images of batches."""
    return [int(image[0, 0, 0]) for images, _ in batches for image in np.asarray(images)]
