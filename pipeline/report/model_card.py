"""The model card of a run, `model_card.md`: what the model is for, on what, and how good, with figures and limits.

It begins with the block of YAML ("front matter") that model hubs read. `statements` has the words, and is also what the
report says, so that the two do not drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config.config_json import with_current_names
from pipeline.evaluation.evaluation_lock import verify
from pipeline.evaluation.scoring import CHOSEN_ON, HELD_OUT, by_interest
from pipeline.report import report_tables
from pipeline.report.reader_warnings import EXPECTED, warnings_of
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.files import write_text
from pneumo_tfds.program.html_page import render

OF_ADULTS = (
    " (of 268 X-rays of another hospital, mostly of adults, the default network called 84 % UNSUITABLE and 12 %"
    " UNCERTAIN, and was wrong about 3 of the 13 that it answered)"
)
"""Measured on pictures of NIH ChestX-ray14 (docs/explanation/results.md)."""
HUB_METRICS = {
    "auroc": ("roc_auc", "AUROC"), "sensitivity": ("recall", "Sensitivity"),
    "specificity": ("specificity", "Specificity"), "precision": ("precision", "Precision (PPV)"), "npv": ("npv", "NPV"),
    "accuracy": ("accuracy", "Accuracy"), "f1": ("f1", "F1"), "brier": ("brier_score", "Brier score"),
}  # fmt: skip
"""Our figures, what model hubs call them, and their names for people."""
NAMING_FILES = ("skipped", "dropped", "byte_identical")
"""Entries of a dataset that name files in runs of earlier versions, and count them in others."""
FILES = ("parity", "robustness", "shortcuts", "explanation")
"""Files of the run folder that the card and the checklist use if they exist."""


def statements(trained: Mapping[str, Any], metrics: Mapping[str, Any], *, groups: bool = False) -> dict[str, str]:
    """Return what a reader must know of a model in words, by the name of the statement.

    Args:
        trained: what `metrics.json` says of the dataset that the model was trained on.
        metrics: the content of `metrics.json`: what the model refuses.
        groups: whether figures of groups of patients stand above the words.
    """
    kermany, title = trained.get("layout") == "kermany", trained.get("title")
    title = None if trained.get("layout") in (None, "", "folders", "table") else title
    people = "adults" if kermany else "people unlike those of the training data"
    others = (
        f"X-rays with another finding, lateral views, {people}, and images that are no X-rays get a probability too, "
        "which is meaningless."
    )
    if (metrics.get("doubt") or {}).get("familiarity_threshold") is not None:
        measured = (metrics.get("refused") or {}).values()
        refuses = "perhaps refused as UNSUITABLE, which was not measured"
        if measured:
            mostly, not_all = "mostly refused as UNSUITABLE", "often answered all the same: do not rely on UNSUITABLE"
            refuses = mostly if min(measured) >= EXPECTED else not_all
        others = (
            f"Pictures that are no chest X-ray are {refuses}. X-rays with another finding, lateral "
            f"views and {people} are often answered all the same, and then often wrongly"
        )
        others += f"{OF_ADULTS}." if kermany else "."
    if refused := metrics.get("refused"):
        shares = ", ".join(f"{report_tables.percent(share)} of those {name}" for name, share in refused.items())
        others += f" Of X-rays that were made wrong on purpose it refuses {shares}."
    version = f", version {trained['version']}" if trained.get("version") else ""
    data = f"{trained.get('name') or 'not recorded'}{version}."
    if trained.get("phantom"):
        data = "phantoms, drawn by a program."
    elif kermany:
        data += (
            " The data set of Kermany et al. (Cell, 2018) has X-rays of children of one to five years from one "
            "hospital (Guangzhou Women and Children's Medical Center)."
        )
    elif title:
        data += f" It was built from {title}."
    else:
        data += " Who the people on its images are is not recorded; the figures hold for such people alone."
    limits = (
        "those of its training data: the figures hold for such people, machines and labels, and the prevalence may not "
        "be that of a clinic."
    )
    if kermany:
        limits = (
            "paediatric; one hospital; images selected for quality, so the prevalence is not that of a clinic; labels "
            "from readers of the images, not from microbiology."
        )
    whose = "the data do" if kermany else "this page does"
    above = ", but for the groups above" if groups else ""
    return {
        "Intended use": (
            "research and teaching only. It is not a medical device, and no decision about a patient may rest on it."
        ),
        "What it answers": (
            f"whether a frontal chest X-ray{' of a child' if kermany else ''} looks more like those labelled PNEUMONIA "
            f"or those labelled NORMAL. {others}"
        ),
        "Training data": data,
        "Limits": (
            f"{limits} Performance by age, sex, device or severity is unknown, because {whose} not record them{above}. "
            "Several images of one patient are common: intervals count patients, as far as these are known."
        ),
        "Known risk": (
            f"{'on this data set' if kermany else 'in many data sets'} a network can distinguish the classes by "
            "framing, exposure and markers as well as by lungs. Expect a lower specificity elsewhere."
        ),
        "Before any other use": (
            "evaluate it on images of the place where it would be used, and choose the threshold again."
        ),
    }


def facts(folder: RunFolder) -> dict[str, Any]:
    """Return what card and checklist say of a run, from its files; raises InputError if one of them is damaged."""
    metrics = folder.read_json(folder.metrics)
    dataset: dict[str, Any] = dict.fromkeys(("name", "version", "title", "phantom", "manifest_sha256"))
    for key, part in (metrics.get("dataset") or {}).items():
        dataset[key] = len(part) if isinstance(part, list | dict) and key in NAMING_FILES else part
    splits = {name: metrics["splits"][name] for name in by_interest(metrics["splits"])}
    split = next(iter(splits))
    later = {name: getattr(folder, name) for name in FILES}
    config = with_current_names(folder.read_json_if_there(folder.config))
    known = {name: folder.read_json(path) for name, path in later.items() if path.exists()}
    return {
        **known,
        "name": folder.path.resolve().name,
        "metrics": metrics,
        "dataset": dataset,
        "doubt": metrics.get("doubt"),
        "point": metrics["operating_point"],
        "splits": splits,
        "split": split,
        "main": splits[split],
        "config": config,
        "files": {path.name: path.name for path in folder.path.iterdir() if path.is_file()},
        "elsewhere": _elsewhere(folder, metrics),
        "warnings": warnings_of(folder, split),
        "searched": folder.search_winner.exists(),
        "images": _of_each_part(dataset.get("images"), _each(splits, "n"), config.get("data", {})),
        "patients": _of_each_part(dataset.get("patients"), _each(splits, "patients"), config.get("data", {})),
        "statements": statements(dataset, metrics),
        "lock": verify(folder),
        "hub_metrics": HUB_METRICS,
        "sentence": lambda text: text[:1].upper() + text[1:],
        "answer_share": _answer_share,
        "headline": report_tables.headline(metrics, split),
        **report_tables.FOR_TEMPLATES,
    }


def write_model_card(folder: RunFolder) -> None:
    """Write `model_card.md`, which names no patient, file or folder but that of the run."""
    write_text(folder.model_card, render("pipeline.report", "model_card.md", **facts(folder)) + "\n")


def _elsewhere(folder: RunFolder, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the figures of the run on other sources, from `evaluation-NAME/`, without the names of these.

    Those of an earlier decision are left out: they stand beside figures at the threshold of `metrics`.
    """
    found = (RunFolder(path) for path in sorted(folder.path.glob("evaluation-*")))
    others = [run.read_json(run.metrics) for run in found if run.metrics.exists()]
    return [
        other["splits"]["external"] | {"external": other["external"]}
        for other in others
        if other.get("external") and all(other.get(key) == metrics.get(key) for key in ("operating_point", "doubt"))
    ]


