"""The project in a notebook or a program: `from pipeline.api import prepare, train, evaluate, export, Classifier`.

Each function is the command of its name, with the command's flags as keyword arguments: `--image-size 96` is
`image_size=96`. None of them prints unless it is told `progress=True`: what the command notes is a Python warning. None
ends the program: what the user has to correct is an `InputError`. Like the commands, this module stands above all
packages.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_origin, get_type_hints

from export import Classifier, Explanation, Prediction, explain
from export.export_options import ExportOptions
from pipeline.config import DataConfig, RunConfig
from pipeline.config.config_json import checked, to_dict
from pipeline.config.effects import require_effects
from pipeline.data.dataset import with_dataset
from pipeline.evaluate import Evaluate, evaluated
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.history import Epoch, read
from pipeline.train import Train, check_search, defaults_from, new_run_dir, search, tell, train_and_judge
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING
from pneumo_tfds.program.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from pipeline.evaluation.predictions import Predictions

__all__ = [
    "Classifier", "Explanation", "InputError", "Prediction", "Run", "evaluate", "explain", "export", "prepare", "train",
]  # fmt: skip

PathLike = str | os.PathLike[str]
Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, or its evaluation on other X-rays; in a notebook it shows its figures and what to know of them.

    >>> run = Run("runs/first")  # doctest: +SKIP
    >>> run.metrics["splits"]["test"]["auroc"]  # doctest: +SKIP
    0.856
    """

    folder: Path
    """Its folder, with the files of docs/reference/run-folder.md."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        if not self._files.config.is_file():
            raise InputError(f"{self.folder} is not a run folder (no config.json); give one that train made")

    @property
    def _files(self) -> RunFolder:
        return RunFolder(self.folder)

    @cached_property
    def config(self) -> RunConfig:
        """The settings that it was trained with."""
        return self._files.read_config()

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json: figures of each split with 95 % intervals, threshold, limits, origin."""
        return self._files.read_json(self._files.metrics)

    @property
    def history(self) -> list[Epoch]:
        """Its epochs, oldest first. Those of a run with folds: `Run(run.folder / "fold-1").history`, and so on."""
        return read(self._files.history)

    @property
    def report(self) -> Path:
        """The page with figures, plots and warnings."""
        return self._files.report

    def predictions(self, split: str | None = None) -> Predictions:
        """Return the answers for the images of a split, as arrays; `pandas.DataFrame(vars(...))` takes them.

        Args:
            split: such as `validation`; None for the one that says most, `test` if there is one.

        Raises:
            InputError: the split was not scored.
        """
        from pipeline.evaluation.predictions import read_csv
        from pipeline.evaluation.scoring import by_interest

        tables = read_csv(self._files.predictions, self.metrics)
        name = split or by_interest(tables)[0]
        if name not in tables:
            raise InputError(f"{self.folder} has no predictions of {name}, only of {', '.join(tables)}")
        return tables[name]

    def _repr_html_(self) -> str:
        from pipeline.evaluation.scoring import by_interest
        from pipeline.report.reader_warnings import warnings_of
        from pipeline.report.report_tables import headline
        from pipeline.report.terminal import figure_rows
        from pneumo_tfds.program.html_page import render

        metrics = self.metrics
        split = by_interest(metrics["splits"])[0]
        return render(
            "pipeline.report", "run_table.html",
            folder=str(self.folder), headline=headline(metrics, split), rows=figure_rows(metrics),
            warnings=warnings_of(self._files, split),
        )  # fmt: skip


def prepare(source: PathLike | None = None, *, progress: bool = False, **settings: Any) -> Path:
    """Decode X-rays once into a dataset, unless that is done; return its folder, for `train(dataset=...)`.

    Args:
        source: folder, zip or CSV of chest X-rays; None for those in TFDS's manual folder, else phantoms.
        progress: print what is understood of the source, and how far the work is.
        settings: flags about data of `python -m pipeline.train`, such as `image_size=96` or `data_dir="data"`.

    Raises:
        InputError: nothing can be built from the source, it needs a decision, or a setting cannot be used.
    """
    config = _from_keywords(RunConfig, {"source": source, **settings, "batch_size": 1})
    for name in settings.keys() - DataConfig.__dataclass_fields__:
        raise InputError(f"{name} has no effect on prepare, which takes settings of data alone; leave it out")
    with _printing(progress):
        return with_dataset(config).data.built.folder


def train(
    source: PathLike | None = None,
    *,
    run_dir: PathLike | None = None,
    resume: bool = False,
    config: PathLike | None = None,
    track: str | Sequence[str] = (),
    progress: bool = False,
    **settings: Any,
) -> Run:
    """Train a network, decide on validation, score test, and write the report: `python -m pipeline.train`, unexported.

    Args:
        source: folder, zip or CSV of chest X-rays; None if `dataset` is given, or as in `prepare`.
        run_dir: folder of the run; None for a new one under runs/.
        resume: continue the run in `run_dir`.
        config: file with settings, such as another run's config.json; those given here override it. Not with `resume`.
        track: what else curves, figures and plots are handed on to, as `--track` has it.
        progress: print each epoch, and how far the work is.
        settings: flags of `python -m pipeline.train`, such as `dataset`, `model`, `epochs`, `image_size` or `tune`
            (docs/reference/settings.md). Size and framing are those of `dataset`, if it is given. `model` may be the
            function that makes a network, too.

    Raises:
        InputError: a setting, the source or the folder cannot be used; the message says what to do.
    """
    folder = RunFolder(new_run_dir() if run_dir is None else Path(run_dir))
    if resume and config is not None:
        raise InputError("resume keeps the settings of the run; leave config out")
    started = folder.read_start() if resume else None
    start = started if config is None else defaults_from(Path(config), with_source=source is not None).settings()
    given = {**_form_of(settings.get("dataset")), **settings}
    if source is not None or not resume:
        given["source"] = source
    made = _from_keywords(RunConfig, given, {} if start is None else to_dict(start))
    track = (track,) if isinstance(track, str) else tuple(track)
    command = Train(**vars(made), run_dir=folder.path, resume=resume, track=track, left_out=start)
    require_effects(made, start)
    check_search(command)
    with _printing(progress):
        folder.start(resume=resume)
        with folder.locked():
            made, tracking = train_and_judge(folder, command, partial(search, track=command.track))
            tell(tracking, folder, made, ended=True)
        return _finished(folder)


