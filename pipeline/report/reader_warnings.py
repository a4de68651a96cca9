"""What a reader must know before relying on the figures, in sentences, from `metrics.json`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pipeline.evaluation.resemblance import LIKE
from pipeline.evaluation.robustness import UNCHANGED
from pipeline.evaluation.scoring import CHOSEN_ON, HELD_OUT
from pipeline.evaluation.shortcuts import WITHOUT_LUNGS
from pipeline.evaluation.subgroups import difference
from pipeline.report.report_tables import in_brackets, never_given, number, percent, signed
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.wording import counted

NAMES = {"auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity"}
"""Figures that are compared."""

EXPECTED = 0.8
"""Least fraction of the X-rays made wrong on purpose that a model should refuse."""

SHORTCUT = 0.7
"""AUROC without lungs from which a shortcut is named: fair discrimination by convention (Hosmer and Lemeshow, 2000)."""

CHANCE = 0.5
"""AUROC of guessing."""

SPLITS_LEARNT_FROM = ("train", "validation")
"""Splits of a run's dataset that its model was made from."""


def warnings_of(folder: RunFolder, split: str) -> list[str]:
    """Return what a reader must know of a run before relying on the figures of a split, from all files of the run."""
    metrics = folder.read_json(folder.metrics)
    return [
        *warnings(metrics, split),
        *search_warnings(folder, metrics["splits"]),
        *shortcut_warnings(folder.read_json_if_there(folder.shortcuts)),
    ]


def warnings(metrics: Mapping[str, Any], split: str) -> list[str]:
    """Return what a reader must know before relying on the headline."""
    found = _about_never_given(metrics)
    dataset, splits, external = metrics.get("dataset") or {}, metrics["splits"], metrics.get("external")
    figures, chosen_on = splits[split], metrics["operating_point"]["chosen_on"]
    if external and overlaps(external["overlap"]):
        found += overlap_sentences(external["overlap"], figures["n"])
    if external and external.get("decided_on"):
        found.append("The threshold was chosen on these very images, so these figures are too optimistic.")
    if decided := metrics.get("decided_on"):
        found.append(
            f"Threshold and limits were chosen after training on {counted(decided['images'], 'image')} of another "
            "source, and suit that source; these images are of another."
        )
        found += overlap_sentences(decided["overlap"], decided["images"]) if overlaps(decided["overlap"]) else []
    if split == chosen_on:
        found.append(
            f"There is no test split. The threshold was chosen on {chosen_on}, so these figures are too optimistic."
        )
    if split == HELD_OUT:
        found.append("These images were held out of training, and nothing was chosen on them.")
        if (dataset.get("images") or {}).get("test"):
            found.append("The test split is set aside in such a run, and was not scored.")
    if split == "test" and dataset.get("test_origin") == "carved":
        found.append(
            "The test images were split off from the training images by patient. They are easier than images from "
            "elsewhere, so expect lower figures in use."
        )
    chosen = splits.get(chosen_on)
    if split == "test" and chosen:
        fallen = [
            f"{label} {number(figures[name])} on test, {number(chosen[name])} on {chosen_on}"
            for name, label in NAMES.items()
            if figures["intervals"][name] and chosen[name] is not None and chosen[name] > figures["intervals"][name][1]
        ]
        if fallen:
            why = f"Epoch and threshold were chosen on {chosen_on}, so believe test."
            if dataset.get("test_origin") != "carved":
                why = (
                    f"In part because epoch and threshold were chosen on {chosen_on}; the test images may also differ "
                    "from those that the model was trained on, and so may yours. Believe test."
                )
            found.append(f"{chosen_on.capitalize()} looks better than test: {'; '.join(fallen)}. {why}")
    found += _about_patients(figures)
    auroc, limits = figures["auroc"], figures["intervals"].get("auroc")
    if auroc is not None and (limits[0] if limits else auroc) <= CHANCE:
        where = "is below chance" if (limits[1] if limits else auroc) < CHANCE else "cannot be told from chance"
        found.append(f"AUROC {number(auroc)}{in_brackets(limits)} {where}, {CHANCE}{_own_auroc(external)}.")
    if any(figures[name] is None for name in ("sensitivity", "specificity")):
        found.append(
            f"The {split} images are of one class, so the figures that need both are left out, AUROC among them."
        )
    elif figures["sensitivity"] + figures["specificity"] <= 1:
        found.append("At this threshold the model is no better than chance.")
    found += _elsewhere(external) if external else _about_doubt(metrics)
    counts = figures["confusion_matrix"]
    fewest = min(counts["tp"] + counts["fn"], counts["tn"] + counts["fp"])
    if 0 < fewest < 50:
        found.append(f"The rarer class has only {counted(fewest, 'image')}: read the intervals, not the figures.")
    return found


