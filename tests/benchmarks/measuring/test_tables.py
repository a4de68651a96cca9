from io import StringIO

import pytest
from rich.console import Console

from benchmarks.measuring.harness import Case, Record
from benchmarks.measuring.tables import fastest, markdown, reference, share_of_limit, sheets, show

CASE = Case("input", "phantoms", 224, 64, 2, "augmented")
RECORDS = [
    Record(CASE, "limit: memory", (1000.0, 1000.0)),
    Record(CASE, "limit: decoder", (100.0, 100.0)),
    Record(CASE, "ours: records", (60.0, 80.0), details={"waiting, %": 1.25}),
    Record(CASE, "peer: slow", (10.0, 10.0)),
    Record(CASE, "peer: fast", (20.0, 40.0)),
    Record(CASE, "peer: absent", (), "not installed (torch): pip install '.[peers]'"),
]


def test_ratios_are_against_the_fastest_peer():
    assert reference(RECORDS).contender == "peer: fast"


def test_ratios_are_against_whom_the_case_names():
    case = Case("augment", "phantoms", 224, 64, 2, against="peer: slow")
    records = [Record(case, "peer: fast", (9.0,)), Record(case, "peer: slow", (1.0,))]
    assert reference(records).contender == "peer: slow"


def test_without_peers_ratios_are_against_the_first_that_is_no_limit():
    assert reference([RECORDS[0], RECORDS[2]]).contender == "ours: records"


def test_share_is_of_the_lowest_limit():
    assert share_of_limit(RECORDS[2], RECORDS) == pytest.approx(0.7)
    assert share_of_limit(RECORDS[0], RECORDS) is None


def test_sheet_says_what_all_share_and_gives_the_ratio_before_the_rate():
    (sheet,) = sheets(RECORDS)
    assert sheet.columns[:4] == ("contender", "× fast", "images/s", "spread")
    assert "64" in sheet.title
    assert "2 threads each" in sheet.title
    ours = next(row for row in sheet.rows if row[0] == "ours: records")
    assert ours[1:5] == ("2.50", "70.0", "60.0 to 80.0", "70%")
    assert ours[-1] == "1.25"


def test_peer_that_is_not_installed_keeps_its_row():
    (sheet,) = sheets(RECORDS)
    row = next(row for row in sheet.rows if row[0] == "peer: absent")
    assert ".[peers]" in " ".join(row)
    assert len(row) == len(sheet.columns)


def test_cases_get_a_table_each():
    other = Case("input", "phantoms", 150, 64, 2)
    assert len(sheets([*RECORDS, Record(other, "ours: a", (1.0,))])) == 2


def test_markdown_has_the_machine_and_rows_of_equal_width():
    text = markdown(RECORDS, "a machine")
    assert text.startswith("Machine: a machine.")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(RECORDS)
    assert len({line.count("|") for line in rows}) == 1


def test_the_fastest_is_bold_whoever_it_is_and_apart_among_those_that_round():
    records = [
        *RECORDS, Record(CASE, "peer: faster", (90.0, 90.0)), Record(CASE, "ours: int8", (300.0, 300.0), rounded=True),
        Record(CASE, "peer: int8", (200.0, 200.0), rounded=True),
    ]  # fmt: skip
    assert fastest(RECORDS) == {"ours: records"}
    assert fastest(records) == {"peer: faster", "ours: int8"}
    text = markdown(records, "a machine")
    assert "| **peer: faster** |" in text
    assert "| ours: records |" in text


def test_terminal_shows_every_contender():
    console = Console(file=StringIO(), width=200)
    show(RECORDS, console)
    assert all(record.contender in console.file.getvalue() for record in RECORDS)
