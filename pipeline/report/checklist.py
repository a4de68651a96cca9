"""The checklist of a run, `checklist.html`: reporting guidelines, filled in where the run can say something.

`reporting_guidelines.toml` has the items and, as templates, what a run says about them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, UndefinedError
from markupsafe import Markup

from pipeline.report.model_card import facts
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, write_text
from pneumo_tfds.program.html_page import render

STATES = {"yes": "complete", "partly": "partial", "people": "to be filled in by hand"}
NOT_KNOWN = {"state": "people", "text": "", "where": "", "add": ""}


def write_checklist(folder: RunFolder) -> None:
    """Write `checklist.html`, which names no patient, file or folder but that of the run."""
    known = facts(folder)
    guidelines = filled_in(
        tomllib.loads(files("pipeline.report").joinpath("reporting_guidelines.toml").read_text("utf-8")), known
    )
    page = render("pipeline.report", "checklist.html", name=known["name"], guidelines=guidelines, states=STATES)
    write_text(folder.checklist, page)


def filled_in(table: Mapping[str, Any], known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the guidelines of the table, each item with its `state` (of `STATES`), `text`, `where` and `add`."""
    evidence = {name: _evidence(templates, known) for name, templates in table["evidence"].items()}
    found = []
    for guideline in table["guideline"]:
        sections = [
            {
                "title": section["title"],
                "items": [
                    {"number": number, "asks": asks, **(evidence[name] if name else NOT_KNOWN)}
                    for number, asks, name in section["items"]
                ],
            }
            for section in guideline["section"]
        ]
        states = [item["state"] for section in sections for item in section["items"]]
        counts = {state: states.count(state) for state in STATES}
        found.append({**guideline, "section": sections, "counts": counts})
    return found


def _evidence(templates: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, str]:
    """Return what the run says; `state` is `people` where it lacks a fact that a template names."""

    def required(value: Any) -> Any:
        if value is None:
            raise UndefinedError("a fact is None")
        return value

    environment = Environment(undefined=StrictUndefined, finalize=required, autoescape=True)
    try:
        # As markup, because it is escaped here, and the page must not escape it again.
        text, where = (
            Markup(environment.from_string(templates[part]).render(known).strip()) for part in ("text", "where")
        )
    except (*JSON_SHAPE_ERRORS, UndefinedError):  # such as a count that an earlier version did not write
        return NOT_KNOWN
    add = templates.get("add", "")
    return {"state": "partly" if add else "yes", "text": text, "where": where, "add": add}
