"""The main job: `python -m pipeline.train`. Data, search, training, evaluation, report, ONNX.

This is an application, not a library: nothing imports it, and it is the one file of this package that names the
packages above it, `tuning` and `export`. Each stage leaves its result in the run folder, and that folder is all that
the next stage needs. Search and export run in processes of their own, the export beside examination and plots.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from export.export_options import ExportOptions
from pipeline.config import RunCommand, RunConfig
from pipeline.config.config_json import read, to_dict
from pipeline.config.effects import require_effects
from pipeline.data.dataset import with_dataset
from pipeline.devices.tf_config import read_cluster
from pipeline.run_folder.finished import is_finished, record_end
from pipeline.run_folder.folder import RunFolder
from pipeline.tracking.run_record import training_record
from pipeline.tracking.tracking import Tracking
from pneumo_tfds.program.child_process import Beside, beside, run_in_child_process
from pneumo_tfds.program.command import call_of, path_before_parsing, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.installed import require_installed
from pneumo_tfds.program.quiet import quiet_tensorflow
from pneumo_tfds.program.wording import quoted

PROGRAM = "python -m pipeline.train"
PHANTOMS = (
    "These are phantoms: drawn images, not medical ones. What a model learns from them says nothing about people. "
    f"For real X-rays: {PROGRAM} --source FOLDER_OR_ZIP"
)

Search = Callable[[RunConfig, Path], None]


@dataclass(frozen=True, kw_only=True)
class Train(RunCommand):
    """Turn a folder of chest X-rays into a trained, evaluated and exported classifier, in one run folder.

    The folder gets config.json, history.csv, model.keras, metrics.json, predictions.csv, plots, report.html, model.onnx
    and parity.json. Continue a run that was stopped with --run-dir RUN --resume.
    """

    run_dir: Path | None = None
    """Folder of this run. Default: a new one under runs/, named after date and time."""
    resume: bool = False
    """Continue the run in --run-dir with the settings it has."""
    config: Path | None = None
    """Take settings from this file, for example another run's config.json. Flags on the command line override it."""
    track: tuple[str, ...] = ()
    """Hand curves, figures and plots on to tensorboard, mlflow or wandb, or to a class of yours, package.module:Class.
    Each of the three is an extra. They stay on this machine unless their own variables say otherwise."""
    export: ExportOptions = field(default_factory=ExportOptions)
    left_out: tyro.conf.Suppress[RunConfig | None] = None
    """Values of what is not given: those of --config or of a run that is resumed, or None for the defaults. It is no
    flag."""

    def __post_init__(self) -> None:
        if self.resume and self.run_dir is None:
            raise InputError("--resume needs --run-dir, the folder of the run to continue")
        if self.resume and self.config is not None:
            raise InputError("--resume keeps the settings of the run; leave --config out")


def train(command: Train) -> None:
    """Run all stages that are not done yet."""
    require_installed("tensorflow")
    folder = RunFolder(command.run_dir or new_run_dir())
    if command.data.corrections and command.data.dataset and not command.resume:  # a run keeps both
        raise InputError("--corrections changes no built dataset; leave --dataset out, and one is built from --source")
    require_effects(command.settings(), command.left_out)
    cluster = read_cluster()
    if cluster.workers > 1 and command.run_dir is None:
        raise InputError("TF_CONFIG names several workers: give all of them the same --run-dir, on a shared disk")
    if cluster.workers > 1 and command.search.tune:
        raise InputError("--tune searches on one machine: search first, then train on many with --config best.json")
    if cluster.workers > 1 and command.data.folds and not command.data.fold:
        raise InputError("--folds trains on one machine; leave TF_CONFIG out, or train one fold with --fold NUMBER")
    if not cluster.chief:
        quiet_tensorflow()
        from pipeline.stages.fit_and_judge import train_as_worker

        train_as_worker(folder, with_dataset(folder.read_config() if command.resume else command.settings()))
        return
    check_search(command)
    folder.start(resume=command.resume)
    try:
        with folder.locked():
            if command.resume and cluster.workers == 1 and is_finished(folder, _beside_settings(command)):
                _settings_on_resume(folder, command)
                print(f"{folder.path} is finished already: every result is there and unchanged")
                _show(folder)
            else:
                _run_all_stages(folder, command)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"go on with: {_to_go_on(folder, command)}" if folder.can_go_on else "") from None


def _run_all_stages(folder: RunFolder, command: Train) -> None:
    """Run all stages that are not done yet, in a folder that is locked, and record the end."""
    search_apart = partial(_search_apart, track=command.track)
    export_apart = partial(beside, "the export", _export, folder.path, command.export)
    config, tracking = train_and_judge(folder, command, search_apart, export_apart)
    _finish(folder)
    tell(tracking, folder, config, ended=True)
    _record_end(folder, command)


def _beside_settings(command: Train) -> dict[str, Any]:
    """Return what was asked besides the settings that a run keeps, without what has its default."""
    default = vars(ExportOptions())
    asked = {name: value for name, value in vars(command.export).items() if value != default[name]}
    return asked | ({"track": list(command.track)} if command.track else {})


def _to_go_on(folder: RunFolder, command: Train) -> str:
    """Return the command that continues, with the flags that a run does not keep."""
    flags = [folder.to_go_on]
    for name, value in _beside_settings(command).items():
        values = () if value is True else value if isinstance(value, list) else (value,)
        flags.append(" ".join([f"--{name.replace('_', '-')}", *map(str, values)]))
    return " ".join(flags)


def check_search(config: RunConfig) -> None:
    """Raise InputError if the settings of a search are wrong, before a folder and a dataset are made for it."""
    if config.search.tune:
        from tuning.settings_check import check_settings

        check_settings(config)


