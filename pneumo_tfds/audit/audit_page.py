"""The audit as a page with charts and pictures, to look at before a source is trusted. Needs the `train` extra."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pneumo_tfds.audit.image_facts import MEASURES
from pneumo_tfds.audit.report import Findings, patient_sentences, shortcut_sentences
from pneumo_tfds.decode import decode
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_text
from pneumo_tfds.program.html_page import data_uri, jpeg_uri, render
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.inventory import LABELS, Image
from pneumo_tfds.sources.survey import LeftOut

MAX_GROUPS = 40
"""Groups of pictures that are shown of each kind; the JSON file has all."""

EXAMPLES = 6
"""Files that are shown of each group that was left out."""

TILE = 192
"""Side of a picture in pixels."""
QUALITY = 80

BINS = 24
COLOURS = {"NORMAL": "#2a78b8", "PNEUMONIA": "#c8552b"}
TITLES = {
    "mean_grey": "mean grey level (exposure)",
    "grey_deviation": "standard deviation of grey levels (contrast)",
    "aspect": "aspect ratio",
    "width": "width in pixels",
}


def write_page(path: Path, findings: Findings, result: dict[str, Any]) -> None:
    """Write one HTML file that needs nothing beside it; `result` is `report(findings)`."""
    official, survey = result["test_origin"] == "official", findings.source.survey
    notable = [text.removeprefix("warning: ") for text in shortcut_sentences(result)[1:]]
    page = render(
        "pneumo_tfds.audit",
        "audit.html",
        name=Path(result["source"]).name,
        result=result,
        patients=patient_sentences(result),
        has_subtypes=any({"bacteria", "virus"} & set(row) for row in result["by_split_and_subtype"].values()),
        doubts=[*survey.questions, *survey.warnings, *notable],
        left_out=[
            {"reason": group.reason, "files": group.files, "pictures": _examples(findings, group)}
            for group in survey.left_out
        ],
        unusual=[
            {"text": "; ".join(fact.unusual), "picture": _picture(findings, fact.image)}
            for fact in sorted(findings.facts, key=lambda fact: fact.unusual)
            if fact.unusual
        ][:MAX_GROUPS],
        charts=list(_charts(findings, official)),
        chart_width=50 if official else 26,
        byte_identical=_groups(findings, findings.byte_identical),
        near_identical=_groups(findings, findings.near_identical),
        counted=counted,
    )
    write_text(path, page)


def _groups(findings: Findings, groups: Sequence[Sequence[Image]]) -> list[dict[str, Any]]:
    """Return the groups to show, leaks first, so that the limit on their number never hides one."""

    def leaks(group: Sequence[Image]) -> list[str]:
        names = [image.name for image in group]
        return [leak["across"] for leak in findings.leaks if leak["names"] == names]

    shown = sorted(groups, key=lambda group: not leaks(group))[:MAX_GROUPS]
    return [{"leaks": leaks(group), "pictures": [_picture(findings, image) for image in group]} for group in shown]


def _examples(findings: Findings, group: LeftOut) -> list[dict[str, str]]:
    """Return the first files of a group that was left out, with a picture of each that is one."""
    names = group.examples[:EXAMPLES]
    return [{"name": name, "data": _thumbnail(findings, Image(name, "", "", ""))} for name in names]


def _picture(findings: Findings, image: Image) -> dict[str, str]:
    data = _thumbnail(findings, image)
    return {"name": image.name, "split": findings.split_of(image), "label": image.label, "data": data}


def _thumbnail(findings: Findings, image: Image) -> str:
    """Return a small JPEG as a data address; empty if the file is no picture."""
    with suppress(InputError):
        return jpeg_uri(decode(findings.source.read(image), TILE, image.name), QUALITY)
    return ""


def _charts(findings: Findings, by_split: bool) -> Iterator[dict[str, str]]:
    """Yield a chart for each property that is not the same in all images, with a panel for each split or for all."""
    readable = [fact for fact in findings.facts if not fact.error]
    split_of = {fact.image: findings.split_of(fact.image) if by_split else "all images" for fact in readable}
    panels = sorted(set(split_of.values()) - {"dropped"})
    for name, title in TITLES.items():
        values = {fact.image: MEASURES[name](fact) for fact in readable}
        if len(set(values.values())) < 2:
            continue
        edges = np.linspace(min(values.values()), max(values.values()), BINS + 1)
        figure = Figure(figsize=(3.6 * len(panels) + 0.4, 2.6), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for label in LABELS:
                members = [value for image, value in values.items() if (split_of[image], image.label) == (panel, label)]
                if members:
                    shares = np.histogram(members, edges)[0] / len(members)
                    axes.stairs(shares, edges, color=COLOURS[label], lw=1.8, label=f"{label} ({len(members):,})")
            axes.set_title(panel, fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8)
            axes.margins(y=0.3)
            axes.set_ylim(bottom=0)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
        yield {"title": title, "data": data_uri(buffer.getvalue())}
