"""Examples of made images."""

import numpy as np

from pipeline.data.split import Examples


def examples_of(images):
    """Examples of images `[n, S, S, 1]`: every other one is PNEUMONIA, each of a patient and a file of its own."""
    names = np.arange(len(images)).astype(str)
    return Examples(images, np.arange(len(images)) % 2, names, names, names)
