"""Training: it learns, it resumes, it stops when it should, and it reads nothing but its two splits."""

import dataclasses
import json

import numpy as np
import pytest

from pipeline.config import AugmentConfig, DataConfig, FitConfig, ModelConfig, RunConfig
from pipeline.data.split import Examples, MemorySplit
from pipeline.run_folder import checkpoint
from pipeline.run_folder.folder import RunFolder
from pipeline.stages.fit_and_judge import train_as_worker
from pipeline.training.fit import DivergedError, fit
from pneumo_tfds.program.errors import InputError

SIZE = 48
SETTINGS = RunConfig(
    model=ModelConfig(model="study", dropout=0.2),
    fit=FitConfig(epochs=3, batch_size=16, learning_rate=2e-3, precision="float32", deterministic=False),
)


def bright_corner_split(name, count, seed):
    """Positive images have a bright patch somewhere in the upper half, negative ones in the lower."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 60, (count, SIZE, SIZE, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(2, 8) + (0 if label else SIZE // 2), rng.integers(2, SIZE - 10)
        image[row : row + 7, column : column + 7] = 220
    text = np.array([f"{name}{i}" for i in range(count)])
    return MemorySplit(name, Examples(images, labels.astype(np.int64), text, text, text))


@pytest.fixture(scope="module")
def splits():
    return bright_corner_split("train", 96, 0), bright_corner_split("validation", 40, 1)


@pytest.mark.slow
def test_training_learns_what_can_be_learned(splits):
    gentle = AugmentConfig(rotation=3, zoom=0.05, shift=0.02, shear=1)
    longer = dataclasses.replace(SETTINGS.fit, epochs=12)
    fitted = fit(dataclasses.replace(SETTINGS, augment=gentle, fit=longer), *splits)
    assert fitted.best.validation_auroc > 0.95


@pytest.mark.slow
def test_the_best_epoch_is_kept_or_the_last(splits, monkeypatch):
    monkeypatch.setattr("pipeline.training.fit._merit", lambda epoch: (-float(epoch.epoch), 0.0))
    two = dataclasses.replace(SETTINGS.fit, epochs=2)
    both = {
        keep: fit(dataclasses.replace(SETTINGS, fit=dataclasses.replace(two, keep=keep)), *splits)
        for keep in ("best", "last")
    }
    assert {keep: fitted.best.epoch for keep, fitted in both.items()} == {"best": 1, "last": 2}
    first, last = (fitted.network.get_weights()[0] for fitted in both.values())
    assert np.abs(first - last).max() > 1e-4


@pytest.mark.slow
def test_resumed_training_equals_the_uninterrupted_one(splits, tmp_path):
    def end_between_its_row_and_its_checkpoint(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    whole, reported = fit(SETTINGS, *splits), []
    with pytest.raises(KeyboardInterrupt):
        fit(SETTINGS, *splits, folder=tmp_path, on_epoch=end_between_its_row_and_its_checkpoint)
    resumed = fit(SETTINGS, *splits, folder=tmp_path, on_epoch=lambda epoch: reported.append(epoch.epoch))
    assert [row.epoch for row in resumed.history] == [1, 2, 3]
    assert reported == [2, 3], "no epoch is missed"
    assert resumed.history[-1].loss == pytest.approx(whole.history[-1].loss, rel=1e-4)
    for one, other in zip(whole.network.get_weights(), resumed.network.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.slow
def test_training_goes_on_with_its_own_images_or_not_at_all(splits, tmp_path):
    train, validation = splits
    one = dataclasses.replace(SETTINGS, fit=dataclasses.replace(SETTINGS.fit, epochs=1))
    fold = dataclasses.replace(one, data=DataConfig(folds=2, fold=1))
    fit(fold, train, validation, folder=tmp_path)
    fit(fold, train, validation, folder=tmp_path)
    others = dataclasses.replace(train.examples, filenames=np.char.add("other", train.examples.filenames))
    with pytest.raises(InputError, match="no longer those that this run was trained with; train it again"):
        fit(fold, MemorySplit("train", others), validation, folder=tmp_path)

    path = tmp_path / checkpoint.FILE  # as of a version that did not record them, and dealt folds in another way
    arrays = dict(np.load(path))
    state = json.loads(str(arrays.pop("state")))
    del state["images"]
    np.savez(path, state=np.array(json.dumps(state)), **arrays)
    with pytest.raises(InputError, match="no longer those that this run was trained with; train it again"):
        fit(fold, train, validation, folder=tmp_path)
    fit(one, train, validation, folder=tmp_path)


@pytest.mark.slow
def test_finished_training_is_not_repeated(splits, tmp_path):
    first = fit(SETTINGS, *splits, folder=tmp_path)
    again = fit(SETTINGS, *splits, folder=tmp_path, on_epoch=lambda epoch: pytest.fail("trained once more"))
    assert again.history == first.history
    for one, other in zip(first.network.get_weights(), again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_seed_decides_the_start_and_another_one_changes_it(splits):
    once = dataclasses.replace(SETTINGS, fit=dataclasses.replace(SETTINGS.fit, epochs=1))
    other = dataclasses.replace(once, fit=dataclasses.replace(once.fit, seed=1))
    first, second, third = (fit(config, *splits).history[0].loss for config in (once, once, other))
    assert first == pytest.approx(second, rel=1e-5)
    assert first != pytest.approx(third, rel=1e-3)


@pytest.mark.slow
def test_loss_that_is_no_number_ends_training_with_advice(splits):
    train, validation = splits
    images = np.full(train.examples.images.shape, 3e38, np.float32)
    huge = MemorySplit("train", dataclasses.replace(train.examples, images=images))
    plain = dataclasses.replace(
        SETTINGS, augment=AugmentConfig(augment=False), model=ModelConfig(model="study", normalize=False)
    )
    with pytest.raises(DivergedError, match="lower --learning-rate"):
        fit(plain, huge, validation)


@pytest.mark.slow
def test_training_can_stop_early_and_go_on_along_the_same_schedule(splits, tmp_path):
    short = fit(SETTINGS, *splits, folder=tmp_path, on_epoch=lambda epoch: True)
    assert [row.epoch for row in short.history] == [1]
    assert fit(SETTINGS, *splits, folder=tmp_path, until=1).history == short.history
    whole = fit(SETTINGS, *splits, folder=tmp_path)
    rates = [row.learning_rate for row in whole.history]
    assert len(rates) == 3
    assert rates[-1] == pytest.approx(SETTINGS.fit.learning_rate / 100, rel=0.01)


class Untouchable:
    """A split that must not be read."""

    def __getattribute__(self, name):
        pytest.fail(f"training read {name} of test")


@pytest.mark.slow
def test_training_reads_train_and_validation_and_never_test(splits, tmp_path, monkeypatch):
    train, validation = splits
    every = {"train": train, "validation": validation, "test": Untouchable()}
    monkeypatch.setattr("pipeline.stages.fit_and_judge.splits_to_train_on", lambda data: every)
    once = dataclasses.replace(SETTINGS, fit=dataclasses.replace(SETTINGS.fit, epochs=1))
    folder = RunFolder(tmp_path)
    train_as_worker(folder, once)
    assert (folder.checkpoint / checkpoint.FILE).exists(), "it was trained"


@pytest.mark.slow
def test_validation_chooses_the_epoch_and_changes_nothing_that_is_learned(splits):
    train, validation = splits
    other = MemorySplit("validation", dataclasses.replace(validation.examples, labels=1 - validation.labels))
    first, second = fit(SETTINGS, train, validation), fit(SETTINGS, train, other)
    assert [row.loss for row in first.history] == pytest.approx([row.loss for row in second.history], rel=1e-4)
    assert [row.validation_auroc for row in first.history] != [row.validation_auroc for row in second.history]
