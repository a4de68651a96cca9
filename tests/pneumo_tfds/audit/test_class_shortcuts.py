"""Properties that are not disease, as scores for the class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumo_tfds.audit.class_shortcuts import auroc_with_interval, shortcuts
from pneumo_tfds.audit.image_facts import ImageFacts
from pneumo_tfds.sources.inventory import Image


def fact(number, label, **values):
    shown = {"width": 100, "height": 100, "bits": 8, "size": 5000, "mean": 100.0, "spread": 40.0, **values}
    return ImageFacts(Image(f"{label}/{number}.png", label, f"p{number}", "unknown"), sha256="x", **shown)


def test_auroc_is_that_of_scikit_learn_with_equal_values():
    random = np.random.default_rng(1)
    positive = random.random(300) < 0.4
    values = np.round(random.normal(size=300) + 0.6 * positive, 1)
    area, low, high = auroc_with_interval(values, positive)
    assert area == pytest.approx(roc_auc_score(positive, values))
    assert low < area < high


def test_interval_holds_the_true_value_about_as_often_as_it_says():
    random = np.random.default_rng(2)
    positive = np.arange(120) % 3 == 0
    true = 0.714  # of two normal distributions 0.8 apart
    held = 0
    for _ in range(400):
        _, low, high = auroc_with_interval(random.normal(size=120) + 0.8 * positive, positive)
        held += low <= true <= high
    assert 0.9 <= held / 400 <= 0.99


def test_the_property_that_tells_the_classes_apart_comes_first():
    facts = [fact(n, "NORMAL", width=100 + n, mean=90.0 + n % 7) for n in range(20)]
    facts += [fact(n, "PNEUMONIA", width=180 + n, mean=90.0 + n % 7) for n in range(20)]
    found = shortcuts(facts)
    assert found[0].name in ("width", "pixels", "aspect", "bytes_per_pixel")
    assert found[0].strength == 1
    assert next(one for one in found if one.name == "mean_grey").strength < 0.6
    assert "height" not in {one.name for one in found}, "what is the same in all images tells nothing"


def test_one_class_has_no_shortcuts():
    assert shortcuts([fact(n, "NORMAL", width=100 + n) for n in range(5)]) == []
