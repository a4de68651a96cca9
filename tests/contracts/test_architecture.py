"""The arrows between packages point one way, and light commands stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STANDS_ON = {
    "pneumo_tfds": set(),
    "pipeline": {"pneumo_tfds"},
    "tuning": {"pneumo_tfds", "pipeline"},
    "export": {"pneumo_tfds", "pipeline"},
    "benchmarks": {"pneumo_tfds", "pipeline", "tuning", "export"},
}
COMMANDS = [
    "pneumo_tfds",
    "pipeline.train",
    "pipeline.evaluate",
    "pipeline.compare",
    "pipeline.ladder",
    "tuning",
    "benchmarks.search_cost",
    "export",
    "export.check",
    "export.predict",
    "export.web",
    "export.serve",
    "benchmarks",
]
HEAVY = ("tensorflow", "tensorflow_datasets", "keras", "keras_tuner", "onnxruntime", "matplotlib", "sklearn", "scipy")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", STANDS_ON)
def test_package_imports_only_those_below_it(package):
    for path in (ROOT / package).rglob("*.py"):
        ours = {name.split(".")[0] for name in imported_modules(path)} & set(STANDS_ON)
        assert ours <= STANDS_ON[package] | {package}, f"{path.relative_to(ROOT)} reaches up"


def test_no_two_modules_import_each_other():
    arrows = {}
    for package in STANDS_ON:
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            arrows[module] = set(imported_modules(path)) - {module}
    for module, targets in arrows.items():
        for target in targets & set(arrows):
            assert module not in arrows[target], f"{module} and {target} import each other"


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
