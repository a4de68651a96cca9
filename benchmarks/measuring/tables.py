"""Records as tables, ratios first, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table

from benchmarks.measuring.harness import LIMIT, OURS, PEER, Case, Record


@dataclass(frozen=True)
class Sheet:
    """One table as text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


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
    columns = ("contender", f"× {base.contender.split(': ')[-1]}" if base else "×", "images/s", "spread")
    rows = tuple(_row(record, base, records, details, limited) for record in records)
    title = ", ".join(
        part
        for part in (
            f"{case.stage}: {case.source}",
            case.case,
            f"{case.image_size} x {case.image_size}",
            f"batches of {case.batch_size}",
            f"{case.threads} threads each",
        )
        if part
    )
    return Sheet(title, (*columns, *(("of limit",) if limited else ()), *details), rows)


def _row(
    record: Record, base: Record | None, records: Sequence[Record], details: Sequence[str], limited: bool
) -> tuple[str, ...]:
    if not record.runs or base is None:
        return (record.contender, "–", record.note, "", *(("",) if limited else ()), *("" for _ in details))
    share = share_of_limit(record, records)
    return (
        record.contender,
        f"{record.ratio(base):.2f}",
        _rate(record.images_per_second),
        f"{_rate(min(record.runs))} to {_rate(max(record.runs))}",
        *((f"{share:.0%}" if share is not None else "",) if limited else ()),
        *(_figure(record.details.get(name)) for name in details),
    )


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"


def show(records: Iterable[Record], console: Console) -> None:
    """Print every sheet; our rows are bold."""
    for sheet in sheets(records):
        table = Table(title=sheet.title, title_justify="left")
        for number, name in enumerate(sheet.columns):
            table.add_column(name, justify="left" if number == 0 else "right")
        for row in sheet.rows:
            table.add_row(*row, style="bold" if row[0].startswith(OURS) else None)
        console.print(table)


def markdown(records: Iterable[Record], machine: str) -> str:
    """Return every sheet as Markdown, below the description of the machine."""
    parts = [f"Machine: {machine}.\n"]
    for sheet in sheets(records):
        lines = [f"**{sheet.title}**", "", _line(sheet.columns)]
        lines.append("|" + "|".join(" --- " if number == 0 else " ---: " for number in range(len(sheet.columns))) + "|")
        lines.extend(_line([f"**{cell}**" if number == 0 and cell.startswith(OURS) else cell
                            for number, cell in enumerate(row)]) for row in sheet.rows)  # fmt: skip
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
