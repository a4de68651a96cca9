"""An answer as a small HTML table, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence


def answer_table(decision: str, figures: Mapping[str, float | None], reasons: Sequence[str]) -> str:
    """Return a table with a decision, figures (those that are None are left out) and reasons, all escaped."""
    known = {name: f"{value:.4f}" for name, value in figures.items() if value is not None}
    rows = {"decision": decision, **known, "reasons": "; ".join(reasons) or "none"}
    left = 'style="text-align: left"'
    cells = (f"<th {left}>{html.escape(name)}</th><td {left}>{html.escape(text)}</td>" for name, text in rows.items())
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
