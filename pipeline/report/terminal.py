"""Summary of a run's figures on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pipeline.run_folder.folder import RunFolder

FIGURES = ("auroc", "accuracy", "sensitivity", "specificity", "average_precision", "brier", "ece")


def show(folder: RunFolder) -> None:
    """Print the figures of every split, and the path of the report."""
    metrics = folder.read_json(folder.metrics)
    table = Table("", title="95 % intervals by bootstrap over patients; PNEUMONIA is positive")
    for split, figures in metrics["splits"].items():
        table.add_column(f"{split} (n={figures['n']})", justify="right")
    for name in FIGURES:
        cells = []
        for figures in metrics["splits"].values():
            value, limits = figures[name], figures["intervals"].get(name)
            interval = f"  [{limits[0]:.3f}, {limits[1]:.3f}]" if limits else ""
            cells.append("undefined" if value is None else f"{value:.3f}{interval}")
        table.add_row(name.replace("_", " "), *cells)
    Console().print(table)
    point = metrics["operating_point"]
    print(f"threshold {point['threshold']:.4f}, by {point['rule']} on {point['chosen_on']}; report: {folder.report}")
