"""What `config.json` of a run means: the settings its networks are trained with, written once, before training."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import tyro

from export.export_options import ExportOptions
from pipeline import train as module
from pipeline.config import AugmentConfig, DataConfig, FitConfig, RunConfig, SearchConfig
from pipeline.config.config_json import read, to_dict
from pipeline.run_folder.finished import record_end
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json

WON = 0.003


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """The stages of `pipeline.train`, which note what they got and do nothing else."""
    calls = []
    dataset = tmp_path / "pneumo_tfds" / "gray_192" / "1.0.0"

    def search(config, run_dir, track):
        folder = RunFolder(run_dir)
        calls.append(("search", config, folder.config.exists()))
        if interrupted:
            raise KeyboardInterrupt
        write_json(folder.search_winner, to_dict(replace(config, fit=replace(config.fit, learning_rate=WON))))

    def fit_and_judge(folder, config, after_epoch, when_judged):
        calls.append(("fit", config, folder.read_config()))
        with when_judged():
            pass

    @contextmanager
    def beside(stage, function, *arguments):
        calls.append((stage, *arguments))
        yield

    interrupted = []
    monkeypatch.setattr(module, "run_in_child_process", lambda stage, function, *arguments: search(*arguments))
    monkeypatch.setattr(module, "beside", beside)
    monkeypatch.setattr(
        module, "with_dataset", lambda config: replace(config, data=replace(config.data, dataset=dataset))
    )
    monkeypatch.setattr("pipeline.stages.fit_and_judge.fit_and_judge", fit_and_judge)
    monkeypatch.setattr(module, "_finish", lambda folder: None)
    monkeypatch.setattr(module, "_record_end", lambda folder, command: None)
    monkeypatch.setattr(module, "_show", lambda folder: calls.append(("shown",)))
    return calls, interrupted


def test_config_json_is_written_before_training_and_holds_what_is_trained(stages, tmp_path):
    calls, _ = stages
    module.train(module.Train(run_dir=tmp_path / "run", fit=FitConfig(epochs=3)))
    ((_, given, written), _) = calls
    assert given == written
    assert written.fit.epochs == 3
    assert not RunFolder(tmp_path / "run").search_start.exists()


@pytest.mark.parametrize("began", [False, True])
def test_a_start_that_is_refused_before_anything_was_trained_leaves_no_run(stages, tmp_path, monkeypatch, began):
    def refused(folder, config, after_epoch, when_judged):
        folder.execution.write_text("{}")
        if began:
            folder.history.write_text("epoch\n")
        raise InputError("--devices is 9")

    monkeypatch.setattr("pipeline.stages.fit_and_judge.fit_and_judge", refused)
    with pytest.raises(InputError, match="--devices is 9"):
        module.train(module.Train(run_dir=tmp_path / "run"))
    assert RunFolder(tmp_path / "run").config.exists() == began
    assert RunFolder(tmp_path / "run").execution.exists() == began


def test_a_run_that_cannot_be_resumed_keeps_its_settings(stages, tmp_path, monkeypatch):
    def refused(folder, config, after_epoch, when_judged):
        raise InputError("--devices is 9")

    module.train(module.Train(run_dir=tmp_path / "run"))
    before = RunFolder(tmp_path / "run").config.read_bytes()
    monkeypatch.setattr("pipeline.stages.fit_and_judge.fit_and_judge", refused)
    with pytest.raises(InputError, match="--devices is 9"):
        module.train(module.Train(run_dir=tmp_path / "run", resume=True))
    assert RunFolder(tmp_path / "run").config.read_bytes() == before


def test_a_run_with_corrections_is_resumed_although_it_has_a_dataset_by_now(stages, tmp_path):
    data = DataConfig(source=tmp_path / "xrays", corrections=(tmp_path / "suspects.csv",))
    module.train(module.Train(run_dir=tmp_path / "run", data=data))
    started = RunFolder(tmp_path / "run").read_start()
    assert started.data.dataset is not None
    module.train(module.Train(**vars(started), left_out=started, run_dir=tmp_path / "run", resume=True))
    with pytest.raises(InputError, match="--corrections changes no built dataset"):
        module.train(module.Train(data=started.data, run_dir=tmp_path / "other"))


def test_a_source_that_cannot_be_read_leaves_a_folder_in_which_a_run_may_start(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        module.train(module.Train(run_dir=tmp_path / "run", data=DataConfig(source=tmp_path / "none")))
    RunFolder(tmp_path / "run").start(resume=False)


@pytest.mark.parametrize("words", [["--config", "FILE"], ["--config=FILE"], ["--no-augment", "--config=FILE"]])
def test_a_file_of_settings_is_the_default_of_every_flag_however_it_is_given(words, tmp_path, monkeypatch):
    write_json(tmp_path / "config.json", to_dict(RunConfig(fit=FitConfig(epochs=77))))
    given = [word.replace("FILE", str(tmp_path / "config.json")) for word in words]
    monkeypatch.setattr("sys.argv", ["pipeline.train", *given])
    assert module.defaults().fit.epochs == 77
    monkeypatch.setattr("sys.argv", ["pipeline.train", *given, "--help"])
    assert module.defaults() is None


@pytest.mark.parametrize("source", [None, Path("xrays")])
def test_settings_that_name_no_source_name_their_dataset(source, tmp_path, monkeypatch):
    """What is built from a source is found again by it; without one the dataset is all that names the images."""
    data = DataConfig(source=source, dataset=tmp_path / "gray_32" / "1.1.0", image_size=32)
    write_json(tmp_path / "config.json", to_dict(RunConfig(data=data)))
    given = ["pipeline.train", "--config", str(tmp_path / "config.json")]
    for flags, expected in (([], None if source else data.dataset), (["--source", "others"], None)):
        monkeypatch.setattr("sys.argv", given + flags)
        command = tyro.cli(module.Train, default=module.defaults(), config=(tyro.conf.OmitArgPrefixes,))
        assert command.data.dataset == expected
        assert command.data.source == (Path("others") if flags else source)


def test_settings_whose_only_dataset_is_gone_are_refused(tmp_path):
    data = DataConfig(dataset=tmp_path / "gone", image_size=32)
    write_json(tmp_path / "config.json", to_dict(RunConfig(data=data)))
    command = module.defaults_from(tmp_path / "config.json", with_source=False)
    with pytest.raises(InputError, match=r"gone holds no built dataset; .* or name the images by --source"):
        module.train(replace(command, run_dir=tmp_path / "run"))


BUILT = "has no effect on a built dataset"


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        ("--dataset D --validation-fraction 0.5", f"--validation-fraction {BUILT}"),
        ("--dataset D --validation-fraction 0.5 --folds 5 --fold 1", ""),
        ("--dataset D --layout nih", f"--layout {BUILT}"),
        ("--dataset D --positive FOO", f"--positive {BUILT}"),
        ("--dataset D --uncertain positive", f"--uncertain {BUILT}"),
        ("--dataset D --strict", f"--strict {BUILT}"),
        ("--dataset D --source xrays", f"--source {BUILT}"),
        ("--objective nonsense", "--objective has no effect without --tune"),
        ("--ranges foo=1:2", "--ranges has no effect without --tune"),
        ("--warm-start none", "--warm-start has no effect without --tune"),
        ("--trial-folds 3", "--trial-folds has no effect without --tune"),
        ("--no-median-stopping", "--no-median-stopping has no effect without --tune"),
        ("--tune --confirm-top 0 --confirm-seeds 9", "--confirm-seeds has no effect with --confirm-top 0"),
        ("--tune --tuner hyperband --no-median-stopping", "--no-median-stopping has no effect with --tuner hyperband"),
        ("--tune --max-trials 3 --confirm-seeds 9", ""),
        ("--tune --no-augment --ranges augmentation", "augmentation has no effect with --no-augment"),
        ("--subtype-weight 3", "--subtype-weight has no effect without --subtype-head"),
        ("--prevalence 0.1 --guarantee none", "--prevalence has no effect with --guarantee none"),
        ("--prevalence 0.1", ""),
        ("--rotation 90 --no-augment", "--rotation has no effect with --no-augment"),
        ("--rotation 10 --no-augment", ""),
        ("--pretrained-weights none --fine-tune-blocks 2", "--fine-tune-blocks has no effect without --pretrained-wei"),
    ],
)
def test_a_flag_without_effect_is_refused_before_a_folder_is_made(flags, refused, stages, tmp_path):
    command = tyro.cli(module.Train, args=flags.split(), config=(tyro.conf.OmitArgPrefixes,))
    with pytest.raises(InputError, match=refused) if refused else nullcontext():
        module.train(replace(command, run_dir=tmp_path / "run"))
    assert (tmp_path / "run").exists() != bool(refused)


def test_images_that_calibrate_no_file_are_refused():
    with pytest.raises(InputError, match="--calibration-images has no effect without --int8"):
        ExportOptions(calibration_images=9)
    assert ExportOptions(calibration_images=9, int8=True).int8


def test_settings_of_a_file_need_no_effect(stages, tmp_path, monkeypatch):
    """A run's config.json has the settings of its search and of its source, also where neither is used again."""
    began = RunConfig(
        data=DataConfig(dataset=tmp_path / "gray_32" / "1.1.0", validation_fraction=0.5, positive=("SICK",)),
        augment=AugmentConfig(augment=False, rotation=90.0),
        search=SearchConfig(max_trials=50),
    )
    write_json(tmp_path / "config.json", to_dict(began))
    for flags, refused in (([], ""), (["--zoom", "0.1"], "--zoom has no effect with --no-augment")):
        monkeypatch.setattr("sys.argv", ["pipeline.train", "--config", str(tmp_path / "config.json"), *flags])
        command = tyro.cli(module.Train, default=module.defaults(), config=(tyro.conf.OmitArgPrefixes,))
        with pytest.raises(InputError, match=refused) if refused else nullcontext():
            module.train(replace(command, run_dir=tmp_path / f"run{len(flags)}"))


