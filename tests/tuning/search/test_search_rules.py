"""Objectives, the median rule, what a resumed search is held to, and the environment of a cluster."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import stub_search as stub
from pipeline.config import DataConfig, ModelConfig, RunConfig, SearchConfig
from pneumo_tfds.program.errors import InputError
from tuning.search import kerastuner_roles
from tuning.search.journal import Journal
from tuning.search.median_rule import below_median
from tuning.search.objective import parse_objective, sensitivity_at
from tuning.search.search_folder import SearchData
from tuning.search.search_plan import Plan
from tuning.session import run_search


def finished(*values):
    return Journal({}, epochs=[{"validation_auroc": value} for value in values], outcome="finished")


def test_a_journal_of_before_the_median_rule_was_renamed_is_read(tmp_path):
    replace(finished(0.8), outcome="hopeless").write(tmp_path)
    assert Journal.read(tmp_path).outcome == "stopped early"


def test_objectives_have_their_direction():
    assert parse_objective("validation_auroc").direction == "max"
    assert parse_objective("validation_loss").direction == "min"
    assert parse_objective("validation_loss").better(0.1, 0.2)
    assert parse_objective("sensitivity@0.95").specificity == 0.95


@pytest.mark.parametrize("name", ["val_loss", "sensitivity@1.5", "sensitivity@", ""])
def test_an_objective_no_run_reports_is_refused(name):
    with pytest.raises(InputError, match=r"--objective .* choose from shifted_auroc"):
        parse_objective(name)


def test_sensitivity_at_a_specificity_is_read_off_the_roc_curve():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    scores = np.array([0.1, 0.2, 0.3, 0.9, 0.25, 0.8, 0.95, 0.99])
    assert sensitivity_at(labels, scores, 1.0) == 0.5
    assert sensitivity_at(labels, scores, 0.75) == 0.75
    assert sensitivity_at(labels, scores, 0.5) == 1.0


def test_a_trial_below_the_median_is_told_from_one_above():
    peers = [finished(0.8, 0.9, 0.95) for _ in range(4)]
    auroc = parse_objective("validation_auroc")
    assert below_median([0.7], peers, auroc)
    assert not below_median([0.8], peers, auroc)
    assert not below_median([0.7, 0.95], peers, auroc)  # its best so far counts
    assert not below_median([0.1, 0.1, 0.1], peers, auroc)  # the last epoch is behind it anyway


def test_too_few_or_unfinished_peers_stop_nobody():
    auroc = parse_objective("validation_auroc")
    assert not below_median([0.1], [finished(0.8, 0.9)] * 3, auroc)
    assert not below_median([0.1], [replace(finished(0.8, 0.9), outcome="stopped early")] * 9, auroc)


def test_a_loss_is_worse_when_it_is_higher():
    peers = [
        Journal({}, epochs=[{"validation_loss": 0.4}, {"validation_loss": 0.3}], outcome="finished") for _ in range(4)
    ]
    assert below_median([0.5], peers, parse_objective("validation_loss"))
    assert not below_median([0.3], peers, parse_objective("validation_loss"))


def test_a_resumed_search_may_have_another_budget(plan, tmp_path):
    plan(max_trials=4).write(tmp_path / "search.json")
    plan(max_trials=40, minutes=5.0, workers=2, epoch_budget=9).check_same_as(tmp_path / "search.json")


def test_a_search_from_before_there_were_framings_may_be_resumed(plan, tmp_path):
    recorded = plan().as_json()
    assert recorded["settings"]["data"].pop("framing") == "squeeze"
    (tmp_path / "search.json").write_text(json.dumps(recorded))
    plan().check_same_as(tmp_path / "search.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trial_epochs": 9}, "search.trial_epochs was 3, is now 9"),
        ({"tuner": "grid"}, "search.tuner was random, is now grid"),
        ({"objective": "validation_loss"}, "search.objective was validation_auroc"),
        ({"ranges": ("l2=1e-5:1e-4",)}, "space.l2.low was 1e-06, is now 1e-05"),
        ({"ranges": ("dropout=0.3",)}, "model.dropout was 0.1, is now 0.3"),
    ],
)
def test_another_space_or_objective_is_refused_and_the_difference_named(plan, tmp_path, options, message):
    plan().write(tmp_path / "tuner" / "search.json")
    with pytest.raises(InputError, match="holds another search") as caught:
        plan(**options).check_same_as(tmp_path / "tuner" / "search.json")
    assert message in str(caught.value)


def test_another_model_or_other_images_are_refused_and_the_difference_named(plan, tmp_path):
    made = plan()
    made.write(tmp_path / "tuner" / "search.json")
    study = replace(made.start, model=ModelConfig(model="study", dropout=0.1))
    for other, message in (
        (replace(made, start=study), "model.model was compact, is now study"),
        (replace(made, data={**made.data, "metadata": "xyz"}), "data.metadata was abc, is now xyz"),
        (replace(made, data={**made.data, "images": {"train": 81, "validation": 20}}), "data.images.train was 80"),
    ):
        with pytest.raises(InputError, match="holds another search") as caught:
            other.check_same_as(tmp_path / "tuner" / "search.json")
        assert message in str(caught.value)


def test_where_the_data_lie_does_not_matter_but_what_they_are_does(plan, tmp_path):
    for name, content in (("a", "{}"), ("b", "{}"), ("c", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metadata.json").write_text(content)
    images, halves = {"train": 8, "validation": 2}, [lambda: (SimpleNamespace(image_size=32), None)]
    a, b, c = (SearchData(tmp_path / name, images, halves).identity() for name in "abc")
    assert a == b != c
    assert a["images"] == {"train": 8, "validation": 2}
    made = plan()
    made.write(tmp_path / "search.json")
    moved = replace(made.start, data=DataConfig(dataset=tmp_path / "b"))
    Plan(moved, made.data).check_same_as(tmp_path / "search.json")


def test_the_winner_keeps_the_runs_epochs_and_takes_the_trials_values(plan):
    made = plan(trial_epochs=2)
    values = {"learning_rate": 3e-3, "dropout": 0.4, "l1": 0.0, "l2": 1e-5}
    winner = made.winner(values)
    assert stub.values(made, winner) == values
    assert winner.fit.epochs == made.start.fit.epochs == 12


def test_kerastuners_variables_make_chief_worker_or_neither():
    assert kerastuner_roles.role({}) == "alone"
    assert kerastuner_roles.role(kerastuner_roles.environment("chief", 8000)) == "chief"
    assert kerastuner_roles.role(kerastuner_roles.environment("tuner0", 8000)) == "worker"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({kerastuner_roles.PORT: ""}, f"{kerastuner_roles.PORT} not"),
        ({kerastuner_roles.TUNER: ""}, f"{kerastuner_roles.TUNER} not"),
        ({kerastuner_roles.PORT: "http"}, "must be a port number"),
    ],
)
def test_half_an_environment_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        kerastuner_roles.role(kerastuner_roles.environment("tuner0", 8000) | change)


def test_a_port_in_use_is_refused_before_two_chiefs_share_it(monkeypatch):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as gRPC does
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for name, value in kerastuner_roles.environment("chief", taken.getsockname()[1]).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1.*choose another {kerastuner_roles.PORT}"):
            kerastuner_roles.check_port()
    monkeypatch.setenv(kerastuner_roles.PORT, str(kerastuner_roles.free_port()))
    kerastuner_roles.check_port()


def test_a_worker_without_a_chief_gives_up_and_says_where_it_looked(monkeypatch):
    for name, value in kerastuner_roles.environment("tuner0", kerastuner_roles.free_port()).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(kerastuner_roles.CHIEF_PATIENCE, "0.2")
    with pytest.raises(InputError, match=r"no chief answers at 127\.0\.0\.1"):
        kerastuner_roles.await_chief()


@pytest.mark.parametrize("text", ["soon", "-1", "0", "inf", "nan", ""])
def test_patience_that_is_no_number_of_seconds_is_refused_by_name(monkeypatch, text):
    monkeypatch.setenv(kerastuner_roles.WORKER_PATIENCE, text)
    with pytest.raises(
        InputError, match=f"{kerastuner_roles.WORKER_PATIENCE} is '{text}'; it must be a number of seconds"
    ):
        kerastuner_roles.patience(kerastuner_roles.WORKER_PATIENCE)


def test_a_worker_is_heard_of_several_times_before_it_counts_as_lost(monkeypatch):
    for seconds in ("2", "120", "3600"):
        monkeypatch.setenv(kerastuner_roles.WORKER_PATIENCE, seconds)
        assert kerastuner_roles.heartbeat_seconds() <= float(seconds) / 4
        assert kerastuner_roles.heartbeat_seconds() <= 10


def test_trials_are_judged_on_shifted_validation_unless_asked_otherwise():
    assert SearchConfig().objective == "shifted_auroc"
    assert parse_objective(SearchConfig().objective).direction == "max"
    assert parse_objective("shifted_auroc").curve == parse_objective("sensitivity@0.90").curve == "validation_auroc"
    assert parse_objective("validation_loss").curve == "validation_loss"


def test_a_search_on_the_machines_of_one_training_is_refused_before_anything_is_written(monkeypatch, tmp_path):
    machines = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(machines))
    with pytest.raises(InputError, match="TF_CONFIG"):
        run_search(RunConfig(), tmp_path / "run", resume=False)
    assert not (tmp_path / "run").exists()