def shortcut_warnings(shortcuts: Mapping[str, Any]) -> list[str]:
    """Return what `shortcuts.json` says against relying on the model; nothing where there is no such file."""
    strong = [
        f"{number(row['auroc'])} for {row['name']}"
        for row in shortcuts.get("rows", [])
        if row["name"] in WITHOUT_LUNGS and row["auroc"] is not None and row["auroc"] >= SHORTCUT
    ]
    if not strong:
        return []
    return [
        f"The classes can be told apart without the lungs, on {shortcuts['split']} images with AUROC "
        f"{', '.join(strong)}. The figures may come from that in part, and it need not hold elsewhere."
    ]


def search_warnings(folder: RunFolder, splits: Collection[str]) -> list[str]:
    """Return what a search of hyperparameters in the run, `tuner/best.json`, says against the figures of these splits.

    It precedes the folds and has seen validation, of which each fold holds out a part.
    """
    in_fold = re.fullmatch(r"fold-\d+", folder.path.name) is not None
    run = RunFolder(folder.path.parent) if in_fold else folder
    if CHOSEN_ON not in splits or not run.search_winner.exists():
        return []
    names = [name for name in splits if name == CHOSEN_ON or (in_fold and name == HELD_OUT)]
    seen = " and ".join(names) + (", out of fold too," if folder.folds.exists() else "")
    return [f"The settings won a search by their score on {CHOSEN_ON}, so the figures on {seen} are too optimistic."]


