"""Golden examples: one of them is UNCERTAIN, if the model has such answers and a drawn X-ray that gets one is found."""

import numpy as np
import pytest

from brightness_model import write_model
from export.inference import golden
from export.inference.classifier import Classifier


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    limits = {"certain_normal_below": "0.1", "certain_pneumonia_from": "0.95", "familiarity_threshold": "0.01"}
    return Classifier(write_model(path, version="2", guarantee="none", **limits))


def test_one_example_is_uncertain_and_far_from_every_limit(classifier):
    arrays = golden.make(classifier.predict_batch, classifier.metadata)
    assert arrays["names"][-1] == "drawn-uncertain"
    assert arrays["decision"][-1] == "UNCERTAIN"
    row = golden.rows(arrays)[-1]
    assert not classifier.metadata.limits.near(*row, golden.FAR_FROM_A_LIMIT)
    assert golden.self_test(classifier, arrays) == []


def test_a_model_whose_answers_are_all_certain_has_none(classifier):
    from dataclasses import replace

    certain = replace(classifier.metadata, certain_normal_below=0.5, certain_pneumonia_from=0.5)
    assert "drawn-uncertain" not in golden.make(classifier.predict_batch, certain)["names"]


def test_search_ends_where_no_drawn_x_ray_is_uncertain(classifier, monkeypatch):
    monkeypatch.setattr(golden, "DRAWN", golden.DRAWN_AT_ONCE)
    seen = []

    def sure(images):
        seen.append(len(images))
        return {"probability": np.full((len(images), 1), 0.999, np.float32)}

    arrays = golden.make(sure, classifier.metadata)
    assert len(arrays["names"]) == len(arrays["decision"]) == seen[-1]
    assert "UNCERTAIN" not in arrays["decision"]
