"""Imports follow the arrows of `rooms.py`, no name is used twice, and light commands stay light."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from rooms import APPLICATIONS, MAY_USE

ROOT = Path(__file__).parents[2]
PACKAGES = ("pneumo_tfds", "pipeline", "tuning", "export", "benchmarks")
COMMANDS = [
    "pneumo_tfds",
    "pipeline.train",
    "pipeline.evaluate",
    "pipeline.compare",
    "pipeline.ladder",
    "pipeline.show_augmented",
    "pipeline.learn_lungs",
    "pipeline.doctor",
    "pipeline.suspects",
    "tuning",
    "export",
    "export.check",
    "export.predict",
    "export.drift",
    "export.recalibrate",
    "export.verify",
    "export.web",
    "export.serve",
    "export.watch",
    "benchmarks",
]
HEAVY = (
    "tensorflow", "tensorflow_datasets", "keras", "keras_tuner", "onnxruntime", "matplotlib", "sklearn", "scipy",
    "highdicom", "pydantic", "pydicom", "requests",
)  # fmt: skip


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_name(path): path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "node_modules" not in path.parts
}


def room_of(module):
    return module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]


def imported(module):
    """The modules of ours that a module imports, wherever in its text."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            found = name if name in FILES else name.rpartition(".")[0]
            if found in FILES and found != module:
                yield found


ARROWS = sorted({(module, target) for module in FILES for target in imported(module)})


def allowed(room):
    package = room.split(".")[0]
    return {name if name.split(".")[0] in PACKAGES else f"{package}.{name}" for name in MAY_USE[room].split()}


def test_every_room_is_in_the_table():
    assert {room_of(module) for module in FILES} == set(MAY_USE)


def test_imports_follow_the_table_of_rooms():
    wrong = [
        f"{module} imports {target}"
        for module, target in ARROWS
        if room_of(module) != room_of(target) and room_of(target) not in allowed(room_of(module))
    ]
    assert wrong == []


def test_table_has_no_arrow_that_nobody_follows():
    followed = {(room_of(module), room_of(target)) for module, target in ARROWS}
    assert [(room, target) for room in MAY_USE for target in allowed(room) if (room, target) not in followed] == []


def test_no_room_uses_one_that_stands_below_it_in_the_table():
    floors = {room: number for number, room in enumerate(MAY_USE)}
    upward = [(room, target) for room in MAY_USE for target in allowed(room) if floors[target] > floors[room]]
    assert sorted(upward) == [("pipeline", "export"), ("pipeline", "tuning")]


def test_only_the_applications_name_the_packages_above_them_and_nothing_imports_these():
    above = {
        module for module, target in ARROWS if module.startswith("pipeline") and target.startswith(("tuning", "export"))
    }
    assert above == APPLICATIONS
    assert {module for module, target in ARROWS if target in APPLICATIONS} == {"pipeline.api"}


def test_no_two_modules_import_each_other():
    assert [(module, target) for module, target in ARROWS if (target, module) in ARROWS] == []


def test_no_name_of_a_module_is_used_twice():
    names = Counter(path.stem for path in FILES.values() if path.stem not in ("__init__", "__main__"))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command):
    program = f"""
import runpy, sys
sys.argv = ["command", "--help"]
try:
    runpy.run_module({command!r}, run_name="__main__", alter_sys=True)
except SystemExit as left:
    heavy = sorted(set(sys.modules) & set({HEAVY!r}))
    sys.exit(f"--help imported {{heavy}}" if heavy else left.code)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "usage:" in ended.stdout


def test_unknown_flag_is_one_line_and_exit_code_2():
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.train", "--no-such-flag"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "--no-such-flag" in ended.stderr
