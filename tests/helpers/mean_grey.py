"""A stand-in for `pipeline.networks.forward_pass.OutputsFn`: a model that says an image's mean grey level."""

import numpy as np


class OutputsFn:
    """Says an image's mean grey level, and has no heat maps."""

    def __init__(self, model="the model", *, expected=0):
        assert model == "the model"

    def __call__(self, images):
        return {"probability": self.probabilities(images)[:, None].astype(np.float32)}

    def probabilities(self, images):
        return images.mean(axis=(1, 2, 3)) / 255
