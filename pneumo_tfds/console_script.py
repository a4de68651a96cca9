"""The command `pneumo`: every command of the project under one name, `pneumo train` for `python -m pipeline.train`.

Only the module of the command that is called is imported.
"""

from __future__ import annotations

import ast
import difflib
import os
import runpy
import shutil
import sys
import textwrap
from pathlib import Path

import pneumo_tfds
from pneumo_tfds.program import command
from pneumo_tfds.program.shadowing import shadowing

GROUPS = {
    "Data": {
        "inspect": "pneumo_tfds.__main__:InspectConfig",
        "audit": "pneumo_tfds.__main__:AuditConfig",
        "show": "pneumo_tfds.__main__:ShowConfig",
        "show-augmented": "pipeline.show_augmented:ShowAugmented",
        "build": "pneumo_tfds.__main__:BuildConfig",
        "list": "pneumo_tfds.__main__:ListConfig",
        "phantoms": "pneumo_tfds.__main__:PhantomsConfig",
    },
    "Train and evaluate": {
        "train": "pipeline.train:Train",
        "evaluate": "pipeline.evaluate:Evaluate",
        "compare": "pipeline.compare:Compare",
        "suspects": "pipeline.suspects:Suspects",
        "ladder": "pipeline.ladder:Ladder",
        "tuning": "tuning.__main__:TuneCommand",
        "learn-lungs": "pipeline.learn_lungs:LearnLungs",
    },
    "Export and use": {
        "export": "export.__main__:Export",
        "check": "export.check:Check",
        "predict": "export.predict:Predict",
        "verify": "export.verify:Verify",
        "recalibrate": "export.recalibrate:Recalibrate",
        "drift": "export.drift:Drift",
        "web": "export.web.__main__:Web",
        "serve": "export.serve.__main__:Serve",
        "watch": "export.watch:Watch",
    },
    "This machine": {
        "doctor": "pipeline.doctor:Doctor",
        "benchmarks": "benchmarks.__main__:BenchmarkOptions",
        "completion": "pneumo_tfds.completion:Completion",
    },
}
"""Group to command to `module:dataclass of its flags`. The first sentence of the dataclass is the command's help."""

COMMANDS = {name: target for group in GROUPS.values() for name, target in group.items()}
ALIASES = {"tune": "tuning"}
"""Another word that people try first."""


def main() -> None:
    """Run the command that `sys.argv` names."""
    name = next(iter(sys.argv[1:]), "")
    name = ALIASES.get(name, name)
    if name in ("", "--help", "-h"):
        print(overview())
        sys.exit(command.DONE if name else command.BAD_INPUT)
    if name == "--version":
        print(f"pneumo {pneumo_tfds.__version__}")
        sys.exit(command.DONE)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        _refuse(f"{name!r} is no command; {f'did you mean {near[0]}? ' if near else ''}pneumo --help lists all")
    if line := shadowing():
        _refuse(line)
    module = COMMANDS[name].partition(":")[0]
    if module == "pneumo_tfds.__main__":  # has subcommands of its own
        command.called_as = "pneumo"
    else:
        command.called_as = f"pneumo {name}"
        del sys.argv[1]
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # also in workers, a file of the current folder hides no package
    # As `python -m` does, so that the processes which a command starts find its functions.
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def overview() -> str:
    """Return the text of `pneumo --help`."""
    width = shutil.get_terminal_size().columns
    lines = [
        "usage: pneumo COMMAND [FLAGS]",
        "",
        "From a folder of chest X-rays to a tuned, checked ONNX classifier. pneumo COMMAND --help lists all flags.",
    ]
    for group, commands in GROUPS.items():
        lines += ["", group]
        for name, target in commands.items():
            start = f"  {name:<15} "
            lines.append(textwrap.fill(start + first_sentence(target), width, subsequent_indent=" " * len(start)))
    return "\n".join([*lines, "", "  --version       The version.", "  -h, --help      This text."])


def first_sentence(target: str) -> str:
    """Return the first sentence of a command's help, read from its source without importing it."""
    module, _, name = target.partition(":")
    path = Path(pneumo_tfds.__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return " ".join((ast.get_docstring(node) or "").split()).split(". ")[0].removesuffix(".")
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return first_sentence(f"{node.module}:{name}")
    raise LookupError(target)


def _refuse(line: str) -> None:
    print(f"pneumo: {line}", file=sys.stderr)
    sys.exit(command.BAD_INPUT)


if __name__ == "__main__":
    main()
