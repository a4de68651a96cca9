"""Familiarity: what the graph answers is what the definition says, and strange images are less familiar."""

import keras
import numpy as np
import pytest

from pipeline.config import ModelConfig
from pipeline.networks import familiarity
from pipeline.networks.familiarity_levels import levels_of, share_beyond
from pipeline.networks.forward_pass import OutputsFn
from pipeline.networks.inference_model import committee, inference_model, scoring_model
from pipeline.networks.models import build
from pipeline.run_folder.model_file import load_model, save_model
from pipeline.training.reference_images import cut as as_cut
from pipeline.training.reference_images import wrong as as_wrong

SIZE = 48


def blobs(count, seed):
    """Soft bright blobs on dark ground: the images that the network is to know."""
    generator = np.random.default_rng(seed)
    grid = np.mgrid[:SIZE, :SIZE].astype(float)
    images = np.empty((count, SIZE, SIZE, 1), np.uint8)
    for image in images:
        middle, width = generator.uniform(15, 33, (2, 1, 1)), generator.uniform(6, 12)
        image[..., 0] = 30 + 150 * np.exp(-((grid - middle) ** 2).sum(axis=0) / width**2)
    return images


@pytest.fixture(scope="module", params=["compact", "study"])
def network(request):
    keras.utils.set_random_seed(1)
    return committee([build(ModelConfig(model=request.param), SIZE)])


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "with a background"])
def reference(network, request):
    ask = OutputsFn(scoring_model(network))
    wrong = ask(as_wrong(blobs(300, 8), np.random.default_rng(8))) if request.param else None
    parts = [ask(as_cut(blobs(100, 9), np.random.default_rng(9), part)) for part in ("upper", "lower")]
    fitted = familiarity.fit(ask(blobs(300, 0)), wrong, parts)
    return fitted.with_levels(fitted.distances(ask(blobs(100, 1))))


def test_the_graph_answers_the_share_of_validation_images_that_are_farther(network, reference, tmp_path):
    ask = OutputsFn(scoring_model(network))
    validation, new = reference.distances(ask(blobs(100, 1))), reference.distances(ask(blobs(50, 2)))
    farther = (validation[None] > new[:, None]).mean(axis=1)
    np.testing.assert_allclose(reference.familiarity(new), farther, atol=0.03)
    save_model(tmp_path / "model.keras", inference_model(network, reference=reference))
    answers = OutputsFn(load_model(tmp_path / "model.keras"))(blobs(50, 2))
    np.testing.assert_allclose(answers["familiarity"][:, 0], reference.familiarity(new), atol=0.005)


def test_other_pictures_are_less_familiar_than_any_validation_image(network, reference):
    noise = np.random.default_rng(3).integers(0, 256, (20, SIZE, SIZE, 1), dtype=np.uint8)
    model = inference_model(network, reference=reference)
    for strange in (noise, 255 - blobs(20, 4)):
        assert OutputsFn(model)(strange)["familiarity"].max() < 0.03
    assert OutputsFn(model)(blobs(200, 5))["familiarity"].mean() > 0.3


def test_distances_of_the_images_that_were_fitted_are_those_of_a_normal_distribution(network):
    outputs = OutputsFn(scoring_model(network))(blobs(300, 0))
    numbers = sum(part.shape[1] for part in familiarity.among(outputs).values())
    assert 0 < familiarity.fit(outputs).distances(outputs).mean() <= numbers


