"""The functions of `pipeline.api` are the commands: the same settings, no printing, no exit."""

import linecache
import sys
import warnings
from pathlib import Path

import pytest

from evaluated_run import evaluated_run
from pipeline import api
from pipeline.config import DataConfig, RunConfig
from pipeline.evaluate import Evaluate
from pipeline.evaluation.evaluation_lock import LockCheck
from pipeline.report.terminal import show
from pneumo_tfds.program.errors import InputError


def refusal(function, *given, **settings):
    with pytest.raises(InputError) as refused:
        function(*given, **settings)
    return str(refused.value)


def test_keywords_are_the_settings_of_the_commands(tmp_path):
    made = api._from_keywords(RunConfig, {"source": "xrays", "image_size": 96, "ranges": "l2=0", "model": "compact"})
    assert (str(made.data.source), made.data.image_size) == ("xrays", 96)
    assert (made.search.ranges, made.model.model) == (("l2=0",), "compact")
    assert api._from_keywords(RunConfig, {"source": None}) == RunConfig()


@pytest.mark.parametrize("value", ["a.csv", Path("a.csv")])
def test_one_value_is_enough_where_a_setting_takes_several(value):
    data = api._from_keywords(RunConfig, {"positive": "PN", "negative": "NO", "corrections": value}).data
    assert (data.positive, data.negative, data.corrections) == (("PN",), ("NO",), (Path("a.csv"),))
    assert api._from_keywords(RunConfig, {"also_judge": value}).evaluation.also_judge == (Path("a.csv"),)
    assert api._from_keywords(RunConfig, {"also_judge": [value, "b"]}).evaluation.also_judge[1:] == (Path("b"),)
    assert api._from_keywords(Evaluate, {"run_folder": "run", "also_judge": value}).also_judge == (Path("a.csv"),)


def test_unknown_keyword_gets_the_nearest_name():
    assert refusal(api.train, epoch=3) == "there is no setting epoch; did you mean epochs?"
    assert "did you mean image_size?" in refusal(api.prepare, imagesize=64)
    assert "did you mean threshold_rule?" in refusal(api.evaluate, "run", treshold_rule="youden")
    assert "did you mean int8?" in refusal(api.export, "run", int=True)


def test_a_run_that_is_resumed_takes_no_other_settings(tmp_path):
    given = {"run_dir": tmp_path, "resume": True, "config": tmp_path / "config.json"}
    assert refusal(api.train, **given) == "resume keeps the settings of the run; leave config out"


def test_bad_values_are_one_line():
    assert refusal(api.train, model="resnet").startswith("model: --model is resnet; it must be compact")
    assert "batch_size" in refusal(api.train, batch_size="many")
    assert "is not a run folder" in refusal(api.Run, "nowhere")
    assert "is not a run folder" in refusal(api.evaluate, "nowhere")
    assert "is not a folder" in refusal(api.export, "nowhere")


def test_size_and_framing_are_those_of_the_dataset():
    assert api._form_of("data/pneumo_tfds/gray_64_pad/1.1.0") == {"image_size": 64, "framing": "pad"}
    assert api._form_of("data/pneumo_tfds/phantom_96/1.1.0") == {"image_size": 96, "framing": "squeeze"}
    assert api._form_of("elsewhere/mine/1") == api._form_of(None) == {}


def test_function_in_a_module_is_a_model():
    made = api._from_keywords(RunConfig, {"model": refusal})
    assert made.model.model == f"{__name__}:refusal"


def test_nothing_is_printed_unless_asked_and_notes_are_warnings(capsys):
    with warnings.catch_warnings(record=True) as warned, api._printing(False):
        print("stages print\nNote: no GPU is used\nwarning: one image twice")
        print("network.py:3: DeprecationWarning: old", file=sys.stderr)
    assert [str(one.message) for one in warned] == [
        "Note: no GPU is used", "warning: one image twice", "network.py:3: DeprecationWarning: old",
    ]  # fmt: skip
    assert capsys.readouterr() == ("", "")
    with api._printing(True):
        print("stages print")
    assert capsys.readouterr().out == "stages print\n"


def test_what_was_noted_before_a_failure_is_a_warning_too():
    def refused():
        with api._printing(False):
            print("note: 3 files were left out")
            raise InputError("no X-ray is left")

    with pytest.warns(UserWarning, match="note: 3 files"):
        assert refusal(refused) == "no X-ray is left"


def test_what_the_command_warns_of_is_a_warning_here(tmp_path, monkeypatch, capsys):
    """Of the figures, and of a lock that no longer fits them."""
    folder = evaluated_run(tmp_path)
    metrics = folder.read_json(folder.metrics)
    show(folder)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert printed
    assert metrics["splits"]["test"]["n"] == 120
    monkeypatch.setattr(api, "evaluated", lambda command: folder)
    monkeypatch.setattr("pipeline.report.terminal.verify", lambda run: LockCheck(False, "broken."))
    with warnings.catch_warnings(record=True) as warned:
        api.evaluate(tmp_path)
    assert [str(one.message) for one in warned] == [*printed, "warning: evaluation lock: broken."]
    api.evaluate(tmp_path, progress=True)
    assert capsys.readouterr().out.splitlines() == [*printed, "warning: evaluation lock: broken."]


@pytest.mark.parametrize("track", ["package.module:Class", ("package.module:Class",)])
def test_trackers_of_a_training_reach_it_and_hear_its_end(track, tmp_path, monkeypatch):
    done = []

    def train_and_judge(folder, command, search):
        done.append((command.track, search.keywords))
        return command.settings(), "the trackers"

    monkeypatch.setattr(api, "train_and_judge", train_and_judge)
    monkeypatch.setattr(api, "tell", lambda tracking, folder, config, ended: done.append((tracking, ended)))
    monkeypatch.setattr(api, "_finished", lambda folder: folder)
    api.train(run_dir=tmp_path / "run", track=track)
    names = ("package.module:Class",)
    assert done == [(names, {"track": names}), ("the trackers", True)]


def test_a_setting_without_effect_is_refused(tmp_path):
    assert refusal(api.train, run_dir=tmp_path / "run", max_trials=9).startswith("--max-trials has no effect without")
    assert not (tmp_path / "run").exists()
    assert refusal(api.prepare, "xrays", epochs=3).startswith("epochs has no effect on prepare")


def test_a_warning_names_the_line_that_called(monkeypatch):
    def built(config):
        print("note: 3 files were left out")
        return RunConfig(data=DataConfig(dataset=Path("gray_64/1.1.0")))

    monkeypatch.setattr(api, "with_dataset", built)
    with pytest.warns(UserWarning, match="note: 3 files") as warned:
        api.prepare("xrays")
    line = linecache.getline(warned[0].filename, warned[0].lineno)
    assert line.strip() == 'api.prepare("xrays")'
