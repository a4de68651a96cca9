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

from pipeline.cluster import read_cluster
from pipeline.config import RunCommand, RunConfig
from pipeline.run import RunFolder
from pipeline.settings import read, to_dict
from pipeline.source import with_dataset
from pneumo_tfds.command import quiet_tensorflow, run
from pneumo_tfds.errors import InputError
from pneumo_tfds.files import write_json

if TYPE_CHECKING:
    import keras

    from pipeline.fit import Epoch
    from pipeline.records import Split

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
        phantoms = Path(str(config.data.dataset)).parent.name.startswith("phantom")
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
    begun = folder.tuner / "start.json"
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
    best = folder.tuner / "best.json"
    if not best.exists():
        folder.write_config(config)
        begun = folder.tuner / "start.json"
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


def take_part(folder: RunFolder, config: RunConfig) -> None:
    """Train as a worker that is not the chief: what comes of it is the chief's to judge and to write."""
    quiet_tensorflow()
    from pipeline.devices import connect
    from pipeline.fit import fit

    connect(config.fit)
    splits = _splits(config)
    if not folder.metrics.exists():  # the chief will not train either
        for number in range(config.fit.members):
            fit(member(config, number), splits["train"], splits["validation"], folder=folder.checkpoint_of(number))


def fit_and_judge(folder: RunFolder, config: RunConfig) -> None:
    """Train the network and judge what came of it."""
    quiet_tensorflow()
    from pipeline import history, models
    from pipeline.devices import connect
    from pipeline.fit import fit
    from pipeline.illustrate import illustrate
    from pipeline.judge import judge
    from pipeline.precision import choose
    from pipeline.saved import load_model

    devices, how = connect(config.fit), choose(config.fit)
    splits = _splits(config)
    counts = ", ".join(f"{name} {split.count}" for name, split in splits.items())
    compiled = "with XLA" if how.xla else "without XLA"
    device = how.device if devices.replicas == 1 else f"{devices.replicas} x {how.device}"
    name = Path(str(config.data.dataset)).parent.name
    print(f"{name} ({counts}); {config.model.model} on {device}, {how.precision}, {compiled}")
    if how.note:
        print(f"Note: {how.note}")

    def trained(number: int) -> keras.Model:
        of = f"network {number + 1}/{config.fit.members}, " if config.fit.members > 1 else ""

        def report(epoch: Epoch) -> None:
            history.append(folder.history_of(number), epoch)
            print(
                f"{of}epoch {epoch.epoch}/{config.fit.epochs}: loss {epoch.loss:.4f}, "
                f"validation AUROC {epoch.validation_auroc:.4f}, accuracy {epoch.validation_accuracy:.4f}, "
                f"{epoch.seconds:.1f} s, {epoch.images_per_second:.0f} images/s",
                flush=True,
            )

        mine, checkpoint = member(config, number), folder.checkpoint_of(number)
        fitted = fit(mine, splits["train"], splits["validation"], folder=checkpoint, on_epoch=report)
        print(f"{of}kept the weights of epoch {fitted.best.epoch}", flush=True)
        return fitted.network

    if not folder.metrics.exists():  # the last that judging writes; what was scored once is not scored again
        networks = [trained(number) for number in range(config.fit.members)]
        judge(folder, config, models.committee(networks, flips=config.evaluation.flips), splits)
    illustrate(folder, load_model(folder.model), splits, config.fit.seed)


def member(config: RunConfig, number: int) -> RunConfig:
    """Give the settings of one network of several: they differ by their seeds alone."""
    return dataclasses.replace(config, fit=dataclasses.replace(config.fit, seed=config.fit.seed + number))


def _splits(config: RunConfig) -> dict[str, Split]:
    from pipeline.holdout import splits_of

    dataset, splits = Path(str(config.data.dataset)), splits_of(config.data)
    missing = [name for name in ("train", "validation") if name not in splits]
    if missing:
        raise InputError(f"{dataset} has no images in {' and '.join(missing)}; build it from more patients")
    return splits


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
    from pipeline.evaluate import show
    from pipeline.report import write_report

    write_report(folder.path)  # once more, now with the parity of the ONNX file
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
