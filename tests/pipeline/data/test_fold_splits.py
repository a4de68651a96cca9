"""Folds whose validation has few patients are warned of."""

import numpy as np

from pipeline.data.fold_splits import few_in_validation
from pipeline.data.split import Examples


def test_a_validation_of_few_patients_of_a_class_is_said():
    labels = np.arange(80) % 2
    patients = np.array([f"p{number // 2}-{number % 2}" for number in range(80)])
    patients[::2] = [f"n{number // 2}" for number in range(40)]  # NORMAL: 20 patients of two images
    examples = Examples(np.zeros((80, 4, 4, 1), np.uint8), labels, patients, patients, patients)
    enough, few = np.arange(40), np.concatenate([np.arange(12), np.arange(13, 60, 2)])
    assert few_in_validation(examples, [enough, enough]) == ""
    said = few_in_validation(examples, [enough, few])
    assert said.startswith("validation of fold 2 has 3 patients of a class, fewer than 10")
