"""From a run folder to its winner: files, refusals, resuming, confirming, and once with real training."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

import stub_search as stub
from pipeline.config import RunConfig
from pipeline.config.config_json import read, to_dict
from pneumo_tfds.program.errors import InputError
from tuning.__main__ import TuneCommand, recorded_settings, tune
from tuning.settings_check import check_settings


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """Run whole searches in one run folder, without data and training; gives what was printed."""
    from tuning import session

    data = SimpleNamespace(folds=lambda objective: [(fit, stub.score)], identity=lambda: stub.DATA)
    monkeypatch.setattr(session, "with_dataset", lambda settings: settings)
    monkeypatch.setattr(session, "open_data", lambda settings: data)
    monkeypatch.setattr("tuning.results.confirm.releasing_memory", nullcontext)
    whole = SimpleNamespace(folder=tmp_path / "run", train=stub.training())

    def fit(config, **keywords):
        return whole.train(config, **keywords)

    def search(resume=False, folder=None, track=(), **options):
        text = io.StringIO()
        console = Console(file=text, width=120)
        session.run_search(stub.start(**options), folder or whole.folder, resume=resume, track=track, console=console)
        return text.getvalue()

    whole.search = search
    return whole


def leaderboard(whole):
    return list(csv.DictReader((whole.folder / "tuner" / "leaderboard.csv").open()))


def test_a_search_leaves_leaderboard_page_and_winner(whole):
    said = whole.search(max_trials=6)
    rows = leaderboard(whole)
    assert [row["place"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    scores = [float(row["validation_auroc"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    best = read(whole.folder / "tuner" / "best.json", RunConfig)
    assert best.fit.learning_rate == pytest.approx(float(rows[0]["learning_rate"]))
    assert replace(best, fit=stub.start().fit, model=stub.start().model) == stub.start(max_trials=6)
    assert best.fit.epochs == 12
    assert f"Winner: trial {rows[0]['trial']}" in said
    assert said.count("\ntrial ") == 6  # a line a trial where nobody watches
    page = (whole.folder / "tuner" / "search.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(("top", "refused"), [(None, True), (1, True), (0, False)])
def test_seeds_that_confirming_lacks_are_refused_before_a_trial(top, refused, tmp_path):
    settings = stub.start(confirm_top=top, confirm_seeds=3)
    settings = replace(settings, fit=replace(settings.fit, seed=2**31 - 3))
    with pytest.raises(InputError, match="at most 2147483644 with --confirm-seeds 3") if refused else nullcontext():
        check_settings(settings)


def test_a_search_that_was_begun_is_not_begun_again_without_resume(whole):
    whole.search(max_trials=2)
    with pytest.raises(InputError, match="already holds a search; use --resume"):
        whole.search(max_trials=2)
    said = whole.search(max_trials=4, resume=True)
    assert "2 trials have ended" in said
    assert len(leaderboard(whole)) == 4


def test_another_search_is_refused_on_resume(whole):
    whole.search(max_trials=2)
    with pytest.raises(InputError, match=r"search\.trial_epochs was 3, is now 2"):
        whole.search(max_trials=2, trial_epochs=2, resume=True)


def test_a_search_writes_what_it_starts_from_but_no_config_of_a_network(whole):
    whole.search(max_trials=2)
    assert read(whole.folder / "tuner" / "start.json", RunConfig) == stub.start(max_trials=2)
    assert [path.name for path in whole.folder.iterdir()] == ["tuner"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_search_may_begin_beside_a_config_and_leaves_it_as_it_is(whole, resume):
    whole.folder.mkdir()
    config = whole.folder / "config.json"
    config.write_text(json.dumps(to_dict(stub.start(max_trials=2))))
    before = config.read_bytes()
    whole.search(max_trials=2, resume=resume)
    assert (whole.folder / "tuner" / "best.json").exists()
    whole.search(max_trials=3, resume=True)
    assert config.read_bytes() == before
    assert len(leaderboard(whole)) == 3


def test_a_damaged_config_is_refused_before_a_search_begins(whole):
    whole.folder.mkdir()
    (whole.folder / "config.json").write_text('{"fit": ')
    with pytest.raises(InputError, match=r"config\.json"):
        whole.search(max_trials=2)


@pytest.mark.parametrize("resume", [False, True])
def test_a_search_killed_before_its_plan_was_written_begins_again(whole, resume):
    (whole.folder / "tuner").mkdir(parents=True)
    (whole.folder / "tuner" / "start.json").write_text(json.dumps(to_dict(stub.start(max_trials=9))))
    whole.search(max_trials=2, resume=resume)
    assert len(leaderboard(whole)) == 2


@pytest.mark.slow
def test_mlflow_has_a_run_for_each_trial_inside_that_of_the_search(whole):
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")

    def train(config, *, description, **keywords):
        if "2/" in description:
            raise ZeroDivisionError("no")
        return stub.training()(config, description=description, **keywords)

    whole.train = train
    whole.search(max_trials=2, track=["mlflow"])
    whole.search(max_trials=3, resume=True)
    uri = (whole.folder / "tracking" / "mlflow").as_uri()
    client = mlflow.MlflowClient(uri, uri)
    found = client.search_runs([client.get_experiment_by_name("pneumo").experiment_id])
    runs = {run.info.run_name: run for run in found}
    assert sorted(runs) == ["run search", "run trial 1", "run trial 2", "run trial 3"]
    parents = {run.data.tags.get("mlflow.parentRunId") for name, run in runs.items() if "trial" in name}
    assert parents == {runs["run search"].info.run_id}
    assert {name: run.info.status for name, run in runs.items()} == {
        "run search": "FINISHED", "run trial 1": "FINISHED", "run trial 2": "FAILED", "run trial 3": "FINISHED"
    }  # fmt: skip
    for row in leaderboard(whole):
        run = runs[f"run trial {row['trial']}"]
        assert float(run.data.params["dropout"]) == pytest.approx(float(row["dropout"]), rel=1e-5)
        assert len(client.get_metric_history(run.info.run_id, "validation_auroc")) == int(row["epochs"])
        assert ("objective" in run.data.metrics) == bool(row["place"])
    best = runs["run search"].data.metrics["best validation_auroc"]
    assert best == pytest.approx(float(leaderboard(whole)[0]["validation_auroc"]), abs=1e-6)


def test_other_libraries_are_left_as_they_were(whole):
    import logging
    import warnings

    from keras_tuner.src import config

    logging.getLogger("tensorflow").setLevel(logging.INFO)
    before = config.DEBUG, list(warnings.filters)
    whole.search(max_trials=2)
    assert (config.DEBUG, list(warnings.filters)) == before
    assert logging.getLogger("tensorflow").level == logging.INFO


def test_a_folder_without_a_search_is_not_resumed_and_one_with_other_things_not_used(whole, tmp_path):
    with pytest.raises(InputError, match="holds no search to resume"):
        whole.search(resume=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpeg").touch()
    with pytest.raises(InputError, match="already holds"):
        whole.search(folder=tmp_path / "photos")


def test_bad_ranges_and_objectives_are_refused_before_anything_is_written(whole):
    for options in ({"ranges": ("learning_rate=1:0.1",)}, {"objective": "beauty"}):
        with pytest.raises(InputError):
            whole.search(**options)
    assert not whole.folder.exists()


def test_a_search_in_which_every_trial_fails_says_why(whole):
    from pipeline.training.fit import DivergedError

    def train(config, **keywords):
        raise DivergedError("the loss is not finite in epoch 1; lower --learning-rate")

    whole.train = train
    with pytest.raises(InputError, match=r"its last trials all failed.*the loss is not finite"):
        whole.search(max_trials=20)
    assert {row["status"] for row in leaderboard(whole)} == {"failed"}
    assert not (whole.folder / "tuner" / "best.json").exists()


def test_ctrl_c_says_how_to_go_on(whole):
    def train(config, **keywords):
        raise KeyboardInterrupt

    whole.train = train
    with pytest.raises(KeyboardInterrupt, match=r"go on with: python -m tuning --run-dir '.*/my run' --resume"):
        whole.search(folder=whole.folder.with_name("my run"))


@pytest.mark.parametrize(("top", "said"), [(2, "Then up to 9 trainings more: the best 2 and"), (0, "")])
def test_the_announcement_counts_trials_epochs_and_trainings_from_other_seeds(whole, top, said):
    text = whole.search(max_trials=6, trial_epochs=1, confirm_top=top)
    assert "6 trials of 1 epoch, " in text
    assert said in text
    assert ("--confirm-top 0 leaves this out" in text) == bool(top)


def test_the_confirmed_winner_is_the_best_over_new_seeds_not_the_luckiest_trial(whole):
    plain, seeds = stub.training(), set()

    def lucky(config, **keywords):
        fitted = plain(config, **keywords)
        seeds.add(config.fit.seed)
        # In the search a small dropout looks far better than it is; other seeds show it.
        luck = 0.04 if config.fit.seed == 0 and config.model.dropout < 0.2 else 0.0
        rows = tuple(replace(row, validation_auroc=row.validation_auroc + luck) for row in fitted.history)
        return replace(fitted, history=rows)

    whole.train = lucky
    said = whole.search(max_trials=10, confirm_top=3, confirm_seeds=2, ranges=("l1=0", "l2=0"))
    confirmed = json.loads((whole.folder / "tuner" / "confirmed.json").read_text())
    means = [one["mean"] for one in confirmed["candidates"]]
    assert means == sorted(means, reverse=True)
    assert 1 in [one["trial"] for one in confirmed["candidates"]]
    assert seeds == {0, 1, 2}
    best = read(whole.folder / "tuner" / "best.json", RunConfig)
    assert best.model.dropout == confirmed["candidates"][0]["values"]["dropout"]
    assert best.fit.seed == 0
    assert confirmed["verdict"] in said
    assert said.count("\nconfirming trial ") == 2 * len(means)
    assert "Confirmed over seeds" in (whole.folder / "tuner" / "search.html").read_text()


def test_the_conclusion_admits_what_seeds_alone_could_explain():
    from tuning.results.confirm import Candidate, conclusion, interval
    from tuning.search.objective import parse_objective

    def candidate(trial, *scores):
        return Candidate(trial, {}, 0.9, tuple(range(len(scores))), scores, *interval(scores))

    auroc = parse_objective("validation_auroc")
    start, close = candidate(1, 0.9, 0.91, 0.904), candidate(1, 0.9, 0.93, 0.91)
    assert "beats the starting values" in conclusion([candidate(4, 0.95, 0.96, 0.955), start], auroc)
    assert "seeds alone could explain" in conclusion([candidate(4, 0.99, 0.90, 0.93), close], auroc)
    kept = conclusion([candidate(1, 0.95, 0.96), candidate(3, 0.9, 0.92)], auroc)
    assert "they are kept. The next best: trial 3 has -0.0450 (95 % interval" in kept
    assert "One setting varies by 0.0112 (standard deviation) from seed to seed" in kept


@pytest.mark.parametrize(
    ("dataset", "asked", "role", "expected"),
    [
        ("gray_224", None, "alone", 2),
        ("phantom_224", None, "alone", 0),
        ("phantom_224", 1, "alone", 1),
        ("gray_224", 0, "alone", 0),
        ("gray_224", None, "chief", 0),
        ("gray_224", 3, "chief", 3),
    ],
)
def test_winners_are_confirmed_unless_their_figures_mean_nothing(plan, monkeypatch, dataset, asked, role, expected):
    from pipeline.config import DataConfig
    from tuning.results import confirm

    monkeypatch.setattr(confirm.kerastuner_roles, "role", lambda: role)
    made = plan(confirm_top=asked)
    data = DataConfig(dataset=Path("data") / dataset / "1.0.0")
    assert confirm.candidate_count(replace(made, start=replace(made.start, data=data))) == expected


def test_importance_finds_the_parameter_that_matters_and_says_nothing_of_few_trials():
    import numpy as np

    from tuning.results.importance import importance

    random = np.random.default_rng(0)
    units = random.random((24, 3))
    scores = 0.9 - (units[:, 1] - 0.6) ** 2 + 0.002 * random.standard_normal(24)
    found = importance(units, scores, ["a", "b", "c"])
    assert found[0].name == "b"
    assert found[0].low > found[1].mean
    assert all(one.low <= one.mean <= one.high for one in found)
    assert importance(units[:5], scores[:5], ["a", "b", "c"]) == []
    assert importance(units, np.full(24, 0.9), ["a", "b", "c"]) == []


def test_the_leaderboard_shows_the_best_first_and_the_failed_last(plan, search):
    from tuning.results import leaderboard
    from tuning.search.objective import parse_objective

    def train(config, *, description, **keywords):
        if "2/" in description:
            raise ZeroDivisionError("no")
        return stub.training()(config, description=description, **keywords)

    search(plan(max_trials=4), train).search()
    objective = parse_objective("validation_auroc")
    rows = leaderboard.rows(search.trials, objective)
    assert rows[-1].status == "failed"
    assert rows[0].score == max(row.score for row in rows[:-1])
    text = io.StringIO()
    Console(file=text, width=80).print(leaderboard.terminal_table(rows, objective))
    lines = text.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert sum("start" in line for line in lines) == 1
    assert f"{rows[0].score:.4f}" in text.getvalue()
    assert "failed: ZeroDivisionError: no" in leaderboard.line(rows, objective, 2)


def test_each_change_of_the_shifted_objective_meets_its_share_of_the_images():
    import numpy as np

    from pipeline.evaluation.shifts import SHIFTS
    from tuning.search.objective import shift_in_turn

    images = np.random.default_rng(0).integers(0, 256, (2 * len(SHIFTS), 32, 32, 1), dtype=np.uint8)
    changed = shift_in_turn(images)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    assert all((one != other).any() for one, other in zip(images, changed, strict=True))
    np.testing.assert_array_equal(changed, shift_in_turn(images))


def test_what_a_run_folder_holds_is_the_default_of_every_flag(tmp_path, monkeypatch):
    def found(*arguments):
        monkeypatch.setattr(sys, "argv", ["tuning", *arguments])
        return recorded_settings()

    (tmp_path / "config.json").write_text(json.dumps(to_dict(stub.start(max_trials=3))))
    assert found("--run-dir", str(tmp_path), "--resume") == TuneCommand(**vars(stub.start(max_trials=3)))
    (tmp_path / "tuner").mkdir()
    (tmp_path / "tuner" / "start.json").write_text(json.dumps(to_dict(stub.start(max_trials=7))))
    assert found(f"--run-dir={tmp_path}").search.max_trials == 7  # config.json may hold the winner by now
    assert found("--run-dir", str(tmp_path / "none")) is None
    assert found("--resume") is None
    assert found("--resume", "--run-dir") is None  # the parser says what is missing


@pytest.mark.parametrize("changed", [{"source": Path("other")}, {"validation_fraction": 0.1}, {"positive": ("a",)}])
def test_flags_about_a_source_do_not_change_the_dataset_of_a_run(changed, tmp_path, monkeypatch):
    began = stub.start(max_trials=3)
    began = replace(began, data=replace(began.data, dataset=tmp_path / "built"))
    (tmp_path / "config.json").write_text(json.dumps(to_dict(began)))
    monkeypatch.setattr(sys, "argv", ["tuning", "--run-dir", str(tmp_path)])
    other = replace(began, data=replace(began.data, **changed))
    name = next(iter(changed)).replace("_", "-")
    with pytest.raises(InputError, match=f"--{name} has no effect on a built dataset, which is used as it is"):
        tune(TuneCommand(**vars(other), run_dir=tmp_path))


@pytest.mark.parametrize(
    ("group", "changed", "message"),
    [
        ("search", {"tune": True}, "--tune has no effect on a search alone"),
        ("search", {"confirm_top": 0, "confirm_seeds": 9}, "--confirm-seeds has no effect with --confirm-top 0"),
        ("fit", {"subtype_weight": 2.0}, "--subtype-weight has no effect without --subtype-head"),
    ],
)
def test_a_flag_without_effect_on_a_search_is_refused(group, changed, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tuning"])
    settings = RunConfig()
    settings = replace(settings, **{group: replace(getattr(settings, group), **changed)})
    with pytest.raises(InputError, match=message):
        tune(TuneCommand(**vars(settings)))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ranges", "learning_rate=1:0.1"], "give the smaller number first"),
        (["--objective", "beauty"], "--objective beauty"),
        (["--max-trials", "0"], "--max-trials is 0"),
        (["--tuner", "magic"], "magic"),
    ],
)
def test_bad_flags_are_one_line_and_exit_code_2(tmp_path, flags, message):
    command = [sys.executable, "-m", "tuning", "--run-dir", str(tmp_path / "run"), *flags]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert message in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def ended_as(name, port, *flags, **more):
    from tuning.search import kerastuner_roles

    variables = os.environ | kerastuner_roles.environment(name, port) | more
    command = [sys.executable, "-m", "tuning", *flags]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_a_chief_whose_port_is_taken_says_so_in_one_line_and_writes_nothing(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = ended_as("chief", port, "--run-dir", str(tmp_path / "run"))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert f"the chief cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_worker_that_cannot_reach_its_chief_says_so_in_one_line(tmp_path):
    from tuning.search import kerastuner_roles

    port = kerastuner_roles.free_port()
    ended = ended_as("worker1", port, "--run-dir", str(tmp_path / "run"), PNEUMO_CHIEF_PATIENCE="0.3")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert f"no chief answers at 127.0.0.1:{port} after 0.3 s" in ended.stderr


def test_a_worker_needs_the_run_folder_of_its_chief(monkeypatch):
    monkeypatch.setattr("tuning.search.kerastuner_roles.role", lambda: "worker")
    with pytest.raises(InputError, match="a worker needs --run-dir"):
        tune(TuneCommand())


def test_a_chief_that_is_started_again_goes_on_without_being_told(whole, monkeypatch):
    from tuning import session

    whole.search(max_trials=2)
    monkeypatch.setattr(session.kerastuner_roles, "role", lambda: "chief")
    assert "2 trials have ended" in whole.search(max_trials=2)


def test_a_search_killed_while_its_dataset_was_built_can_be_begun_again(whole, monkeypatch):
    class Killed(BaseException):
        pass

    def dying(settings):
        raise Killed

    from tuning import session

    for resume in (False, True, False):
        monkeypatch.setattr(session, "with_dataset", dying)
        with pytest.raises(Killed):
            whole.search(max_trials=2, resume=resume)
    monkeypatch.setattr(session, "with_dataset", lambda settings: settings)
    whole.search(max_trials=2)
    assert len(leaderboard(whole)) == 2
