"""The table of predictions, in memory and on disk."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.predictions import COLUMNS, FAMILIARITY, Predictions, as_written, read_csv, write_csv
from pneumo_tfds.program.errors import InputError


def table(probabilities, labels, prefix="a"):
    n = len(labels)
    return Predictions(
        np.array([f"{prefix}{i}.jpeg" for i in range(n)]),
        np.array([f"p{i // 2}" for i in range(n)]),
        np.array(["bacteria" if y else "normal" for y in labels]),
        np.array(labels),
        np.array(probabilities),
    )


def test_a_table_comes_back_from_disk_as_it_was_written(tmp_path):
    given = {
        "validation": table([0.25, 1 / 3], [0, 1]),
        "test": table([0.0, 1.0, 1e-7], [1, 0, 1], prefix='odd, "name" \u00e9 '),
    }
    write_csv(tmp_path / "predictions.csv", given)
    back = read_csv(tmp_path / "predictions.csv")
    assert list(back) == ["validation", "test"]
    for split, original in given.items():
        for column in ("filenames", "patients", "subtypes", "labels"):
            np.testing.assert_array_equal(getattr(back[split], column), getattr(original, column))
        np.testing.assert_allclose(back[split].probabilities, original.probabilities, rtol=1e-8)
        np.testing.assert_array_equal(back[split].probabilities, as_written(original.probabilities))


def test_the_file_names_the_classes_and_pneumonia_is_one(tmp_path):
    write_csv(tmp_path / "p.csv", {"test": table([0.1, 0.123456789123], [0, 1])})
    header, normal, pneumonia = (tmp_path / "p.csv").read_text().splitlines()
    assert header.split(",") == [*COLUMNS, FAMILIARITY]
    assert normal == "test,a0.jpeg,p0,normal,NORMAL,0.1,"
    assert pneumonia == "test,a1.jpeg,p0,bacteria,PNEUMONIA,0.123456789,"


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([0.5, 1.5], [0, 1], r"a1\.jpeg is 1\.5"),
        ([0.5, np.nan], [0, 1], r"a1\.jpeg is nan"),
        ([0.5, 0.5], [0, 2], "0 .NORMAL. or 1 .PNEUMONIA."),
        ([], [], "at least one image"),
        ([0.5], [0, 1], "equally long"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused(probabilities, labels, message):
    with pytest.raises(InputError, match=message):
        table(probabilities, labels)


def test_an_image_scored_twice_is_refused():
    with pytest.raises(InputError, match=r"same\.jpeg.*twice"):
        Predictions(*[np.array(["same.jpeg"] * 2), np.array(["p", "q"]), np.array(["normal"] * 2)], [0, 1], [0.1, 0.2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split,filename\n", "lacks the column patient"),
        (",".join(COLUMNS) + "\n", "no rows"),
        (",".join(COLUMNS) + "\ntest,a,p,normal,HEALTHY,0.1\n", "line 2: the label"),
        (",".join(COLUMNS) + "\ntest,a,p,normal,NORMAL,much\n", "line 2: the probability 'much'"),
        (",".join(COLUMNS) + "\ntest,a,p\n", "line 2"),
    ],
)
def test_a_file_that_is_no_table_is_one_clear_error(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_csv(tmp_path / "p.csv")


def test_a_missing_or_binary_file_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="evaluate the run first"):
        read_csv(tmp_path / "none.csv")
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_csv(tmp_path / "p.csv")