def drops(own: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return how each figure of other images differs from the run's own, as of `subgroups.difference`."""
    compared = {name: difference(figures, own["figures"], name) for name in NAMES} if own.get("figures") else {}
    return {name: gap for name, gap in compared.items() if gap}


def _elsewhere(external: Mapping[str, Any]) -> list[str]:
    """Return what is known of images of another source besides their figures: their looks, and gaps of groups."""
    found = []
    if like := external.get("resembles"):
        changed = like["nearest"] != UNCHANGED
        far = f"{like['unchanged']:.2f} standard deviations away; up to {LIKE} counts as alike"
        said = f"differ from the validation images ({far})"
        if like["alike"]:
            said = f"are like the validation images ({far})"
        if changed:
            nearer = "they are like these through the change" if like["alike"] else "nearest is the change"
            said = f"differ from the validation images ({far}); {nearer} {like['nearest']} ({like['distance']:.2f})"
        found.append(f"In exposure and sharpness these images {said}.")
    for column, rows in external.get("groups", {}).items():
        for row in rows:
            for name, gap in row["gaps"].items():
                if gap["p_value"] < 0.05:
                    found.append(
                        f"{column} {row['group']}: {NAMES[name]} differs by {gap['difference']:+.3f} from that of the "
                        f"others (95 % interval {signed(gap['interval'])}; "
                        f"p = {gap['p_value']:.2g} after Holm's correction)."
                    )
    return found


def overlaps(overlap: Mapping[str, Any]) -> bool:
    """Return whether images that were scored are among those of the run, or whether that is not known."""
    counts = (overlap.get(kind, {}) for kind in ("images", "copies", "patients"))
    return bool(overlap["unknown"] or any(any(count.values()) for count in counts))


def overlap_sentences(overlap: Mapping[str, Any], images: int) -> list[str]:
    """Return how many of the `images` that are scored the run was trained on, from `training_overlap`."""
    all_of_them = counted(images, "image")
    if overlap["unknown"]:
        return [f"It is not known how many of the {all_of_them} the run was trained on: {overlap['unknown']}."]
    if not overlaps(overlap):
        also = " or as a near-identical copy" if "copies" in overlap else ""  # not looked for by earlier versions
        return [f"None of the {all_of_them} is in the dataset that the run was trained on, byte for byte{also}."]
    found = []
    if used := sum(overlap["images"].get(split, 0) for split in SPLITS_LEARNT_FROM):
        found.append(
            f"This model was made from {used:,} of the {all_of_them} (of its dataset: {_by_split(overlap['images'])}), "
            "so figures on them are too optimistic; score images that are not among them."
        )
    elif any(overlap["images"].values()):
        own = sum(overlap["images"].values())
        found.append(f"{own:,} of the {all_of_them} are the run's own ({_by_split(overlap['images'])}), and not new.")
    if any(overlap.get("copies", {}).values()):
        found.append(
            f"Other images are near-identical to images of the run's dataset ({_by_split(overlap['copies'])}): copies "
            "that were saved again or changed a little, and no new images; leave them out."
        )
    if any(overlap["patients"].values()):
        found.append(
            f"Patients of other images have the same identifier as patients of the run's dataset "
            f"({_by_split(overlap['patients'])}). They are the same people if both sources identify patients alike."
        )
    return found


def _by_split(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} in {split}" for split, count in counts.items() if count)


def _about_never_given(metrics: Mapping[str, Any]) -> list[str]:
    """Return that limits leave out NORMAL, PNEUMONIA or both, why, and what can be done."""
    never, point, decided = never_given(metrics.get("doubt")), metrics["operating_point"], metrics.get("decided_on")
    if not never:
        return []
    patients = (metrics["splits"].get(point["chosen_on"]) or {}).get("patients")
    whose = f"the {point['chosen_on']} images"
    if decided:
        whose = f"the {counted(decided['images'], 'image')} that the limits were chosen on"
    elif patients:
        whose = f"{counted(patients, point['chosen_on'] + ' patient')}"
    few = f"{whose} are too few, or too many of them are judged wrongly, to show"
    if len(never) > 1:
        return [
            f"This model answers UNCERTAIN to every image that it does not refuse: {few} limits. Add "
            "patients; or decide by the threshold alone, with --guarantee none of train or evaluate, or --two-way of "
            "predict."
        ]
    side, other = ("below", "sensitivity") if never == ["NORMAL"] else ("above", "specificity")
    return [
        f"This model never answers {never[0]}: such an answer must lie {side} the threshold, "
        f"{number(point['threshold'])}, and {few} that it is mostly right there. Add patients, or choose a threshold "
        f"rule that asks for less {other}."
    ]


def _about_doubt(metrics: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of UNCERTAIN and UNSUITABLE answers."""
    found = []
    if metrics.get("doubt") and str(metrics["doubt"]["guarantee"]).startswith("none: the best"):
        found.append("Validation has too few patients, or too many errors, to guarantee anything of certain answers.")
    if weak := {name: share for name, share in metrics.get("refused", {}).items() if share < EXPECTED}:
        shares = ", ".join(f"{percent(share)} of those {name}" for name, share in weak.items())
        found.append(
            f"The model hardly recognises what it should not answer: of X-rays that were made wrong on purpose it "
            f"refuses {shares}. Do not rely on UNSUITABLE."
        )
    return found


def _about_patients(figures: Mapping[str, Any]) -> list[str]:
    if figures.get("patients") == 1:
        return ["All of this is one patient, so there are no intervals: nothing shows how others would differ."]
    if unknown := figures.get("patients_unknown", 0):
        return [
            f"{unknown:,} of {counted(figures['n'], 'image')} tell no patient, so the intervals count images there: "
            "they are too narrow if several are of one person."
        ]
    return []


def _own_auroc(external: Mapping[str, Any] | None) -> str:
    own = (external or {}).get("own") or {}
    figures = own.get("figures") or {}
    return f"; on its own {own['split']} images it has {number(figures['auroc'])}" if figures.get("auroc") else ""
