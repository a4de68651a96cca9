"""The answers besides NORMAL and PNEUMONIA, and why an image gets one of them, in words.

The page has the same words in `export/web/page/decision.mjs`; `tests/export/decisions.json` holds both to them.
"""

from __future__ import annotations

UNCERTAIN, UNSUITABLE = "UNCERTAIN", "UNSUITABLE"


def why_uncertain(normal_below: float, pneumonia_from: float) -> str:
    """Return why a probability between these limits is UNCERTAIN."""
    return f"between the limits {normal_below:.4g} and {pneumonia_from:.4g} for a certain answer"


def why_unsuitable(familiarity: float, least: float) -> str:
    """Return why an image of this familiarity, which is below the `least`, is UNSUITABLE."""
    shown = f"its familiarity is {familiarity:.4f}, and {least:.4g} the least"
    return f"it does not look like the X-rays that the model learned from: {shown}"