@pytest.mark.parametrize(
    ("flags", "refused"), [([], ""), (["--epochs", "5"], ""), (["--epochs", "20"], "--epochs is 20")]
)
def test_a_flag_that_is_the_default_contradicts_a_run_of_another_value(flags, refused, stages, tmp_path, monkeypatch):
    RunFolder(tmp_path / "run").write_config(RunConfig(fit=FitConfig(epochs=5)))
    monkeypatch.setattr("sys.argv", ["pipeline.train", "--run-dir", str(tmp_path / "run"), "--resume", *flags])
    command = tyro.cli(module.Train, default=module.defaults(), config=(tyro.conf.OmitArgPrefixes,))
    with pytest.raises(InputError, match=refused) if refused else nullcontext():
        module.train(command)
    assert [call[0] for call in stages[0]] == ([] if refused else ["fit", "the export"])


def test_a_search_that_cannot_be_leaves_no_folder_behind(stages, tmp_path):
    wrong = SearchConfig(tune=True, ranges=("dropoutt",))
    with pytest.raises(InputError, match="dropoutt"):
        module.train(module.Train(run_dir=tmp_path / "run", search=wrong))
    assert not (tmp_path / "run").exists()


def test_with_a_search_config_json_holds_the_winner_and_start_json_what_was_asked(stages, tmp_path):
    calls, _ = stages
    module.train(module.Train(run_dir=tmp_path / "run", search=SearchConfig(tune=True)))
    folder = RunFolder(tmp_path / "run")
    assert [call[0] for call in calls] == ["search", "fit", "the export"]
    assert calls[0][2] is False, "there is no config.json while it is not known what will be trained"
    assert folder.read_config().fit.learning_rate == WON
    assert read(folder.search_start, RunConfig).fit.learning_rate == RunConfig().fit.learning_rate


