"""Every bad input of the table is one line on standard error and exit code 2, and nothing that was there changes."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _beside(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE = _beside("bad_inputs_table")
FEWEST = 60


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", TABLE.CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_changes_nothing(case, place, run):
    case.make(place)
    line, says = case.line, case.says
    if "PORT" in line:
        port = str(place.port())
        line, says = line.replace("PORT", port), says.replace("PORT", port)
    before = contents(place.folder)
    ended = run(line)
    assert "Traceback" not in ended.out + ended.err
    if case.skipped:
        assert ended.code == 0, ended.err
        assert says in ended.out + ended.err
    else:
        assert ended.code == 2, ended.err
        assert says in ended.err
        assert ended.err.count("\n") == 1, ended.err
    after = contents(place.folder)
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after if "partial" in path.name or "incomplete" in str(path)]


def test_bad_inputs_are_many_and_distinct():
    assert len(TABLE.CASES) >= FEWEST
    assert len({case.name for case in TABLE.CASES}) == len(TABLE.CASES)
    assert len({(case.line, case.wrong) for case in TABLE.CASES}) == len(TABLE.CASES)


def test_the_page_shows_what_is_run():
    assert TABLE.DOCS.read_text(encoding="utf-8") == TABLE.markdown(), "run: python tests/house/bad_inputs_table.py"


def test_every_command_is_tried():
    commands = {case.line.split()[0] for case in TABLE.CASES}
    assert commands >= {
        "pneumo_tfds", "pipeline.train", "pipeline.evaluate", "pipeline.compare", "pipeline.ladder", "tuning",
        "tuning.cost", "export", "export.check", "export.predict", "export.serve", "export.web", "benchmarks",
    }  # fmt: skip