def new_run_dir() -> Path:
    """Return the default folder of a run, named after date and time."""
    return Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")


def train_and_judge(
    folder: RunFolder, command: Train, search: Search, when_judged: Beside = nullcontext
) -> tuple[RunConfig, Tracking]:
    """Run all stages but the export in a folder that is locked.

    `search` is how hyper-parameters are searched, if they are. What `when_judged` returns is entered when the model and
    its threshold are saved, and left after the report: the export goes on beside that. Return the settings with the
    dataset's folder, and the trackers, which have not been told the end.
    """
    folder.start(resume=command.resume)  # again: another process may have started and finished a run meanwhile
    config = with_dataset(_settings_on_resume(folder, command) if command.resume else command.settings())
    quiet_tensorflow()
    if config.data.built.phantom:
        print(PHANTOMS, flush=True)
    if config.search.tune:
        config = _tune(folder, config, search)
    tracking = Tracking(folder.path, command.track, "training", resume=command.resume)
    if not (folder.config.exists() and folder.read_config() == config):
        folder.write_config(config)
    after_epoch = partial(tell, tracking, folder, config)
    try:
        if config.data.folds and not config.data.fold:
            from pipeline.stages.train_folds import fit_and_judge_folds

            fit_and_judge_folds(folder, config, after_epoch, when_judged)
        else:
            from pipeline.stages.fit_and_judge import fit_and_judge

            fit_and_judge(folder, config, after_epoch=after_epoch, when_judged=when_judged)
    except InputError:
        if not command.resume:  # what is resumed was there before
            folder.forget_unused_settings()
        raise
    return config, tracking


def tell(tracking: Tracking, folder: RunFolder, config: RunConfig, *, ended: bool = False) -> None:
    """Tell the trackers, if there are any, what the run folder holds."""
    if tracking.names:
        tracking.tell(training_record(folder, config, ended=ended), last=ended)


def _settings_on_resume(folder: RunFolder, command: Train) -> RunConfig:
    """Return the settings that the run was started with; refuse flags that contradict them."""
    started = folder.read_start()
    left_out = command.left_out or RunConfig()
    given, default, before = (to_dict(config) for config in (command.settings(), left_out, started))
    for group, settings in given.items():
        for name, value in settings.items():
            if value not in (default[group][name], before[group][name]):
                raise InputError(
                    f"--resume keeps the settings of {folder.path}, but --{name.replace('_', '-')} is {value} and was "
                    f"{before[group][name]}; leave that flag out"
                )
    return started


def _tune(folder: RunFolder, config: RunConfig, search: Search) -> RunConfig:
    """Search hyper-parameters unless that is done; return the winner's settings."""
    if not folder.search_winner.exists():
        if not folder.search_start.exists():
            write_json(folder.search_start, to_dict(config))
        search(config, folder.path)
    return read(folder.search_winner, RunConfig)


def search(config: RunConfig, run_dir: Path, track: tuple[str, ...] = ()) -> None:
    """Search hyper-parameters in a run folder."""
    quiet_tensorflow()
    from tuning.session import run_search

    run_search(config, run_dir, resume=True, track=track)


def _search_apart(config: RunConfig, run_dir: Path, track: tuple[str, ...]) -> None:
    run_in_child_process("the search", search, config, run_dir, track)


def _export(run_dir: Path, options: ExportOptions) -> None:
    quiet_tensorflow()
    from export.export_run import export_run

    for file, summary in export_run(run_dir, options):
        print(f"{file}: {summary}", flush=True)


def _finish(folder: RunFolder) -> None:
    from pipeline.report.report_page import write_report

    write_report(folder)  # once more, now with the parity of the ONNX file
    _show(folder)


def _show(folder: RunFolder) -> None:
    """Print the figures of a finished run, and how its file is used."""
    from pipeline.report.terminal import show

    show(folder)
    predict = call_of("predict", "export.predict")
    print(f"ONNX file: {folder.onnx}; use it: {predict} {quoted(folder.onnx)} IMAGE_OR_FOLDER")
    if folder.read_json(folder.metrics).get("dataset", {}).get("phantom"):
        print(PHANTOMS)


def _record_end(folder: RunFolder, command: Train) -> None:
    """Record that there is nothing left to do, unless a source of `--also-judge` could not be read."""
    from pipeline.stages.also_judge import ELSEWHERE

    if not any(row.get("not_scored") for row in folder.read_json_if_there(folder.robustness).get(ELSEWHERE, ())):
        record_end(folder, _beside_settings(command))


def defaults() -> Train | None:
    """Return what is the default of all other flags: the settings of --config, or of the run that --resume continues.

    None without either.
    """
    path, run_dir = path_before_parsing("--config"), path_before_parsing("--run-dir")
    if {"--help", "-h"} & set(sys.argv):
        return None
    if path is not None:
        return defaults_from(path, with_source=path_before_parsing("--source") is not None)
    if run_dir is None or "--resume" not in sys.argv:
        return None
    try:
        started = RunFolder(run_dir).read_start()
    except InputError:
        return None  # the training meets the same error and reports it
    return Train(**vars(started), left_out=started)


def defaults_from(path: Path, *, with_source: bool) -> Train:
    """Return the settings of a file as defaults of the command; `with_source` if that is given beside it.

    Without the version of the user's network, as this is another run, and without its dataset, which is found or built
    from the source; but where no source is named, the dataset is all that names the images.
    """
    settings = read(path, RunConfig)
    model = replace(settings.model, module_sha256="")
    if with_source or settings.data.source:
        settings = replace(settings, data=replace(settings.data, dataset=None))
    settings = replace(settings, model=model)
    return Train(**vars(settings), left_out=settings)


if __name__ == "__main__":
    run(Train, train, prog=PROGRAM, default=defaults)
