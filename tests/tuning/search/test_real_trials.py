"""Searches with real images: a whole one, one whose loss is no number, one that goes on from weights, one in folds."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import DataConfig, FitConfig, ModelConfig, RunConfig, SearchConfig
from pipeline.config.config_json import read
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from tuning.search.journal import Journal
from tuning.search.search_plan import Plan


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    from pneumo_tfds.prepared import prepare

    return prepare(None, 32, tmp_path_factory.mktemp("data"), phantoms=80)


@pytest.fixture
def opened(dataset):
    """Make a plan and its images, by what the search may spend."""
    from tuning.search.search_folder import open_data

    def make(**search):
        settings = RunConfig(
            data=DataConfig(dataset=dataset, image_size=32),
            model=ModelConfig(model="compact"),
            fit=FitConfig(batch_size=16, precision="float32", deterministic=True),
            search=SearchConfig(**search),
        )
        data = open_data(settings)
        return Plan(settings, data.identity()), data

    return make


def test_trial_folds_divide_the_patients_and_are_those_of_every_trial(opened):
    import numpy as np

    from pipeline.data.group_holdout import splits_of

    plan, data = opened(trial_folds=3)
    assert plan.images == "mean ± deviation over 3 folds of 64 images"
    folds = [halves() for halves in data.halves]
    patients = [set(held.examples.patients) for _, held in folds]
    every = np.concatenate([held.examples.filenames for _, held in folds])
    assert len(every) == len(set(every)) == sum(plan.data["images"].values())
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
    pool = splits_of(replace(plan.start.data, folds=3))["train"]
    for number, (train, held) in enumerate(folds, start=1):
        assert not set(train.examples.patients) & patients[number - 1]
        assert train.count + held.count == len(every)
        assert abs(held.labels.mean() - pool.labels.mean()) < 0.15
        of_run = splits_of(replace(plan.start.data, folds=3, fold=number))["held_out"]
        np.testing.assert_array_equal(held.examples.filenames, of_run.examples.filenames)
    again = [halves() for halves in data.halves]
    for one, other in zip(folds, again, strict=True):
        np.testing.assert_array_equal(one[0].examples.filenames, other[0].examples.filenames)


def test_too_many_trial_folds_are_refused_before_a_search_begins(opened):
    with pytest.raises(InputError, match="20 folds need 20 NORMAL patients"):
        opened(trial_folds=20)


@pytest.mark.slow
def test_a_search_killed_in_the_second_fold_of_a_trial_ends_with_the_same_scores(opened, tmp_path):
    from tuning.search.search_folder import SearchFolder
    from tuning.trials import make_tuner

    class Killed(BaseException):
        pass

    plan, data = opened(tuner="random", max_trials=1, trial_epochs=2, trial_folds=2)

    def dying(config, *, on_epoch, description, **keywords):
        def epoch(row):
            if (row.epoch, "fold 2/" in description) == (2, True):
                raise Killed
            return on_epoch(row)

        return train(config, on_epoch=epoch, description=description, **keywords)

    folds = data.folds(plan.objective)
    train, score = folds[1]
    make_tuner(plan, data, SearchFolder(RunFolder(tmp_path / "whole"))).search()
    killed = SearchFolder(RunFolder(tmp_path / "killed"))
    with pytest.raises(Killed):
        make_tuner(plan, data, killed, folds=[folds[0], (dying, score)]).search()
    assert len(Journal.read(killed.trials / "trial_0").epochs) == 3
    make_tuner(plan, data, killed).search()
    (one,), (other,) = journals(killed.path), journals(tmp_path / "whole" / "tuner")
    assert len(one.scores) == 2
    assert one.scores == other.scores
    assert [row["loss"] for row in one.epochs] == [row["loss"] for row in other.epochs]


def journals(folder):
    return [Journal.read(trial) for trial in sorted((folder / "trials").glob("trial_*"))]


@pytest.mark.slow
def test_a_loss_that_is_no_number_fails_its_trial_and_the_search_goes_on(opened, tmp_path):
    from tuning.search.search_folder import SearchFolder
    from tuning.trials import make_tuner

    plan, data = opened(tuner="random", max_trials=2, trial_epochs=1)
    [(plain, score)] = data.folds(plan.objective)

    def train(config, **keywords):
        if keywords["description"].startswith("Trial 1/"):
            object.__setattr__(config.fit, "learning_rate", 1e30)  # past the check: it allows none this wild
        return plain(config, **keywords)

    make_tuner(plan, data, SearchFolder(RunFolder(tmp_path)), folds=[(train, score)]).search()
    found = journals(tmp_path / "tuner")
    assert [account.outcome for account in found] == ["failed", "finished"]
    assert "the loss is not finite in epoch 1; lower --learning-rate" in found[0].reason


@pytest.mark.long
def test_a_promoted_trial_of_hyperband_learns_as_if_it_had_never_stopped(opened, tmp_path):
    from pipeline.training.fit import fit
    from tuning.search.search_folder import SearchFolder
    from tuning.trials import make_tuner

    plan, data = opened(tuner="hyperband", max_trials=4, trial_epochs=3)
    tuner = make_tuner(plan, data, SearchFolder(RunFolder(tmp_path)))
    tuner.search()
    promoted = journals(tmp_path / "tuner")[3]
    assert promoted.inherited == 1
    drawn = tuner.oracle.trials["3"].hyperparameters.values
    whole = fit(plan.trial(drawn), *data.halves[0]())
    assert [epoch["learning_rate"] for epoch in promoted.epochs] == [epoch.learning_rate for epoch in whole.history]
    # Weights, optimizer and order of the images: were one of them begun anew, the loss would be another.
    assert [epoch["loss"] for epoch in promoted.epochs] == pytest.approx([row.loss for row in whole.history], rel=2e-3)


@pytest.mark.slow
def test_a_real_search_of_two_trials(dataset, tmp_path):
    run_dir = tmp_path / "run"
    flags = ["--dataset", str(dataset), "--image-size", "32", "--batch-size", "16"]
    flags += ["--model", "compact", "--max-trials", "2", "--trial-epochs", "1"]
    command = [sys.executable, "-m", "tuning", "--run-dir", str(run_dir), *flags, "--objective", "shifted_auroc"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    rows = list(csv.DictReader((run_dir / "tuner" / "leaderboard.csv").open()))
    assert sorted(row["trial"] for row in rows) == ["1", "2"]
    assert all(0 <= float(row["shifted_auroc"]) <= 1 for row in rows)
    best = read(run_dir / "tuner" / "best.json", RunConfig)
    assert best.data.dataset == Path(dataset).resolve()
    assert best.fit.epochs == RunConfig().fit.epochs
