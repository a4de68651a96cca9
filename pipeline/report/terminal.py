"""Summary of a run's figures on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.evaluation.doubt import Doubt
from pipeline.evaluation.evaluation_lock import verify
from pipeline.evaluation.scoring import by_interest
from pipeline.report.reader_warnings import NAMES, drops, warnings_of
from pipeline.report.report_tables import DASH, about_left, fold_summary, number, percent, signed, with_interval
from pipeline.run_folder.folder import RunFolder

FIGURES = ("auroc", "accuracy", "sensitivity", "specificity", "average_precision", "brier", "ece")


def show(folder: RunFolder) -> None:
    """Print the figures of every split, what to know before relying on them, and the path of the report.

    Beside the images of another source stand the run's own figures.
    """
    metrics = folder.read_json(folder.metrics)
    if folder.folds.exists():
        _show_folds(folder)
    own = metrics.get("external", {}).get("own", {})
    main = by_interest(metrics["splits"])[0]
    unknown = metrics["splits"][main].get("patients_unknown", 0) == metrics["splits"][main]["n"]
    unit = "images (patients unknown)" if unknown else "patients"
    head, *rows = figure_rows(metrics)
    Console().print(_table(head, rows, f"95 % intervals by bootstrap over {unit}; PNEUMONIA is positive"))
    if found := metrics.get("reliance"):
        print(f"left without lungs: {about_reliance(found)}")
    if gaps := drops(own, metrics["splits"][main]):
        parts = [f"{NAMES[name]} {gap['difference']:+.3f} ({signed(gap['interval'])})" for name, gap in gaps.items()]
        print(f"difference from its own {own['split']} images: {', '.join(parts)}")
    show_warnings(folder)
    beside = {"own " + own["split"]: own["figures"]} if own.get("split") else {}
    for split, figures in (metrics["splits"] | beside).items():
        if given := figures.get("answered"):
            counts = {answer: sum(labels.values()) for answer, labels in given["answers"].items()}
            told = ", ".join(f"{count:,} {answer}" for answer, count in counts.items())
            if given["accuracy"] is not None:
                told += f"; {percent(given['accuracy'])} of the NORMAL and PNEUMONIA ones are right"
            print(f"answers on {split}: {told}")
    if metrics.get("doubt"):
        doubt = Doubt.from_json(metrics["doubt"])
        where = " (it does not hold for images of another source)" if own and doubt.guaranteed else ""
        what = "guarantee" if doubt.guaranteed else "no guarantee"
        print(f"{what} of certain answers{where}: {doubt.guarantee.removeprefix('none: ')}")
    point = metrics["operating_point"]
    print(f"threshold {point['threshold']:.4f}, by {point['rule']} on {point['chosen_on']}; report: {folder.report}")


def show_warnings(folder: RunFolder) -> None:
    """Print what to know before relying on the figures, a line each."""
    splits = folder.read_json(folder.metrics)["splits"]
    for text in warnings_of(folder, by_interest(splits)[0]):
        print(f"warning: {text}")
    if (lock := verify(folder)) and not lock.kept:
        print(f"warning: evaluation lock: {lock.summary}")


def about_reliance(found: Mapping[str, Any]) -> str:
    """Return what the row `left without lungs` means, and whether its interval tells anything."""
    means = "the part of AUROC's lead over 0.5 that stays with the lungs blacked out: the nearer to 0, the better"
    limits = found["interval"]
    if said := about_left(found["left"]):
        means += f". {said.rstrip('.')}"
    return means + ("; too uncertain here to tell anything" if limits and limits[1] - limits[0] > 1 else "")


def figure_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Return the main figures of every split as rows of text, the first with the titles.

    Beside the images of another source stand the run's own figures.
    """
    columns = {f"{split} (n={figures['n']})": figures for split, figures in metrics["splits"].items()}
    own = metrics.get("external", {}).get("own", {})
    if own.get("split"):
        columns[f"own {own['split']} (n={own['figures']['n']})"] = own["figures"]
    rows = [[name.replace("_", " "), *(_cell(figures, name) for figures in columns.values())] for name in FIGURES]
    if found := metrics.get("reliance"):
        left = _cell({"left": found["left"], "intervals": {"left": found["interval"]}}, "left")
        splits = [left if split == "validation" else "" for split in metrics["splits"]]
        rows.insert(1, ["left without lungs", *splits, *[""] * (len(columns) - len(splits))])
    return [["", *columns], *rows]


def _show_folds(folder: RunFolder) -> None:
    """Print the out-of-fold figures: their mean and spread over the folds, and of all images together."""
    found = folder.read_json(folder.folds)
    title = f"{len(found['folds'])} folds: each image by a network that has not seen its patient"
    head, *rows = zip(*fold_summary(found), strict=True)
    Console().print(_table(head, rows, title))
    print("validation in the next table: the same images at the threshold of the committee, which was chosen on them")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> Table:
    """Return a table whose first column names the rows."""
    table = Table(head[0], title=title)
    for column in head[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _cell(figures: Mapping[str, Any], name: str) -> str:
    value, limits = with_interval(figures, name)
    if name == "ece" and value is None:
        return DASH
    interval = f"  [{number(limits[0])}, {number(limits[1])}]" if limits else ""
    return "undefined" if value is None else f"{number(value)}{interval}"
