"""The audit as a page with pictures: what a person needs to see before trusting a source."""

from __future__ import annotations

import base64
import html
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2

from pneumo_tfds.audit.findings import Findings, Seen
from pneumo_tfds.decode import decode
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_text
from pneumo_tfds.sources.inventory import LABELS, Image

MAX_GROUPS = 40
"""Groups of pictures shown of each kind; the JSON has all."""

_TILE = 160
_COLOURS = {"NORMAL": "#2a78b8", "PNEUMONIA": "#c8552b"}
_MEASURES: dict[str, Callable[[Seen], float]] = {
    "mean grey (exposure)": lambda one: one.mean,
    "grey deviation (contrast)": lambda one: one.spread,
    "aspect ratio": lambda one: one.width / one.height,
    "width in pixels": lambda one: float(one.width),
}

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.3rem;width:160px;vertical-align:top}
figcaption{font-size:11px;overflow-wrap:anywhere}.group{border-left:4px solid #ccc;padding-left:.5rem;margin:.6rem 0}
.leak{border-color:#c00}.bad{color:#b00}.good{color:#070}.charts svg{margin:.4rem 1.5rem .4rem 0}
"""


def write_page(path: Path, findings: Findings, answer: dict[str, Any]) -> None:
    """Write one HTML file that needs nothing beside it."""
    leaks = answer["leaks"]
    verdict = (
        f'<p class="bad">{len(leaks)} leaks: identical or near-identical images on two sides.</p>'
        if leaks
        else '<p class="good">No leaks between splits or labels.</p>'
    )
    leaking = {name for leak in leaks for name in leak["names"]}
    parts = [
        f"<h1>Audit of {html.escape(answer['source'])}</h1>",
        verdict,
        f'<p class="bad">{html.escape(answer["problem"])}</p>' if answer["problem"] else "",
        f"<p>{answer['images']:,} images, {len(answer['corrupt'])} unreadable. Source manifest (SHA-256): "
        f"<code>{answer['manifest_sha256']}</code></p>",
        "<h2>Images by split</h2>",
        _table(answer["by_split_and_class"]),
        _table(answer["by_split_and_subtype"]),
        "<h2>Patients</h2><p>Whether numbers restart by subtype and by folder is disputed; both readings:</p>",
        _table({key.replace("_", " "): {"": value} for key, value in answer["patients"].items() if key != "by_split"}),
        "<h2>What differs between classes but is not disease</h2>",
        "<p>A model can learn these in place of the disease. Each curve is the share of images of a split.</p>",
        f'<div class="charts">{"".join(_charts(findings))}</div>',
        "<h2>Unreadable files</h2>",
        "<ul>" + "".join(f"<li>{html.escape(reason)}</li>" for reason in answer["corrupt_reasons"]) + "</ul>",
        "<h2>Byte-identical images</h2>",
        _groups(findings, findings.byte_identical, leaking),
        "<h2>Near-identical images</h2>",
        _groups(findings, findings.near_identical, leaking),
    ]
    body = "\n".join(parts)
    title = f"<title>Audit of {html.escape(Path(answer['source']).name)}</title>"
    write_text(
        path, f'<!doctype html><html lang="en"><meta charset="utf-8">{title}<style>{_STYLE}</style>{body}</html>\n'
    )


def _table(rows: dict[str, dict[str, Any]]) -> str:
    columns = sorted({column for row in rows.values() for column in row})
    head = "".join(f"<th>{html.escape(column)}</th>" for column in ("", *columns))
    body = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{row.get(column, 0):,}</td>" for column in columns)
        + "</tr>"
        for name, row in rows.items()
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _groups(findings: Findings, groups: Sequence[Sequence[Image]], leaking: set[str]) -> str:
    if not groups:
        return "<p>None.</p>"
    # Leaks first, so that the limit never hides one behind harmless groups.
    ordered = sorted(groups, key=lambda group: not any(image.name in leaking for image in group))
    shown = "".join(
        f'<div class="group{" leak" if any(image.name in leaking for image in group) else ""}">'
        + "".join(_picture(findings, image) for image in group)
        + "</div>"
        for group in ordered[:MAX_GROUPS]
    )
    rest = len(groups) - MAX_GROUPS
    return f"<p>{len(groups)} groups.</p>{shown}" + (f"<p>{rest} more are in the JSON.</p>" if rest > 0 else "")


def _picture(findings: Findings, image: Image) -> str:
    caption = html.escape(f"{image.name} ({findings.split_of(image)})")
    try:
        grey = decode(findings.source.read(image), _TILE, image.name)
    except InputError:
        return f"<figure><figcaption>{caption}</figcaption></figure>"
    done, data = cv2.imencode(".jpeg", grey, [cv2.IMWRITE_JPEG_QUALITY, 80])
    encoded = base64.b64encode(data.tobytes() if done else b"").decode()
    picture = f'<img width="{_TILE}" height="{_TILE}" alt="" src="data:image/jpeg;base64,{encoded}">'
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _charts(findings: Findings) -> Iterable[str]:
    groups: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    for one in findings.seen:
        if not one.error:
            groups[findings.split_of(one.image), one.image.label].append(one)
    for title, measure in _MEASURES.items():
        values = {key: [measure(one) for one in members] for key, members in groups.items()}
        everything = [value for members in values.values() for value in members]
        if not everything or min(everything) == max(everything):
            continue
        for split in sorted({split for split, _ in values}):
            curves = {label: values[split, label] for label in LABELS if (split, label) in values}
            yield _chart(f"{split}: {title}", curves, min(everything), max(everything))


def _chart(title: str, curves: dict[str, list[float]], low: float, high: float) -> str:
    """Histograms of 24 bins as lines, an SVG of 300 x 120."""
    bins, lines = 24, []
    shares = {}
    for label, values in curves.items():
        counts = [0] * bins
        for value in values:
            counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
        shares[label] = [count / len(values) for count in counts]
    top = max(max(share) for share in shares.values())
    for label, share in shares.items():
        points = " ".join(f"{10 + 280 * (i + 0.5) / bins:.1f},{95 - 75 * s / top:.1f}" for i, s in enumerate(share))
        lines.append(f'<polyline fill="none" stroke="{_COLOURS[label]}" stroke-width="2" points="{points}"/>')
    legend = " ".join(
        f'<tspan fill="{_COLOURS[label]}">{label} ({len(values)})</tspan>' for label, values in curves.items()
    )
    return (
        f'<svg width="300" height="130" role="img" aria-label="{html.escape(title)}" font-size="11" fill="#333">'
        f'<text x="10" y="12">{html.escape(title)}: {legend}</text><path d="M10 95H290" stroke="#999"/>{"".join(lines)}'
        f'<text x="10" y="110">{low:.4g}</text><text x="290" y="110" text-anchor="end">{high:.4g}</text></svg>'
    )
