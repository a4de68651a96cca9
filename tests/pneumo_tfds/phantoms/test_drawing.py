"""Phantoms: the same every time, of realistic size and name, and no shortcut to the class."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from pneumo_tfds.decode import decode
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.phantoms import drawing
from pneumo_tfds.phantoms.phantom_source import phantom_source, write_phantoms
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.sources.opening import open_source, understand


def test_same_seed_same_picture_another_seed_another():
    arguments = ("person1", "a.jpeg", "bacteria")
    first = drawing.render(0, *arguments)
    np.testing.assert_array_equal(first, drawing.render(0, *arguments))
    other = drawing.render(1, *arguments)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_sizes_are_those_of_a_radiograph():
    shapes = {drawing.render(0, f"p{i}", f"{i}", "normal").shape for i in range(8)}
    assert all(600 < height < 1500 and 1100 < width < 1750 for height, width in shapes)
    assert len(shapes) > 4


def test_source_is_like_kaggles():
    source = phantom_source(500)
    assert len(source.images) == 500
    assert {image.official_split for image in source.images} == {"train", "val", "test"}
    normal = sum(image.label == "NORMAL" for image in source.images)
    assert normal == pytest.approx(200, abs=5)
    patients = {image.patient for image in source.images}
    assert 150 < len(patients) < 350, "several images a patient"
    assert {image.subtype for image in source.images} == {"normal", "bacteria", "virus"}


@pytest.mark.parametrize("count", [60, 61, 99, 500])
def test_count_is_exact(count):
    assert len(phantom_source(count).images) == count


def test_seed_is_part_of_the_fingerprint():
    first, again, other = (phantom_source(60, seed).fingerprint("") for seed in (0, 0, 1))
    assert first == again != other


def test_too_few_is_an_error():
    with pytest.raises(InputError, match="ask for 60 or more"):
        phantom_source(20)


def test_written_files_are_the_source(tmp_path):
    paths = write_phantoms(tmp_path / "p", 60)
    source, drawn = open_source(tmp_path / "p"), phantom_source(60)
    assert len(paths) == 60
    assert source.images == drawn.images
    assert source.read(source.images[7]) == drawn.read(drawn.images[7])
    assert read_header(source.read(source.images[7])).format == "JPEG"
    with pytest.raises(InputError, match="is not empty"):
        write_phantoms(tmp_path / "p", 60)


@pytest.mark.parametrize("inside", ["", "test"])
def test_written_phantoms_are_known_to_be_drawn(tmp_path, inside):
    """They have the names of Kermany's X-rays, and are no children of his hospital."""
    write_phantoms(tmp_path / "p", 60)
    found = open_source(tmp_path / "p" / inside)
    assert found.survey.layout == "phantoms"
    assert not found.survey.left_out
    for marker in (tmp_path / "p").rglob("PHANTOMS.txt"):
        marker.unlink()
    named = open_source(tmp_path / "p" / inside)
    assert named.survey.layout == "kermany"
    assert named.fingerprint("") != found.fingerprint("")  # one dataset is not taken for the other


def test_phantoms_among_x_rays_are_asked_about(tmp_path):
    write_phantoms(tmp_path / "drawn", 60)
    for label in ("NORMAL", "PNEUMONIA"):
        shutil.copytree(tmp_path / "drawn" / "train" / label, tmp_path / "train" / label)
    found = understand(tmp_path).survey
    assert found.layout != "phantoms"
    assert "drawn/PHANTOMS.txt says that the images beside it are no X-rays" in "\n".join(found.questions)


@pytest.mark.slow
def test_brightness_and_linear_models_do_not_tell_the_class():
    """A logistic regression on pixels stays under 0.80 AUROC, mean grey alone near chance."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    source = phantom_source(400, seed=3)
    small = np.stack(list(ordered_map(lambda i: decode(source.read(i), 32)[:, :, 0], source.images)))
    labels = np.array([image.label == "PNEUMONIA" for image in source.images])
    testing = np.array([image.official_split == "test" for image in source.images])
    assert abs(roc_auc_score(labels, small.mean(axis=(1, 2))) - 0.5) < 0.15
    pixels = StandardScaler().fit_transform(small.reshape(len(small), -1).astype(np.float64))
    model = LogisticRegression(C=0.01, max_iter=300).fit(pixels[~testing], labels[~testing])
    assert roc_auc_score(labels[testing], model.decision_function(pixels[testing])) < 0.80


def test_opacities_are_drawn_and_no_class_is_brighter():
    """The mean density of a chest is matched between classes in part; what differs is the pattern."""
    healthy = drawing.render(0, "p", "n", "normal")
    for subtype in ("bacteria", "virus"):
        ill = drawing.render(0, "p", "n", subtype)
        assert ill.shape == healthy.shape
        assert not np.array_equal(ill, healthy)