def test_search_that_was_interrupted_is_continued_with_what_was_asked(stages, tmp_path):
    calls, interrupted = stages
    interrupted.append(True)
    command = module.Train(
        run_dir=tmp_path / "run",
        search=SearchConfig(tune=True),
        fit=FitConfig(epochs=3),
        export=module.ExportOptions(int8=True, parity_images=9),
    )
    again = r"go on with: python -m pipeline\.train --run-dir .*/run --resume --int8 --parity-images 9$"
    with pytest.raises(KeyboardInterrupt, match=again):
        module.train(command)
    assert not RunFolder(tmp_path / "run").config.exists()
    interrupted.clear()
    module.train(module.Train(run_dir=tmp_path / "run", resume=True))
    assert calls[0][1] == calls[1][1]
    assert RunFolder(tmp_path / "run").read_config().fit.epochs == 3


def test_resuming_leaves_config_json_of_an_earlier_version_as_it_is(stages, tmp_path):
    """The evaluation lock knows the file by its hash."""
    folder = RunFolder(tmp_path / "run")
    settings = to_dict(RunConfig())
    settings["fit"]["average"] = settings["fit"].pop("ema_decay")
    del settings["evaluation"]["evaluation_seed"]
    settings["data"]["dataset"] = str(tmp_path / "pneumo_tfds" / "gray_192" / "1.0.0")
    write_json(folder.config, settings)
    before = folder.config.read_bytes()
    module.train(module.Train(run_dir=folder.path, resume=True))
    assert folder.config.read_bytes() == before


def test_flags_of_the_export_reach_it(stages, tmp_path):
    calls, _ = stages
    module.train(module.Train(run_dir=tmp_path / "run", export=ExportOptions(int8=True)))
    assert calls[-1] == ("the export", tmp_path / "run", ExportOptions(int8=True))


@pytest.mark.parametrize(("more", "stages_run"), [({}, ["shown"]), ({"fp16": True}, ["fit", "the export"])])
def test_a_finished_run_is_shown_at_once_and_goes_on_only_for_what_is_new(stages, tmp_path, capsys, more, stages_run):
    calls, _ = stages
    folder = RunFolder(tmp_path / "run")
    module.train(module.Train(run_dir=folder.path, export=ExportOptions(int8=True)))
    record_end(folder, {"int8": True})
    calls.clear()
    module.train(module.Train(run_dir=folder.path, resume=True, export=ExportOptions(**more)))
    assert [call[0] for call in calls] == stages_run
    assert ("is finished already" in capsys.readouterr().out) == (not more)


def test_a_finished_run_refuses_other_settings_as_well(stages, tmp_path):
    folder = RunFolder(tmp_path / "run")
    module.train(module.Train(run_dir=folder.path))
    record_end(folder, {})
    with pytest.raises(InputError, match="--epochs is 7"):
        module.train(module.Train(run_dir=folder.path, resume=True, fit=FitConfig(epochs=7)))


@pytest.mark.parametrize("unread", [False, True])
def test_a_run_is_not_finished_while_another_source_could_not_be_read(tmp_path, unread):
    folder = RunFolder(tmp_path)
    write_json(folder.robustness, {"elsewhere": [{"source": 1} | ({"not_scored": True} if unread else {})]})
    module._record_end(folder, module.Train())
    assert folder.finished.exists() != unread
