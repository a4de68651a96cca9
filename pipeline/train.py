"""The main job: `python -m pipeline.train`. Data, search, training, evaluation, report, ONNX.

Each stage leaves its result in the run folder, and the run folder is all that the next one needs: `tuning` and `export`
stand above this package and are started as commands.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.config import RunCommand, RunConfig
from pipeline.config.config_json import read, to_dict
from pipeline.data.dataset import with_dataset
from pipeline.devices.tf_config import read_cluster
from pipeline.run_folder.folder import RunFolder
from pipeline.stages.fit_and_judge import fit_and_judge, take_part
from pneumo_tfds.program.command import run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json

if TYPE_CHECKING:
    pass

PROGRAM = "python -m pipeline.train"
PHANTOMS = (
    "These are phantoms: drawn images, not medical ones, and what is learned from them says nothing about people. "
    f"For real X-rays: {PROGRAM} --source FOLDER_OR_ZIP"
)


@dataclass(frozen=True, kw_only=True)
class Train(RunCommand):
    """Turn a folder of chest X-rays into a trained, judged and exported classifier, in one run folder.

    The folder gets config.json, history.csv, model.keras, metrics.json, predictions.csv, plots, report.html, model.onnx
    and parity.json. A run that was stopped goes on where it was with --resume.
    """

    run_dir: Path | None = None
    """Folder of this run (default: runs/ and the time of day)."""
    resume: bool = False
    """Go on with the run in --run-dir, with the settings it has."""
    config: Path | None = None
    """Take settings from this file, for example another run's config.json; flags given beside it win."""


def train(command: Train) -> int | None:
    """Run the command."""
    folder = RunFolder(command.run_dir or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S"))
    if command.resume and command.run_dir is None:
        raise InputError("--resume needs --run-dir, the folder of the run to go on with")
    cluster = read_cluster()
    if cluster.workers > 1:
        _check_shared(command)
    if not cluster.chief:
        take_part(folder, with_dataset(folder.read_config() if command.resume else command.settings()))
        return None
    folder.start(resume=command.resume)
    with folder.locked():
        folder.start(resume=command.resume)  # again: another process may have begun and ended here since
        config = _resumed(folder, command.settings()) if command.resume else command.settings()
        config = with_dataset(config)
        phantoms = config.data.built.phantom
        if phantoms:
            print(PHANTOMS, flush=True)
        if config.search.tune:
            config = _tuned(folder, config)
        folder.write_config(config)
        fit_and_judge(folder, config)
        _stage("export", str(folder.path))
        _finish(folder)
        if phantoms:
            print(PHANTOMS)
    return None


def _resumed(folder: RunFolder, given: RunConfig) -> RunConfig:
    """Give the settings of the run, refusing flags that contradict them."""
    begun = folder.search_start
    asked = read(begun, RunConfig) if begun.exists() else folder.read_config()
    differing = _differences(to_dict(given), to_dict(RunConfig()), to_dict(asked))
    if differing:
        raise InputError(f"--resume keeps the settings of {folder.path}, but {differing[0]}; leave that flag out")
    return asked


def _differences(given: dict[str, Any], default: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    found = []
    for group, settings in given.items():
        for name, value in settings.items():
            if value not in (default[group][name], asked[group][name]):
                found.append(f"--{name.replace('_', '-')} is {value} and was {asked[group][name]}")
    return found


def _tuned(folder: RunFolder, config: RunConfig) -> RunConfig:
    best = folder.search_winner
    if not best.exists():
        folder.write_config(config)
        begun = folder.search_start
        if not begun.exists():
            write_json(begun, to_dict(config))
        _stage("tuning", "--run-dir", str(folder.path), "--resume")
    return read(best, RunConfig)


def _check_shared(command: Train) -> None:
    """Refuse what several machines cannot do together."""
    if command.run_dir is None:
        raise InputError("TF_CONFIG names several workers: give all of them one --run-dir, which they all can read")
    if command.search.tune:
        raise InputError("--tune searches on one machine: do that first, then train on many with --config best.json")


def _stage(module: Literal["tuning", "export"], *arguments: str) -> None:
    """Run a package that stands above this one as a command; end with its exit code if it fails."""
    ended = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
    if ended.returncode < 0:
        raise InputError(
            f"python -m {module} was ended by signal {-ended.returncode} (9 may be the system, out of memory: then "
            "lower --batch-size); go on with --resume"
        )
    if ended.returncode:
        sys.exit(ended.returncode)


def _finish(folder: RunFolder) -> None:
    from pipeline.report.report_page import write_report
    from pipeline.report.terminal import show

    write_report(folder)  # once more, now with the parity of the ONNX file
    show(folder)
    print(f"ONNX file: {folder.onnx}; use it: python -m export.predict {folder.onnx} IMAGE_OR_FOLDER")


def main() -> None:
    """Read --config first, because its values are the defaults of all other flags."""
    arguments = sys.argv[1:]
    default = None
    if "--config" in arguments and "--help" not in arguments and "-h" not in arguments:
        place = arguments.index("--config") + 1
        if place < len(arguments):
            default = defaults_from(Path(arguments[place]))
    run(Train, train, prog=PROGRAM, default=default)


def defaults_from(path: Path) -> Train:
    """Give the settings of a file as defaults of the command; the dataset is found anew: its folder may have moved."""
    try:
        settings = read(path, RunConfig)
    except InputError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        sys.exit(2)
    data = dataclasses.replace(settings.data, dataset=None)
    return Train(**{**{name: getattr(settings, name) for name in vars(settings)}, "data": data})


if __name__ == "__main__":
    main()
