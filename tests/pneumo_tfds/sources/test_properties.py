"""Made-up folders, tables and headers of known truth: what is understood agrees with it, or it is asked or refused."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import made_sources
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.identifiers import is_unknown
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File
from pneumo_tfds.sources.opening import understand_files, understand_table
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.splits.assignment import assign

quick = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

SPLITS = {
    "train": ["train", "Training", "TRAIN", "training data", "train_images"],
    "val": ["val", "valid", "Validation", "dev set"],
    "test": ["test", "Testing", "Test Set", "test-images"],
}
UNKNOWN_SPLITS = ["holdout", "prueba", "fold1", "2019", "internal", "trainval", "group B"]
FILLERS = ["images", "X-rays", "dicom", "PA", "img_001"]
LITTER = [".DS_Store", "__MACOSX/._1.png", "readme", "a mask/1.png", "other organ/3.png", "eyes/NORMAL/4.png"]
PATIENT_FOLDERS = ["p{n}", "{n:04d}", "Patient {n}", "A-{n}-x", "{n}.0"]
VISIT_FOLDERS = [
    "MRN{n}_2019030{k}",
    "MRN{n} 0{k}.03.2019",
    "P{n}_v{k}",
    "{n}-{k}",
    "p{n} ({k})",
    "s{n}_PA{k}",
    "x{n}{a}",
]
OTHER_FOLDERS = [
    "week{n}",
    "order_{n}",
    "estudio {n}",
    "ACC{n}",
    "{d:02d}-03-2019",
    "{d}Mar2019",
    "20190311_10{d:02d}00",
]
"""Folders whose numbers count something else than patients."""
NAMES = ["{k}.png", "IM-0001-000{k}.png", "{n}_{k}.jpeg", "scan{k}", "person{n}_virus_{k}.JPG", "{n:08d}_00{k}.png"]


@dataclass
class Truth:
    """What files are, by name."""

    content: dict[str, bytes] = field(default_factory=dict)
    label: dict[str, str] = field(default_factory=dict)
    split: dict[str, str] = field(default_factory=dict)
    patient: dict[str, str] = field(default_factory=dict)
    """As the folders, names, headers or the table tell it; empty if they tell none."""


@st.composite
def people(draw):
    """Patients with a number of their own, a label, a split and a number of images."""
    several = draw(st.sampled_from([[""], ["train"], ["train", "test"], ["train", "val", "test"]]))
    counts = draw(st.lists(st.integers(1, 3), min_size=8, max_size=14))
    numbers = draw(st.permutations(range(100, 100 + len(counts))))
    return [
        (number, LABELS[i % 2], several[i // 2 % len(several)], count)
        for i, (number, count) in enumerate(zip(numbers, counts, strict=True))
    ]


@st.composite
def trees(draw):
    """A folder of images with known truth."""
    truth = Truth()
    prefix = draw(st.lists(st.sampled_from(["data", "pneumonia", "chest xray", "test", "NORMAL", "2020"]), max_size=2))
    words = {split: draw(st.sampled_from(names)) for split, names in SPLITS.items()} | {"": ""}
    if draw(st.integers(0, 3)) == 0:
        words["test"] = draw(st.sampled_from(UNKNOWN_SPLITS))
    label_words = [draw(st.sampled_from([label, label.lower(), label.title()])) for label in LABELS]
    below, filler = draw(st.booleans()), draw(st.sampled_from(["", *FILLERS]))
    folder = draw(st.sampled_from(draw(st.sampled_from([[""], PATIENT_FOLDERS, VISIT_FOLDERS, OTHER_FOLDERS]))))
    name = draw(st.sampled_from(NAMES))
    headers = draw(st.sampled_from(["none", "all", "anonymous"]))
    if headers != "none":
        name = name.rpartition(".")[0] + draw(st.sampled_from([".dcm", ".DICOM", ""])) if "." in name else name
    for number, label, split, count in draw(people()):
        word = label_words[LABELS.index(label)]
        above = [*prefix, *([word, words[split]] if below else [words[split], word]), filler]
        for k in range(1, count + 1):
            parts = [*above, folder.format(n=number, k=k, a="_abc"[k], d=number - 99)]
            base = name.format(n=number, k=k)
            path = "/".join(filter(None, [*parts, base]))
            if path in truth.content:  # of another patient
                path = "/".join(filter(None, [*parts, f"{number}-{base}"]))
            told = headers == "all" or folder not in ("", *OTHER_FOLDERS) or name.startswith("person") or "08d" in name
            truth.content[path] = (
                b"" if headers == "none" else header_of(str(number) if headers == "all" else "ANON", number)
            )
            truth.label[path] = label
            truth.split[path] = split or ("test" if "test" in prefix else "")
            truth.patient[path] = str(number) if told else ""
    return truth


@functools.cache
def header_of(patient, study):
    return made_sources.header(patient, StudyInstanceUID=f"1.2.{study}")


class Memory:
    """Reads files that are in no folder."""

    def __init__(self, content):
        self.content = content

    def read_name(self, name, first=None):
        return (self.content[name] or b"\x89PNG\r\n\x1a\n" + name.encode())[:first]

    def read(self, image):
        return self.read_name(image.name)


def understand(content, order=None, **options):
    listed = [File(name, 100 + len(name)) for name in order or content]
    return understand_files(Path("s"), "folder", Memory(content), listed, SourceOptions(**options))


def understood_or_none(content):
    """What is understood; None if it is refused."""
    try:
        return understand(content)
    except InputError:
        return None


def check(truth, source):
    """Nothing vanishes; what is understood is true; nobody is on two sides."""
    names = {image.name for image in source.images}
    left_out = sum(source.ignored.values())
    assert len(names) == len(source.images)
    assert len(names) + left_out == len(truth.content) - sum("was read" in text for text in source.survey.notes)
    for image in source.images:
        assert image.label == truth.label[image.name]
    if source.survey.questions:
        return
    told = {truth.split[name] for name in names} - {""}
    for image in source.images:
        assert image.official_split == truth.split[image.name], "a split was guessed"
        assert is_unknown(image.patient) or truth.patient[image.name], "a patient was made up"
    assert names == truth.label.keys(), "an image was left out without a question"
    groups = defaultdict(set)
    for image in source.images:
        if truth.patient[image.name]:
            groups[truth.patient[image.name]].add(image.patient)
    assert all(len(group) == 1 for group in groups.values()), "one patient was taken for several"
    assert told or source.validation == "redrawn"
    sides = defaultdict(set)
    try:
        split = assign(source.images).split
    except InputError:  # too few patients of a class
        return
    for image in source.images:
        sides[truth.patient[image.name] or image.name].add(split[image.name])
    assert all(len(side) == 1 for side in sides.values()), "a patient is on two sides"


@settings(quick, max_examples=150)
@given(truth=trees())
def test_folders(truth):
    if source := understood_or_none(truth.content):
        check(truth, source)


def seen(source, root=""):
    return {
        (image.name.removeprefix(root), image.label, image.official_split, image.patient.replace(root, "", 1))
        for image in source.images
    }


@quick
@given(truth=trees(), data=st.data())
def test_order_name_of_the_root_and_litter_change_nothing(truth, data):
    source = understood_or_none(truth.content)
    if source is None:
        return
    order = data.draw(st.permutations(list(truth.content)))
    shuffled = understand(truth.content, order)
    assert (shuffled.images, shuffled.survey) == (source.images, source.survey)
    roots = ["pneumonia/", "NORMAL/", "my x-rays 2019/", "masks/", *(["test/"] if any(truth.split.values()) else [])]
    root = data.draw(st.sampled_from(roots))
    moved = understand({root + name: content for name, content in truth.content.items()})
    assert seen(moved, root) == seen(source)
    # Whether all images are masks is asked.
    assert len(moved.survey.questions) - len(source.survey.questions) in {0, int(root == "masks/")}
    litter = data.draw(st.lists(st.sampled_from(LITTER), unique=True))
    assert seen(understand({**truth.content, **dict.fromkeys(litter, b"")})) == seen(source)


COLUMNS = {
    "path": ["path", "Image", "file_name", "img path", "Dateipfad"],
    "label": ["label", "Class", "diagnosis", "Finding Labels", "Befund"],
    "patient": ["patient", "PatientID", "patient_id", "Subject ID", "MRN", "anonymised_id", "Patientennummer", ""],
    "split": ["split", "set", "Subset", "kfold", "Aufteilung", ""],
}
CELLS = [
    ("NORMAL", "PNEUMONIA"),
    ("0", "1"),
    ("0.0", "1.0"),
    ("normal ", " Pneumonia"),
    ("clear", "opacity"),
    ("no", "yes"),
]


@st.composite
def tables(draw):
    truth = Truth()
    names = {role: draw(st.sampled_from(columns)) for role, columns in COLUMNS.items()}
    cells = draw(st.sampled_from(CELLS))
    words = {split: draw(st.sampled_from(known)) for split, known in SPLITS.items()} | {"": ""}
    if draw(st.integers(0, 4)) == 0:
        words["val"] = draw(st.sampled_from([*UNKNOWN_SPLITS, "0"]))
    spelling = draw(st.sampled_from(["{}", "{}.0", "00{}", "P{}", "'00{}", "P-00{}_v1", "{}/2019-03-01", "{}b"]))
    separator = draw(st.sampled_from(",;\t"))
    rows, used = [], [role for role in draw(st.permutations(list(COLUMNS))) if names[role]]
    for number, label, split, count in draw(people()):
        for k in range(count):
            path = f"{number}/{k}.png" if draw(st.booleans()) else f"x{number}{k}.png"
            spelled = spelling if k else re.sub("/2019-03-01|'|00|[.]0|-|_v1|b", "", spelling)
            row = {
                "path": path,
                "label": cells[LABELS.index(label)],
                "patient": spelled.format(number),
                "split": words[split],
            }
            rows.append(separator.join(row[role] for role in used))
            truth.content[path], truth.label[path], truth.split[path] = b"", label, split
            truth.patient[path] = str(number)
    heads = separator.join(names[role] for role in used)
    return truth, "\n".join([heads, *rows]) + "\n", names


@quick
@given(made=tables())
def test_tables(made, tmp_path_factory):
    truth, text, names = made
    folder = tmp_path_factory.mktemp("t")
    made_sources.write(folder, {**dict.fromkeys(truth.content, b"x"), "t.csv": text})
    try:
        source = understand_table(folder / "t.csv", SourceOptions())
    except InputError:
        return
    if not names["split"]:
        truth.split = dict.fromkeys(truth.split, "")
    if not names["patient"]:
        truth.patient = dict.fromkeys(truth.patient, "") | {
            image.name: image.patient for image in source.images if not is_unknown(image.patient)
        }
    check(truth, source)


FACTS = st.fixed_dictionaries(
    {
        "Modality": st.sampled_from(["CR", "DX", "", "CT", "US", "PR"]),
        "BodyPartExamined": st.sampled_from(["CHEST", "", "THORAX", "HAND", "KNEE"]),
        "ViewPosition": st.sampled_from(["PA", "AP", "", "LL"]),
        "PatientID": st.sampled_from(["", "Anonymous", "1", "1 ", "A17", "B"]),
    }
)


@functools.cache
def header_with(number, facts):
    return made_sources.header(StudyInstanceUID=f"1.2.{number}", **dict(facts))


@settings(quick, max_examples=40)
@given(facts=st.lists(FACTS, min_size=6, max_size=16))
def test_headers(facts):
    content = {f"{LABELS[i % 2]}/IM{i}": header_with(i, tuple(sorted(one.items()))) for i, one in enumerate(facts)}
    by_name = dict(zip(content, facts, strict=True))
    source = understand(content)
    assert len(source.images) + sum(source.ignored.values()) == len(content)
    for image in source.images:
        one = by_name[image.name]
        assert one["Modality"] in ("CR", "DX", "")
        assert one["BodyPartExamined"] not in ("HAND", "KNEE")
        assert one["ViewPosition"] != "LL"
        if one["PatientID"] in ("", "Anonymous"):
            assert is_unknown(image.patient)
    if not source.survey.questions:
        for who in ("1", "A17", "B"):
            same = {image.patient for image in source.images if by_name[image.name]["PatientID"].strip() == who}
            assert len(same) <= 1