def evaluate(run: Run | PathLike, source: PathLike | None = None, *, progress: bool = False, **settings: Any) -> Run:
    """Score a run again, or on other X-rays, or decide again: `python -m pipeline.evaluate`.

    Args:
        run: a finished run, or its folder.
        source: other labelled X-rays; None for the run's own.
        progress: print how far the work is.
        settings: flags of `python -m pipeline.evaluate`, such as `threshold_rule`, `guarantee`, `by` or `on`.

    Returns:
        The run, or its evaluation on the other X-rays, which has a folder of its own.

    Raises:
        InputError: the run is not finished, or the source or a setting cannot be used.
    """
    command = _from_keywords(Evaluate, {"run_folder": _folder_of(run), "source": source, **settings})
    with _printing(progress):
        return _finished(evaluated(command))


def export(run: Run | PathLike, *, progress: bool = False, **settings: Any) -> dict[Path, str]:
    """Write a run's ONNX files, each compared with Keras before it gets its name: `python -m export`.

    Args:
        run: a finished run, or its folder.
        progress: print how far the work is.
        settings: flags of `python -m export` about the files, such as `int8=True`.

    Returns:
        For each file a line: its size and its largest difference from Keras, or why it was not kept.

    Raises:
        InputError: the run is not finished, a setting cannot be used, or the file would differ from Keras.
    """
    options = _from_keywords(ExportOptions, settings)
    with _printing(progress):
        from export.export_run import export_run

        return dict(export_run(_folder_of(run), options))


def _finished(folder: RunFolder) -> Run:
    """Return a run after printing what its figures warn of, as the commands do."""
    from pipeline.report.terminal import show_warnings

    show_warnings(folder)
    return Run(folder.path)


def _form_of(dataset: PathLike | None) -> dict[str, Any]:
    """Return the settings that a built dataset fixes, by its name, such as `gray_64_pad`."""
    found = dataset and re.fullmatch(r"(?:gray|phantom)_(\d+)(?:_(\w+))?", Path(dataset).parent.name)
    return {"image_size": int(found[1]), "framing": found[2] or DEFAULT_FRAMING} if found else {}


def _folder_of(run: Run | PathLike) -> Path:
    return run.folder if isinstance(run, Run) else Path(run)


def _from_keywords(kind: type[Settings], given: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> Settings:
    """Return settings as a config dataclass: flat keyword arguments, put into the groups that have such a field.

    Raises:
        InputError: no field has the name of an argument, or its value is not allowed.
    """
    groups = {field.name: field.default_factory for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    places: dict[str, str] = {}
    types = get_type_hints(kind)
    for name, group in groups.items():
        inner = dataclasses.fields(group) if dataclasses.is_dataclass(group) else ()
        places |= {field.name: name for field in inner} if inner else {name: ""}
        types |= get_type_hints(group) if inner else {}
    nested: dict[str, Any] = {name: dict(values) for name, values in (start or {}).items()}
    for name, value in given.items():
        if name not in places:
            near = difflib.get_close_matches(name, places, 1)
            meant = f"did you mean {near[0]}?" if near else "docs/reference/settings.md has all"
            raise InputError(f"there is no setting {name}; {meant}")
        if value is None:
            continue
        if name == "model" and callable(value):
            value = f"{value.__module__}:{value.__qualname__}"
        place = nested.setdefault(places[name], {}) if places[name] else nested
        is_one_of_several = get_origin(types[name]) is tuple and isinstance(value, str | os.PathLike)
        place[name] = [value] if is_one_of_several else value
    return checked(kind, nested)


@contextmanager
def _printing(progress: bool) -> Iterator[None]:
    """Let the stages print, or turn what they note into Python warnings; without what TensorFlow notes at import."""
    said = io.StringIO()
    with ExitStack() as stack:
        if not progress:
            stack.callback(_warn_of, said)  # after the streams are back, and when the work failed too
            stack.enter_context(redirect_stdout(said))
            stack.enter_context(redirect_stderr(said))
        quiet_tensorflow()
        yield
        sys.stdout.flush()


def _warn_of(said: io.StringIO) -> None:
    """Warn of each line that begins with `note:` or `warning:`, or that Python's own warnings printed.

    The warning names the line that called this module, as a filter or a reader of warnings expects.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_code.co_filename in (__file__, contextmanager.__code__.co_filename):
        level, frame = level + 1, frame.f_back
    for line in said.getvalue().splitlines():
        if re.match(r"(?i:note|warning): |.+:\d+: \w+Warning: ", line):
            warnings.warn(line, stacklevel=level)
