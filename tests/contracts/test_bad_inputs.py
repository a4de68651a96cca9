"""Every bad input of the table is one line on standard error and exit code 2, and nothing that was there changes."""

import pytest

import bad_inputs_table as table

FEWEST = 60


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", table.CASES, ids=lambda case: case.name)
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
    assert len(table.CASES) >= FEWEST
    assert len({case.name for case in table.CASES}) == len(table.CASES)
    assert len({(case.line, case.wrong) for case in table.CASES}) == len(table.CASES)


def test_the_page_shows_what_is_run():
    assert table.DOCS.read_text(encoding="utf-8") == table.markdown(), "run: python tests/helpers/bad_inputs_table.py"


def test_every_command_is_tried():
    commands = {case.line.split()[0] for case in table.CASES}
    assert commands >= {
        "pneumo_tfds", "pipeline.train", "pipeline.evaluate", "pipeline.compare", "pipeline.ladder", "pipeline.doctor",
        "pipeline.suspects", "tuning", "benchmarks", "export", "export.check", "export.predict", "export.recalibrate",
        "export.drift", "export.serve", "export.web", "export.watch",
    }  # fmt: skip