def _each(splits: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, int]:
    return {split: figures[name] for split, figures in splits.items() if name in figures}


def _of_each_part(
    built: Mapping[str, int] | None, scored: Mapping[str, int], data: Mapping[str, Any]
) -> Mapping[str, int] | None:
    """Return how many images, or patients, are in each part of the data as the run divided them; None if not known.

    Args:
        built: of each split of the dataset.
        scored: of each split that the run scored.
        data: the settings of the data. With folds or `hold_out` the run divides train and validation anew.
    """
    folds, fold = data.get("folds", 0), data.get("fold", 0)
    if not built or (not folds and data.get("hold_out", "none") == "none"):
        return built
    pool = built["train"] + built["validation"]
    if folds and not fold:
        test = {"test": built["test"]} if "test" in built else {}
        return {f"train and validation, in {folds} folds": pool} | test
    if {CHOSEN_ON, HELD_OUT} - scored.keys():
        return None
    aside = {"test, set aside": built["test"]} if "test" in built else {}
    parts = {name: scored[name] for name in (CHOSEN_ON, HELD_OUT)}
    return {"train": pool - sum(parts.values()), **parts, **aside}


def _answer_share(figures: Mapping[str, Any], answer: str) -> float:
    """Return which fraction of a split's images got one of the four answers."""
    return float(sum(figures["answered"]["answers"][answer].values()) / figures["n"])
