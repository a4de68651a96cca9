"""Records as tables, ratios first, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table

from benchmarks.measuring.harness import LIMIT, PEER, Case, Record


@dataclass(frozen=True)
class Sheet:
    """One table as text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    bold: frozenset[str]
    """The fastest, as `fastest` returns them."""


def sheets(records: Iterable[Record]) -> list[Sheet]:
    """Return one sheet for each case, in the order of the records."""
    return [_sheet(case, list(group)) for case, group in groupby(records, key=lambda record: record.case)]


def reference(records: Sequence[Record]) -> Record | None:
    """Return the record that ratios refer to: the one the case names, or the fastest peer, or the first non-limit."""
    ran = [record for record in records if record.runs]
    for record in ran:
        if record.contender == record.case.against:
            return record
    peers = [record for record in ran if record.kind == PEER]
    if peers:
        return max(peers, key=lambda record: record.images_per_second)
    return next((record for record in ran if record.kind != LIMIT), None)


def fastest(records: Sequence[Record]) -> frozenset[str]:
    """Return the name of the fastest contender that is no limit, of those that round and of the others."""
    ran = sorted((r for r in records if r.runs and r.kind != LIMIT), key=lambda record: record.images_per_second)
    return frozenset({record.rounded: record.contender for record in ran}.values())


def share_of_limit(record: Record, records: Sequence[Record]) -> float | None:
    """Return the share of the lowest measured limit that `record` reaches; None without a limit."""
    limits = [other for other in records if other.kind == LIMIT and other.runs]
    if record.kind == LIMIT or not limits:
        return None
    return record.ratio(min(limits, key=lambda other: other.images_per_second))


def _sheet(case: Case, records: list[Record]) -> Sheet:
    base = reference(records)
    details = list(dict.fromkeys(name for record in records for name in record.details))
    limited = any(record.kind == LIMIT and record.runs for record in records)
    ratio = f"× {base.contender.split(': ')[-1]}" if base else "×"
    columns = ("contender", ratio, "images/s", "spread", *(("of limit",) if limited else ()), *details)
    rows: list[tuple[str, ...]] = []
    for record in records:
        if not record.runs or base is None:
            rows.append((record.contender, "–", record.note, *[""] * (len(columns) - 3)))
            continue
        share = share_of_limit(record, records)
        low, median, high = map(_rate, (min(record.runs), record.images_per_second, max(record.runs)))
        row = [record.contender, f"{record.ratio(base):.2f}", median, f"{low} to {high}"]
        row += ["" if share is None else f"{share:.0%}"] if limited else []
        row += [f"{record.details[name]:,.4g}" if name in record.details else "" for name in details]
        rows.append(tuple(row))
    return Sheet(case.title, columns, rows, fastest(records))


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def show(records: Iterable[Record], console: Console) -> None:
    """Print every sheet; the fastest rows are bold."""
    for sheet in sheets(records):
        table = Table(title=sheet.title, title_justify="left")
        for name in sheet.columns:
            table.add_column(name, justify="right" if table.columns else "left")
        for row in sheet.rows:
            table.add_row(*row, style="bold" if row[0] in sheet.bold else None)
        console.print(table)


def markdown(records: Iterable[Record], machine: str) -> str:
    """Return every sheet as Markdown, below the description of the machine."""
    parts = [f"Machine: {machine}.\n"]
    for sheet in sheets(records):
        lines = [f"**{sheet.title}**", "", _line(sheet.columns), _line(["---", *["---:"] * (len(sheet.columns) - 1)])]
        for name, *figures in sheet.rows:
            lines.append(_line([f"**{name}**" if name in sheet.bold else name, *figures]))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
