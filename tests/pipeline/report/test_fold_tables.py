"""The table of folds in the report, and its last lines on the terminal."""

from __future__ import annotations

import json
from types import SimpleNamespace

from pipeline.report import terminal
from pipeline.report.report_tables import FOLD_FIGURES, fold_rows

FOLDS = {
    "folds": [
        {"name": "fold-1", "images": 1200, "patients": 500, **dict.fromkeys(FOLD_FIGURES, 0.5), "auroc": 0.9},
        {"name": "fold-2", "images": 800, "patients": 400, **dict.fromkeys(FOLD_FIGURES, 0.5), "auroc": 0.8},
        {"name": "fold-3", "images": 1, "patients": 1, **dict.fromkeys(FOLD_FIGURES, 0.5), "auroc": None},
    ],
    "mean": dict.fromkeys(FOLD_FIGURES, 0.5) | {"auroc": 0.85, "ece": None},
    "deviation": dict.fromkeys(FOLD_FIGURES, 0.1),
    "pooled": {"n": 2001, "patients": 901, **dict.fromkeys(FOLD_FIGURES, 0.5), "intervals": {"auroc": [0.7, 0.95]}},
}


def test_table_has_every_fold_their_mean_and_range_and_all_images_together():
    head, *rows = fold_rows(FOLDS)
    assert head[:4] == ["", "images", "patients", "AUROC"]
    assert [row[:4] for row in rows] == [
        ["fold-1", "1,200", "500", "0.900"],
        ["fold-2", "800", "400", "0.800"],
        ["fold-3", "1", "1", "–"],
        ["mean ± deviation", "", "", "0.850 ± 0.100"],
        ["lowest to highest", "", "", "0.800 to 0.900"],
        ["together (95 %)", "2,001", "901", "0.500 (0.700 to 0.950)"],
    ]
    assert {len(row) for row in rows} == {len(head)}


def test_range_of_a_figure_that_no_fold_has_is_a_dash():
    without = [one | {"sensitivity": None} for one in FOLDS["folds"]]
    rows = {row[0]: row for row in fold_rows(FOLDS | {"folds": without})}
    assert rows["lowest to highest"][4] == "–"


def test_terminal_shows_the_last_lines_in_80_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    path = tmp_path / "folds.json"
    path.write_text(json.dumps(FOLDS))
    terminal._show_folds(SimpleNamespace(folds=path, read_json=lambda path: json.loads(path.read_text())))
    title, _, _, _, images, patients, auroc, *_ = capsys.readouterr().out.splitlines()
    assert title.strip() == "3 folds: each image by a network that has not seen its patient"
    assert images.split() == ["│", "images", "│", "│", "│", "2,001", "│"]
    assert patients.split() == ["│", "patients", "│", "│", "│", "901", "│"]
    assert [cell.strip() for cell in auroc.strip("│").split("│")] == [
        "AUROC",
        "0.850 ± 0.100",
        "0.800 to 0.900",
        "0.500 (0.700 to 0.950)",
    ]