def test_distance_is_that_of_mahalanobis_less_that_in_the_spread_of_the_background():
    generator = np.random.default_rng(0)
    known, new = generator.normal(2, 1, (5000, 3)), generator.normal(2, 1, (50, 3))
    wrong = generator.normal([4, 2, 2], [1, 3, 0.5], (5000, 3))

    def squared(points, around):
        inverse = np.linalg.inv((around - 2).T @ (around - 2) / len(around))
        return np.einsum("ni,ij,nj->n", points - 2, inverse, points - 2)

    alone = familiarity.fit({"statistics1": known}).distances({"statistics1": new})
    np.testing.assert_allclose(alone, squared(new, known), rtol=0.1, atol=0.05)
    relative = familiarity.fit({"statistics1": known}, {"statistics1": wrong})
    expected = squared(new, known) - squared(new, wrong)
    np.testing.assert_allclose(relative.distances({"statistics1": new}), expected, rtol=0.1, atol=0.6)
    far = relative.distances({"statistics1": np.array([[2, 2, 2 + 100.0]])})  # where wrong images lie closer together
    assert far > relative.distances({"statistics1": known}).min() - 1


def test_what_lies_in_the_direction_of_a_cut_is_moved_away_and_nothing_else():
    generator = np.random.default_rng(0)
    known, cut = generator.normal(0, 1, (4000, 3)), generator.normal([2, 0, 0], 1, (4000, 3))
    plain = familiarity.fit({"statistics1": known})
    told = familiarity.fit({"statistics1": known}, cut=[{"statistics1": cut}])
    places = np.array([[2, 0, 0], [2.33 + 1, 0, 0], [2.33 + 2, 0, 0], [-4, 0, 0], [0, 4, 0], [0, 0, -4]])
    outputs = {"statistics1": places}
    more = told.distances(outputs) - plain.distances(outputs)
    weight = plain.distances({"statistics1": known}).std()  # for one deviation beyond 99 % of the known ones
    np.testing.assert_allclose(more, weight * np.array([0, 1, 4, 0, 0, 0]), atol=0.5)


def test_a_direction_learned_from_few_images_moves_few_others_away():
    generator = np.random.default_rng(0)
    mixing = generator.normal(0, 1, (5, 200))  # statistics of images go together

    def alike(count):
        return generator.normal(0, 1, (count, 5)) @ mixing + 0.3 * generator.normal(0, 1, (count, 200))

    known, cut, new = alike(100), alike(40), alike(2000)
    plain = familiarity.fit({"statistics1": known}).distances({"statistics1": new})
    told = familiarity.fit({"statistics1": known}, cut=[{"statistics1": cut}]).distances({"statistics1": new})
    assert np.mean(told > plain + 1e-3) < 0.02  # beyond 99 % of the images that the direction was learned from lie 9 %


def test_too_few_cut_images_tell_nothing():
    known = np.random.default_rng(0).normal(0, 1, (50, 3))
    told = familiarity.fit({"statistics1": known}, cut=[{"statistics1": known[:7] + 3}])
    assert told.layers[0].kernel.shape == (3, 3)


@pytest.mark.parametrize("distances", [np.full(5, 70.0), np.array([-4e5, -4e5, 3e6, 3e6 + 0.1])], ids=["equal", "far"])
def test_levels_that_are_alike_do_not_divide_by_zero(network, distances):
    ask = OutputsFn(scoring_model(network))
    fitted = familiarity.fit(ask(blobs(30, 0))).with_levels(distances)
    answers = OutputsFn(inference_model(network, reference=fitted))(blobs(3, 1))["familiarity"]
    assert np.isfinite(answers).all()
    assert ((answers >= 0) & (answers <= 1)).all()


def test_rounding_of_far_distances_moves_the_familiarity_by_less_than_a_step():
    distances = 1e7 + np.arange(500.0)
    levels = levels_of(distances)
    moved = share_beyond(distances * (1 + 7e-5), levels) - share_beyond(distances, levels)
    assert 0 < np.abs(moved).max() < 0.001


def test_a_network_whose_layers_are_not_known_has_no_statistics():
    image = keras.Input((SIZE, SIZE, 1))
    other = keras.Model(image, keras.layers.Dense(1, name="logit")(keras.layers.GlobalAveragePooling2D()(image)))
    assert set(scoring_model(other).output) == {"logit"}
