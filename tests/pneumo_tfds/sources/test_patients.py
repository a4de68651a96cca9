"""Who is on an X-ray: by name, folder, table and header; and which of these are not believed."""

from __future__ import annotations

import itertools
import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from made_sources import csv_of, files, header, patients, splits, understood
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.identifiers import compact, identify, is_unknown, normal_identifier, without_examination
from pneumo_tfds.sources.inspection import short_form
from pneumo_tfds.sources.opening import open_source


@pytest.mark.parametrize(
    ("name", "label", "patient", "subtype"),
    [
        ("train/PNEUMONIA/person12_bacteria_46.jpeg", "PNEUMONIA", "person12", "bacteria"),
        ("train/PNEUMONIA/person12_virus_46.jpeg", "PNEUMONIA", "person12", "virus"),
        ("train/PNEUMONIA/person1372_virus_2365_1.jpeg", "PNEUMONIA", "person1372", "virus"),
        ("IM-0115-0001.jpeg", "NORMAL", "IM-115", "normal"),
        ("IM-0115-0001-0002.jpeg", "NORMAL", "IM-115", "normal"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL", "NORMAL2-IM-115", "normal"),
        ("BACTERIA-1008087-0001.jpeg", "PNEUMONIA", "patient1008087", "bacteria"),
        ("NORMAL-1008087-0003.jpeg", "NORMAL", "patient1008087", "normal"),
        ("PERSON7_VIRUS_3.JPG", "PNEUMONIA", "person7", "virus"),
        ("person1_bacteria_1_jpeg.rf.ab12cd.jpg", "PNEUMONIA", "person1", "bacteria"),
        ("person1_bacteria_1 (1).jpeg", "PNEUMONIA", "person1", "bacteria"),
        ("resized_person1_bacteria_1.jpeg", "PNEUMONIA", "person1", "bacteria"),
        ("00000013_005.png", "NORMAL", "patient13", "normal"),
        ("sub-07_cxr.png", "NORMAL", "patient7", "normal"),
        ("xray_patient_12_b.png", "PNEUMONIA", "patient12", "unknown"),
        ("scan.png", "PNEUMONIA", "file:scan.png", "unknown"),
        ("scan.png", "NORMAL", "file:scan.png", "normal"),
        ("a/scan (1).png", "NORMAL", "file:a/scan.png", "normal"),
        ("a/scan - Copy.png", "NORMAL", "file:a/scan.png", "normal"),
        ("scan_png.rf.0123abcd.jpg", "NORMAL", "file:scan_png.jpg", "normal"),
        ("20190312_001.png", "NORMAL", "file:20190312_001.png", "normal"),  # a date, not a patient of NIH
        ("IM-20190312-0001.png", "NORMAL", "file:IM-20190312-0001.png", "normal"),  # a date again
        ("child_3y_12.png", "NORMAL", "file:child_3y_12.png", "normal"),  # an age
        ("version12.png", "NORMAL", "file:version12.png", "normal"),
    ],
)
def test_names(name, label, patient, subtype):
    assert identify(name, label) == (patient, subtype)


@pytest.mark.parametrize(
    ("text", "same"), [("7.0", "7"), ("007", "7"), ("A1", "a1"), (" P  1 ", "p 1"), ("NaN", ""), ("ANONYMOUS^^", ""),
                       ("n/a", ""), ("--", ""), ("0", "0"), ("0000", "0"), ("7.5", "7.5"),
                       ("missing", ""), ("-1", ""), ("k. A.", ""), ("-12", "-12"),
                       ("n.a.", ""), ("not available", ""), ("'007", "7"), ('="007"', "7"), ("Patient^Anonymous", ""),
                       ("12,345", "12345"),
                       ("Mu\u0308ller", "m\u00fcller")]
)  # fmt: skip
def test_identifiers_are_compared_without_their_spelling(text, same):
    assert normal_identifier(text) == same


@pytest.mark.parametrize(
    "spellings",
    [
        ("1234567-8", "12345678", "1.234.567-8", "012345678", '="012345678"'),
        ("12.345.679-K", "12345679-K", "12345679k"),
        ("SMITH^JOHN", "smith_john", "Smith, John", "John Smith"),
        ("Müller^Zoë", "Zoe Muller"),
        ("MRN-0100", "mrn 100", "MRN_100", "mrn100"),
        ("19500312-1234", "195003121234"),
        ("0301deb7-d251-4141-97f5-f88f14ccee5c", "0301DEB7D251414197F5F88F14CCEE5C"),
    ],
)
@pytest.mark.parametrize("where", ["header", "table"])
def test_one_patient_in_several_spellings(tmp_path, spellings, where):
    """Other people have numbers of their own, so that only the spelling joins anybody."""
    people = {f"{n}.dcm": spelled for n, spelled in enumerate((*spellings, "1-11", "11-1", "P31", "P32", "q7", "q8"))}
    content = {name: header(who if where == "header" else "") for name, who in people.items()}
    quoted = {name: '"' + who.replace('"', '""') + '"' if where == "table" else "" for name, who in people.items()}
    rows = [f"{name},{n % 2},{quoted[name]}" for n, name in enumerate(people)]
    source = understood(tmp_path, {**content, "t.csv": csv_of("path,label,patient", *rows)}, "t.csv")
    assert sorted(map(len, patients(source))) == [1] * 6 + [len(spellings)]
    said = [text for text in source.survey.warnings if text.startswith("1 patient by the column patient may have sev")]
    assert len(said) == (where == "table")
    assert not any("begin alike" in text for text in source.survey.questions)


@pytest.mark.parametrize(
    ("number", "rounded"),
    [("1.23457E+1{}", True), ("1E+1{}", True), ("1e{}", False), ("1,23457E+1{}", True), ("12345678901{}", False)],
)
def test_numbers_that_a_spreadsheet_rounded_are_warned_of(tmp_path, number, rounded):
    images = [(label, label + str(n), number.format(n)) for label in ("NORMAL", "PNEUMONIA") for n in range(6)]
    rows = [f"{name}.png;{label};{number}" for label, name, number in images]
    names = dict.fromkeys(f"{name}.png" for _, name, _ in images)
    source = understood(tmp_path, {**names, "t.csv": csv_of("path;label;patient", *rows)}, "t.csv")
    assert any("a spreadsheet has rounded" in text for text in source.survey.warnings) == rounded
    rows[1:] = [f"{name}.png;{label};p{name}" for label, name, _ in images[1:]]
    source = understood(tmp_path, {**names, "t.csv": csv_of("path;label;patient", *rows)}, "t.csv")
    warned = "".join(source.survey.warnings)
    assert ("1 identifier by the column patient" in warned and "is a number that a spreadsheet" in warned) == rounded


@pytest.mark.parametrize(
    ("identifier", "left", "sure"),
    [
        ("mrn100_20190301_1030", "mrn100", True), ("mrn-0100 01.03.2019 pa", "mrn100", True),
        ("20190301_mrn100", "mrn100", True), ("smith_john_1mar2019", "johnsmith", True),
        ("p1 (2)", "p1", True), ("p 1 - copy", "p1", True), ("sub-07_ses-01", "sub7", True),
        ("01-001", "01-001", True),
        ("107/2019-03-01", "107", True),
        ("01-001_20190301", "01-001", True), ("2015/001", "2015001", True), ("100-001", "100", False),
        ("st1-t001", "st1", False), ("s1_t01", "s1", True),
        ("100-1", "100", False), ("p100a", "p100", False), ("p10000032_s50414267", "p10000032", False),
        ("0004_24m", "4", False),
        ("hospital1_patient5", "hospital1patient5", True), ("site-12", "site12", True),
        ("0301deb7-d251-4141-97f5-f88f14ccee5c", "0301deb7d251414197f5f88f14ccee5c", True),
        ("1.2.840.10008.5.1", "1.2.840.10008.5.1", True), ("20190301", "20190301", True),
        ("20190301-mrn100", "mrn100", True), ("19500312-1234", "195003121234", True),
        ("19500312-1234_20190301", "195003121234", True), ("19500312-1234-2", "195003121234", False),
        ("070761-4285 pa", "707614285", True), ("12.345.679-k_2", "12345679k", False),
        ("078-05-1120", "78051120", True), ("943 476 5919", "9434765919", True),
    ],
)  # fmt: skip
def test_examinations_at_the_end_of_an_identifier(identifier, left, sure):
    surely, perhaps = without_examination(identifier)
    assert (perhaps, surely == perhaps) == (left, sure)
    assert without_examination(left)[1] == left


def test_unknown_is_a_prefix_and_no_part_of_a_name():
    assert is_unknown("file:a.png")
    assert is_unknown("test:file:a.png")
    assert not is_unknown("profile:7")


@pytest.mark.parametrize(
    "pattern",
    [
        "{}/p{}/{}.png",
        "{}/{}/{}.png",
        "{}/images/patient_{}/{}.png",
        "{}/PAT{}/study1/{}.png",
        "{}/{}/2019-03-1{}/a.png",
    ],
)
def test_folders_of_patients(tmp_path, pattern):
    names = [name for label, ids in (("NORMAL", range(101, 106)), ("PNEUMONIA", range(201, 206)))
             for name in files(pattern, [label], ids, [1, 2])]  # fmt: skip
    source = understood(tmp_path, names)
    assert list(map(len, patients(source))) == [2] * 10
    assert not source.survey.questions
    assert all("{patient}" in part.where for part in source.survey.parts)


def test_folders_named_by_people(tmp_path):
    people = [f"{first} {last}" for first in ("Anna", "Bo", "Cy") for last in ("Li", "Ray", "Wu", "Yi", "Zim")]
    names = [
        *files("NORMAL/{}/IM-0001-000{}.jpg", people[:7], [1, 2]),
        *files("PNEUMONIA/{}/{}.jpg", people[7:], [1, 2]),
    ]
    source = understood(tmp_path, names)
    assert list(map(len, patients(source))) == [2] * 15
    assert not source.survey.questions


def test_few_folders_of_people_are_asked_about(tmp_path):
    names = files("{}/{}/IM-0001-000{}.jpg", ["NORMAL", "PNEUMONIA"], ["Anna Li", "Bo Wu"], [1, 2])
    assert "NORMAL/Anna Li (2 images)" in understood(tmp_path, names).survey.questions[0]


def test_groups_of_patients_are_not_taken_for_patients(tmp_path):
    source = understood(tmp_path, files("{}/{}/{}.png", ["NORMAL", "PNEUMONIA"], [1, 2, 3], range(30)))
    assert any("because there are only 3: 1 (60 images)" in text for text in source.survey.questions)
    assert all(is_unknown(image.patient) for image in source.images)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (files("{}/ward-{}/{}.png", ["NORMAL", "PNEUMONIA"], range(9), [1, 2]), "not understood: NORMAL/ward-0"),
        (files("{}/W{}/{}.png", ["NORMAL", "PNEUMONIA"], range(3), [1, 2]), "because there are only 3: w0 (4 images)"),
        (files("{}/{}/{}.png", ["NORMAL", "PNEUMONIA"], range(6), [1, 2]), "because most occur in both classes: 0"),
        (files("NORMAL/A{}/{}.png", range(7), range(15)) + files("PNEUMONIA/B{}/{}.png", range(7), range(15)),
         "because most have more than 10 images: a0 (15 images)"),
        (files("NORMAL/{}.png", range(12)) + files("PNEUMONIA/{}/{}.png", range(6), [1, 2]),
         "because only one class has them: 0"),
        (files("NORMAL/{}.png", range(12)) + files("PNEUMONIA/{}/{}.png", ["SARS2", "H5N1"], range(6)),
         "not understood: PNEUMONIA/H5N1"),
        (files("NORMAL/{}/{}.png", ["F07", "M07", "M11"], [1, 2]) + files("PNEUMONIA/{}/{}.png", ["M03", "F12"], [1]),
         "not understood: NORMAL/F07"),
        (files("{}/IM-000{}-00{}.png", ["NORMAL", "PNEUMONIA"], range(6), [11, 12]),
         "by the file name may be groups, .* because most occur in both classes: IM-0"),
    ],
)  # fmt: skip
def test_numbers_that_hardly_count_patients_are_asked_about_and_not_believed(tmp_path, names, says):
    source = understood(tmp_path, names)
    (question,) = source.survey.questions
    assert re.search(says.replace("(", r"\(").replace(")", r"\)"), question)
    assert all(is_unknown(image.patient) for image in source.images)


@pytest.mark.parametrize("prefix", ["p", "patient_", "PAT-", "sub", "person "])
def test_a_word_for_patients_tells_them_though_they_are_few(tmp_path, prefix):
    source = understood(tmp_path, files("{}/" + prefix + "{}/{}.png", ["NORMAL", "PNEUMONIA"], [1, 2, 3], [1, 2]))
    assert list(map(len, patients(source))) == [4] * 3
    assert not source.survey.questions


def test_numbers_of_patients_without_a_word_are_believed(tmp_path):
    names = files("NORMAL/00001{}/{}.png", range(303, 308), [0, 1]) + files("PNEUMONIA/00002{}/0.png", range(411, 415))
    source = understood(tmp_path, names)
    assert len(patients(source)) == 9
    assert not source.survey.questions


def test_folders_of_studies_are_kept_together_and_are_no_patients(tmp_path):
    source = understood(tmp_path, files("{}/1.2.826.0.1.{}/{}.png", ["NORMAL", "PNEUMONIA"], range(6), [1, 2]))
    assert list(map(len, patients(source))) == [4] * 6
    assert all(is_unknown(image.patient) for image in source.images)
    assert any("6 folders have the identifier of a study" in text for text in source.survey.warnings)


@pytest.mark.parametrize("words", [("CONTROL", "CASE"), ("Group1", "Group2")])
def test_an_identifier_that_is_the_class_is_no_patient(tmp_path, words):
    content = {f"{label}/{n}.dcm": header(word) for label, word in zip(("NORMAL", "PNEUMONIA"), words, strict=True)
               for n in range(6)}  # fmt: skip
    source = understood(tmp_path, content)
    assert all(is_unknown(image.patient) for image in source.images)
    assert any("are of one patient by the DICOM header" in text for text in source.survey.questions) == (
        words[0] == "Group1"
    )


def test_header_before_a_name_that_begins_again_in_each_folder(tmp_path):
    content = {
        f"{label}/{label[0]}{n}/IM-0001-000{i}.dcm": header(f"MRN{label}{n}")
        for label in ("NORMAL", "PNEUMONIA") for n in range(5) for i in (1, 2)
    }  # fmt: skip
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == [2] * 10
    assert not source.survey.questions


def test_no_identifier_of_a_header_gets_into_patients_or_messages(tmp_path):
    content = {f"{label}/{n}.dcm": header("Meyer^Anna") for label in ("NORMAL", "PNEUMONIA") for n in range(5)}
    source = understood(tmp_path, content)
    assert not any("meyer" in f"{image.patient}".lower() for image in source.images)
    assert "10 of 10 images are of one patient by the DICOM header, which can hardly be" in source.survey.questions[0]
    assert not any("meyer" in line.lower() for line in short_form(source))


@pytest.mark.parametrize("name", ["Anonymous", "ANON", "anonymized^^", "", "unknown"])
def test_a_placeholder_in_all_headers_tells_nobody(tmp_path, name):
    content = {f"{label}/{n}.dcm": header(name) for label in ("NORMAL", "PNEUMONIA") for n in range(5)}
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == [1] * 10
    assert any("10 of 10 images tell no patient" in text for text in source.survey.warnings)


def test_unknown_images_of_one_study_stay_together_and_unknown(tmp_path):
    content = {f"{label}/{n}{i}.dcm": header("", StudyInstanceUID=f"1.2.{len(label)}.{n}")
               for label in ("NORMAL", "PNEUMONIA") for n in range(3) for i in (1, 2)}  # fmt: skip
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == [2] * 6
    assert all(is_unknown(image.patient) for image in source.images)


def test_whoever_is_one_patient_in_folder_or_header_is_kept_together(tmp_path):
    """Anonymised by examination: the folders are right. Folders by examination: the headers are right."""
    by_exam = {f"NORMAL/a{n}/{i}.dcm": header(f"X{n}{i}") for n in range(5) for i in (1, 2)}
    by_patient = {f"PNEUMONIA/e{n}{i}/1.dcm": header(f"P{n}") for n in range(5) for i in (1, 2)}
    source = understood(tmp_path, by_exam | by_patient)
    assert list(map(len, patients(source))) == [2] * 10
    says = "5 patients by the folder ('a0') are several by the DICOM header"
    assert any(says in text for text in source.survey.warnings)


ELSEWHERE = [
    (["Patient_00{}/a.png"], ["Patient_00{}_2.png"]),  # folder and name
    (["MRN0010{}/a.png"], ["MRN0010{}_2.png"]),
    (["MRN0010{}/a.png"], {"b{}.dcm": "MRN0010{}"}),  # folder and header
    ({"{}.dcm": "patient10{}"}, ["patient10{}_1.png"]),  # header and name
    ({"{}.png,P-00{}": ""}, ["P00{}/a.png,"]),  # table and folder
    ({"{}.png,Patient_00{}": ""}, ["Patient_00{}_2.png,"]),  # table and name
    ({"{}.png,100{}": ""}, {"b{}.dcm,": "100{}"}),  # table and header
]


@pytest.mark.parametrize(("one", "other"), ELSEWHERE)
def test_one_patient_told_by_two_places_in_two_spellings(tmp_path, one, other):
    """Half of the images of each are told by one place, half by another."""
    content, rows = {}, []
    for patterns in (one, other):
        for pattern, n in itertools.product(patterns, range(1, 10)):
            label = "PNEUMONIA" if n > 4 else "NORMAL"
            name, _, patient = f"{label}/{pattern}".replace("{}", str(n)).partition(",")
            told = isinstance(patterns, dict) and patterns[pattern].replace("{}", str(n))
            content[name] = header(told) if told else None
            rows.append(f"{name},{label},{patient}")
    table = {"t.csv": csv_of("path,label,patient", *rows)} if "," in next(iter(one)) else {}
    source = understood(tmp_path, content | table, "t.csv" if table else "")
    assert list(map(len, patients(source))) == [2] * 9
    assert not any(is_unknown(image.patient) for image in source.images)


def test_one_patient_told_by_folder_and_name_on_two_sides_of_splits_is_asked_about(tmp_path):
    train = [
        *files("train/NORMAL/Patient_00{}/a.png", range(9)),
        *files("train/PNEUMONIA/Patient_01{}/a.png", range(9)),
    ]
    test = [*files("test/NORMAL/Patient_00{}_2.png", range(9)), *files("test/PNEUMONIA/Patient_01{}_2.png", range(9))]
    source = understood(tmp_path, train + test)
    assert any(text.startswith("18 patients of the test split") for text in source.survey.questions)


def test_numbers_of_two_places_that_an_image_contradicts_are_of_different_people(tmp_path):
    """The header's 5 is the folder's 4, as one image has both; so the folder's 5 is somebody else."""
    both = {f"{'NORMAL' if n < 5 else 'PNEUMONIA'}/patient{n}/1.dcm": header(f"{n + 1}") for n in range(10)}
    source = understood(tmp_path, both)
    assert list(map(len, patients(source))) == [1] * 10


def test_numbered_batches_do_not_spoil_good_headers(tmp_path):
    content = {
        f"{label}/{k}/{n}.dcm": header(f"{label}{k}{n // 2}")
        for label in ("NORMAL", "PNEUMONIA") for k in (1, 2) for n in range(30)
    }  # fmt: skip
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == [2] * 60
    assert not source.survey.questions


def test_a_table_and_headers_together(tmp_path):
    """One row has no patient; its header is that of a patient whom the table names."""
    content = {f"{n}.dcm": header(f"H{n // 2}") for n in range(10)}
    rows = [f"{n}.dcm,{n % 2},{'' if n == 1 else f'anna{n // 2}'}" for n in range(10)]
    source = understood(tmp_path, {**content, "t.csv": csv_of("path,label,patient", *rows)}, "t.csv")
    assert patients(source) == [[f"{2 * n}.dcm", f"{2 * n + 1}.dcm"] for n in range(5)]


def test_images_that_were_numbered_instead_of_patients(tmp_path):
    names = [
        *files("PNEUMONIA/person{}_virus_{}.jpeg", range(5), [1, 2]),
        *files("NORMAL/IM-00{}-000{}.jpeg", range(5), [1, 2]),
    ]
    rows = [f"{name},{int('virus' in name)},{number}" for number, name in enumerate(names)]
    understood(tmp_path, {**dict.fromkeys(names), "t.csv": csv_of("path,label,subject", *rows)})
    several = "5 of 5 patients with several images by the file name, such as person0, are several by the column subject"
    with pytest.raises(InputError, match=several):
        open_source(tmp_path / "t.csv")


def divided(tmp_path, pattern, patient=lambda n, k: "", head=lambda n, k: None, shared=()):
    """What is asked about a table of 3 images of each of 12 people by `pattern`, and of the `shared` images."""
    names = {pattern.format(n=n, k=k): (n, k) for n in range(12) for k in range(3)}
    rows = [f"{name},{n % 2},{patient(n, k)}" for name, (n, k) in names.items()]
    content = {name: head(n, k) for name, (n, k) in names.items()} | dict.fromkeys(
        line.split(",")[0] for line in shared
    )
    return understood(tmp_path, {**content, "t.csv": csv_of("path,label,patient", *rows, *shared)}, "t.csv").survey


def test_people_by_folders_and_names_whom_a_better_place_divides_are_asked_about(tmp_path):
    says = "12 of 12 patients with several images by the {}, such as patient0, are several by the {};".format
    asked = divided(tmp_path / "rows", "patient{n}/{k}.png", lambda n, k: 3 * n + k).questions
    assert says("folder", "column patient") in asked[0]
    asked = divided(tmp_path / "headers", "patient{n}/{k}.dcm", head=lambda n, k: header(f"a{3 * n + k}")).questions
    assert says("folder", "DICOM header") in asked[0]
    studies = {"pattern": "patient{n}_study{k}_1.png", "patient": lambda n, k: f"ST{3 * n + k}"}
    shared = [f"patient{n}_study0_2.png,{n % 2},ST{3 * n}" for n in (0, 3)]
    for number, images in enumerate([[], shared]):  # an image that two share is no reason to be silent
        asked = divided(tmp_path / str(number), **studies, shared=images).questions
        assert says("file name", "column patient") in asked[0]


def test_folders_that_count_something_else_than_names_do_are_asked_about(tmp_path):
    people = {label: range(first, first + 10) for label, first in (("NORMAL", 0), ("PNEUMONIA", 10))}
    names = [f"{label}/run{2 * n + k}/patient{n}_{k}.png" for label in people for n in people[label] for k in (0, 1)]
    assert "several by the folder" in understood(tmp_path, names).survey.questions[0]


def test_a_few_people_whom_a_better_place_divides_are_warned_of(tmp_path):
    survey = divided(tmp_path, "s{n}/{k}.png", lambda n, k: f"m{n}", shared=[
        f"patient{n}_{k}.png,{n % 2},{'other' if (n, k) == (3, 0) else f'x{n}'}" for n in range(25) for k in range(2)
    ])  # fmt: skip
    assert not survey.questions
    assert "1 of 25 patients with several images by the file name, such as patient3, is several" in survey.warnings[0]


def test_numbers_behind_several_words_may_be_of_examinations(tmp_path):
    survey = divided(tmp_path / "words", "{n}_{k}.png", lambda n, k: f"{'uvw'[k]}-{n:03d}")
    says = "the column patient has the same numbers behind several words, such as u and v before "
    assert survey.questions[0].startswith(says)
    survey = divided(tmp_path / "known", "{n}_{k}.png", lambda n, k: f"{['initial', 'followup', 'pre'][k]}-{n:05d}")
    assert not survey.questions
    assert "12 patients by the column patient may have several identifiers" in survey.warnings[0]
    survey = divided(tmp_path / "own", "{n}_{k}.png", lambda n, k: f"{'uvw'[n % 3]}-{3 * n + k:03d}")
    assert not survey.questions


def test_a_picture_in_two_formats_is_of_one_patient(tmp_path):
    content = {f"{n}.{suffix}": header(f"a{n}") if suffix == "dcm" and n % 2 else None
               for n in range(10) for suffix in ("dcm", "png", "jpg")}  # fmt: skip
    rows = [f"{name},{int(name[0]) % 2 if 'dcm' in name else 1}" for name in content]
    source = understood(tmp_path, {**content, "t.csv": csv_of("path,label", *rows)}, "t.csv")
    assert patients(source) == [[f"{n}.dcm", f"{n}.jpg", f"{n}.png"] for n in range(10)]
    assert (
        "10 pictures may be there in several formats, 5 of them in both classes, such as 0.dcm"
        in source.survey.questions[0]
    )


def test_numbers_of_people_that_begin_again_at_each_site_contradict_nothing(tmp_path):
    survey = divided(tmp_path, "site{k}/patient{n}/a{k}.png", lambda n, k: f"{'abc'[k]}{n}")
    assert not survey.questions


@pytest.mark.parametrize("other", ["test", "val"])
def test_patients_on_two_sides_of_splits_in_folders_are_asked_about(tmp_path, other):
    source = understood(tmp_path, files("{}/{}/p{}/{}.png", ["train", other], ["NORMAL", "PNEUMONIA"], range(4), [1]))
    text = " ".join(source.survey.questions)
    assert "4 patients of the " in text
    assert "such as p0" in text
    assert source.validation == ("redrawn" if other == "val" else "given")


def test_numbers_that_begin_again_in_each_class_are_pointed_out(tmp_path):
    source = understood(tmp_path, files("{}/p{}/{}.png", ["NORMAL", "PNEUMONIA"], range(8), [1]))
    assert any("8 of 8 patients have images of both classes ('p0')" in text for text in source.survey.warnings)
    source = understood(tmp_path / "one", [*files("NORMAL/p{}/1.png", range(4)), "PNEUMONIA/p0/2.png"])
    assert any("1 of 4 patients has images of both classes" in text for text in source.survey.warnings)


def test_files_and_folders_that_were_renamed_together_are_no_copies(tmp_path):
    source = understood(tmp_path / "files", files("{}/xray ({}).png", ["NORMAL", "PNEUMONIA"], range(1, 9)))
    assert list(map(len, patients(source))) == [1] * 16
    names = files("NORMAL/patient ({})/{}.png", range(1, 6), [1, 2]) + files("PNEUMONIA/{}.png", range(12))
    source = understood(tmp_path / "folders", names)
    assert not source.survey.questions
    copied = ["NORMAL/a.png", "NORMAL/a (1).png", "NORMAL/b - Copy.png", "NORMAL/b.png", "PNEUMONIA/c (2).png"]
    assert list(map(len, patients(understood(tmp_path / "copied", copied)))) == [2, 2, 1]


def test_numbered_folders_of_a_table_without_patients_tell_none_and_are_not_asked_about(tmp_path):
    names = files("{}/{}.png", range(1, 4), range(4))
    rows = csv_of("path,label", *(f"{name},{number % 2}" for number, name in enumerate(names)))
    source = understood(tmp_path, {**dict.fromkeys(names), "t.csv": rows}, "t.csv")
    assert all(is_unknown(image.patient) for image in source.images)
    assert not source.survey.questions


def test_identifiers_that_differ_by_an_examination_are_joined_or_asked_about(tmp_path):
    labels = ["NORMAL", "PNEUMONIA"]
    dates = [f"{split}/{label}/MRN{n}_{date}/a.png" for split, date in (("train", 20190101), ("test", 20200303))
             for number, label in enumerate(labels) for n in range(100 + 8 * number, 108 + 8 * number)]  # fmt: skip
    sure = understood(tmp_path / "sure", dates)
    assert "16 patients of the test split, such as mrn100_20190101, have images outside it" in sure.survey.questions[0]
    assert any("such as 'mrn100_20190101' and 'mrn100_20200303'" in text for text in sure.survey.warnings)
    unsure = understood(
        tmp_path / "unsure", files("NORMAL/10{}-{}/1.png", range(8), [1, 2]) + files("PNEUMONIA/20{}/1.png", range(8))
    )
    assert sorted(map(len, patients(unsure))) == [1] * 8 + [2] * 8
    assert (
        "8 patients by the folder may have several identifiers, such as '100-1' and '100-2'"
        in unsure.survey.questions[0]
    )


@pytest.mark.parametrize(
    "names",
    [
        files("NORMAL/case-{}/1.png", range(1, 9)) + files("PNEUMONIA/case-{}/1.png", range(11, 19)),
        files("NORMAL/P2019-{}/1.png", range(9)) + files("PNEUMONIA/P2019-{}/1.png", range(11, 19)),
        files("NORMAL/{}-{}/1.png", [1, 2], range(10, 22)) + files("PNEUMONIA/{}-{}/1.png", [1, 2], range(22, 30)),
    ],
)  # fmt: skip
def test_numbers_behind_a_site_or_a_year_are_patients(tmp_path, names):
    source = understood(tmp_path, names)
    assert len(patients(source)) == len(names)
    assert not source.survey.remarks


@pytest.mark.parametrize("where", ["header", "table"])
@pytest.mark.parametrize(
    "pattern", ["{site:02d}-{n:03d}-V{k}", "S{site:02d}-{n:04d}_V{k}", "{site}/{n:03d}-2019030{k}"]
)
def test_visits_behind_site_and_number_are_of_one_patient(tmp_path, where, pattern):
    told = [
        (n % 2, pattern.format(site=site, n=n, k=k)) for site in range(1, 5) for n in range(101, 107) for k in (1, 2)
    ]
    content = {f"{i}.dcm": header(who if where == "header" else "") for i, (_, who) in enumerate(told)}
    rows = [f"{i}.dcm,{label},{who if where == 'table' else ''}" for i, (label, who) in enumerate(told)]
    source = understood(tmp_path, {**content, "t.csv": csv_of("path,label,patient", *rows)}, "t.csv")
    assert list(map(len, patients(source))) == [2] * 24
    assert not source.survey.questions


def test_identifiers_in_headers_are_joined_and_not_shown(tmp_path):
    ends = enumerate(["", "_20190301"])
    content = {f"{label}/{n}{k}.dcm": header(f"{label[0]}{n:03d}{end}")
               for k, end in ends for label in ("NORMAL", "PNEUMONIA") for n in range(6)}  # fmt: skip
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == [2] * 12
    assert any(
        "12 patients by the DICOM header may have several identifiers, which" in text for text in source.survey.warnings
    )
    assert all(re.fullmatch("dicom:[0-9a-f]{12}", image.patient) for image in source.images)


def test_images_of_one_study_are_of_one_patient(tmp_path):
    content = {f"{label}/{n}{i}.dcm": header(f"X{label}{n}{i}7", StudyInstanceUID=f"1.2.{len(label)}.{n}")
               for label in ("NORMAL", "PNEUMONIA") for n in range(4) for i in (1, 2)}  # fmt: skip
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == [2] * 8
    assert "8 patients by the StudyInstanceUID are several by the DICOM header" in source.survey.warnings[0]


@pytest.mark.parametrize(("identifier", "count", "asked"), [("12345", 6, True), ("K77", 6, False), ("K77", 18, True)])
def test_an_identifier_of_far_more_images_than_others_is_asked_about(tmp_path, identifier, count, asked):
    content = {f"{('NORMAL', 'PNEUMONIA')[n % 2]}/{n}.dcm": header(identifier if n < count else f"H{n}")
               for n in range(40)}  # fmt: skip
    found = understood(tmp_path, content).survey.questions
    assert any("of both classes, are of one patient by the DICOM header, far more" in text for text in found) == asked


def test_dates_and_examinations_are_no_patients(tmp_path):
    people = [f"{label}/0{day}-03-2019/p{number}/1.png" for label, first in (("NORMAL", 0), ("PNEUMONIA", 8))
              for number in range(first, first + 8) for day in (1 + number % 3, 5)]  # fmt: skip
    inner = understood(tmp_path / "inner", people)
    assert list(map(len, patients(inner))) == [2] * 16
    assert not inner.survey.questions
    rows = [f"{n}.png,{n % 2},{n + 10}.03.2019" for n in range(12)]
    table = understood(tmp_path / "t", {**dict.fromkeys(f"{n}.png" for n in range(12)),
                                        "t.csv": csv_of("path,label,patient", *rows)}, "t.csv")  # fmt: skip
    assert all(is_unknown(image.patient) for image in table.images)
    assert "the column patient holds dates" in table.survey.questions[0]


SPELLED = ["{}/03/2019", "3/{}/19", '"Jan {}, 2019"', "2019/03/{} 10:30"]


@pytest.mark.parametrize("pattern", SPELLED)
def test_days_in_a_column_for_patients_are_asked_about(tmp_path, pattern):
    rows = [f"{n}.png,{n % 2},{pattern.format(n + 1)}" for n in range(12)]
    content = dict.fromkeys(files("{}.png", range(12))) | {"t.csv": csv_of("path,label,patient", *rows)}
    source = understood(tmp_path, content, "t.csv")
    assert all(is_unknown(image.patient) for image in source.images)
    assert "the column patient holds dates" in source.survey.questions[0]


@pytest.mark.parametrize("pattern", ["{}/patient_201903{}_1.png", "{}/MRN_2014-01-{}_1.png"])
def test_days_in_place_of_numbers_in_names_are_asked_about(tmp_path, pattern):
    source = understood(tmp_path, files(pattern, ["NORMAL", "PNEUMONIA"], range(10, 18)))
    assert all(is_unknown(image.patient) for image in source.images)
    assert "in 16 file names may be a day" in source.survey.questions[0]


def test_a_few_numbers_that_could_be_days_are_numbers(tmp_path):
    names = files("{}/MRN{}.png", ["NORMAL", "PNEUMONIA"], range(20190271, 20190303))
    source = understood(tmp_path, names)
    assert not any(is_unknown(image.patient) for image in source.images)


PEOPLE = [(("NORMAL", "PNEUMONIA")[n % 2], 7100000 + 50000 * (n % 4) + n) for n in range(24)]


@pytest.mark.parametrize("headers", [True, False])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "pattern",
    [
        "train/{label}/{mrn}/1.2.840.113619.{mrn}{k}/IM-0001-0001.dcm",
        "{label}/{mrn}/1.2.840.113619.{mrn}{k}/IM-{short:04d}-0001.dcm",
        "{label}/PA{mrn}/ST000000/SE00000{k}/IM000000",
        "{label}/{year}/{mrn}/{k}.dcm",
        "{label}/p{first}/p{mrn}/s{k}/1.dcm",
        "{label}/{mrn}/{visit}/DX/1.dcm",
        "{label}/sub-{mrn}/ses-0{k}/mod-rx/sub-{mrn}_ses-0{k}_cr.dcm",
        "{label}/{uuid}/study{k}/image.dcm",
        "{label}/resized_224/{mrn}/{k}.dcm",
        "{label}/NORMAL-{mrn}-000{k}.dcm",
        "{label}/{mrn:08d}_00{k}.dcm",
        "{label}/patient{mrn}_2019030{k}_pa.dcm",
    ],
)
def test_a_tidy_folder_is_not_asked_about(tmp_path, pattern, count, headers):
    content = {}
    for number, (label, mrn) in enumerate(PEOPLE):
        for k in range(1, count + 1):
            uuid = f"{mrn:08d}-0000-4000-8000-0000{mrn:08d}"
            parts = {"label": label, "mrn": mrn, "k": k, "uuid": uuid, "short": number % 3, "year": 2018 + number % 3,
                     "first": mrn // 10000, "visit": ("before", "after")[k - 1]}  # fmt: skip
            name = pattern.format(**parts)
            content[name if headers else f"{name.removesuffix('.dcm')}.png"] = header(str(mrn)) if headers else None
    source = understood(tmp_path, content)
    known = headers or "{mrn:08d}" not in pattern  # there are no such numbers in NIH's names
    assert list(map(len, patients(source))) == ([count] * len(PEOPLE) if known else [1] * count * len(PEOPLE))
    assert not source.survey.questions


@pytest.mark.parametrize("pattern", ["{}19{}03{}-{}/{}.png", "{}19{}03{}{}/{}.png", "{}19{}03{}-{}/2019-0{}-02/1.png"])
def test_numbers_that_begin_with_a_day_of_birth_are_patients(tmp_path, pattern):
    names = [pattern.format(("NORMAL/", "PNEUMONIA/")[n % 2], 50 + n, 11 + n, 1234 + 337 * n, k)
             for n in range(16) for k in (1, 2)]  # fmt: skip
    source = understood(tmp_path, names)
    assert list(map(len, patients(source))) == [2] * 16
    assert not source.survey.questions


@pytest.mark.parametrize("tail", ["-1{}30", "1{}3005", "-0{}17", "_{}", "-1{}77"])
def test_days_with_a_time_or_a_count_are_no_patients(tmp_path, tail):
    names = [f"{('NORMAL', 'PNEUMONIA')[n % 2]}/201903{11 + n}{tail.format(n % 10)}/{k}.png"
             for n in range(16) for k in (1, 2)]  # fmt: skip
    source = understood(tmp_path, names)
    assert all(is_unknown(image.patient) for image in source.images)


@pytest.mark.parametrize("labels", [("NORMAL", "PNEUMONIA"), ("train/NORMAL", "train/PNEUMONIA")])
@pytest.mark.parametrize(
    ("tags", "together"),
    [
        (lambda n, k: {"PatientName": f"Doe^{'ABCDEFGHIJKL'[n]}", "PatientBirthDate": f"195003{10 + n}"}, True),
        (lambda n, k: {"PatientName": [f"DOE^A{'ABCDEFGHIJKL'[n]}", f"A{'ABCDEFGHIJKL'[n].lower()}_Doe"][k - 1],
                       "PatientBirthDate": "19500310"}, True),
        (lambda n, k: {"PatientName": f"Doe^{'ABCDEFGHIJKL'[n]}"}, True),  # the images and not the people were numbered
        (lambda n, k: {"PatientName": "Doe^A"}, False),
        (lambda n, k: {"PatientName": "Patient^Anonymous", "PatientBirthDate": "19000101"}, False),
        (lambda n, k: {"PatientBirthDate": f"195003{10 + n}"}, False),
        (lambda n, k: {"PatientName": f"Doe^{'ABCDEFGHIJKL'[n]}", "PatientBirthDate": f"195003{10 + k}"}, False),
        (lambda n, k: {"OtherPatientIDs": f"HOSP{n}"}, True),
        (lambda n, k: {"OtherPatientIDs": [f"HOSP{n}", f"CLINIC{n}{k}"]}, True),
        (lambda n, k: {"OtherPatientIDs": f"P{n}1"} if k == 2 else {}, True),  # the PatientID of the first image
        (lambda n, k: {"OtherPatientIDs": f"HOSP{n}{k}"}, False),
    ],
)  # fmt: skip
def test_headers_with_an_identifier_for_each_study(tmp_path, labels, tags, together):
    content = {f"{labels[n % 2]}/{n}_{k}.dcm": header(f"P{n}{k}", **tags(n, k)) for n in range(12) for k in (1, 2)}
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == ([2] * 12 if together else [1] * 24)
    assert not source.survey.questions
    assert (
        any("12 patients by the " in text and "are several by" in text for text in source.survey.warnings) == together
    )
    assert all(re.fullmatch("dicom:[0-9a-f]{12}", image.patient) for image in source.images)


def test_names_and_days_of_birth_tell_patients_without_identifiers(tmp_path):
    content = {f"{('NORMAL', 'PNEUMONIA')[n % 2]}/{n}_{k}.dcm": header("", PatientName=f"Doe^{'ABCDEFGH'[n]}",
               PatientBirthDate="19500310") for n in range(8) for k in (1, 2)}  # fmt: skip
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == [2] * 8
    assert {part.patient for part in source.survey.parts} == {"name and day of birth in the DICOM header"}


@pytest.mark.parametrize("numbered", [False, True])
def test_names_alone_tell_patients_where_no_header_has_an_identifier(tmp_path, numbered):
    names = files("{}/{}/{}.dcm", ["train", "test"], ["NORMAL", "PNEUMONIA"], range(5))
    content = {name: header(PatientName=f"Doe^{name.split('/')[1]}{name[-5]}") for name in names}
    if numbered:
        content["train/NORMAL/x.dcm"] = header("X1")
    source = understood(tmp_path, content)
    assert any("10 patients of the test split" in text for text in source.survey.questions) != numbered
    assert sum(is_unknown(image.patient) for image in source.images) == (20 if numbered else 0)


def test_one_name_for_all_does_not_spoil_good_identifiers(tmp_path):
    content = {f"{('NORMAL', 'PNEUMONIA')[n % 2]}/{n}.dcm": header(f"P{n}", PatientName="Chest^Study",
               PatientBirthDate="19700101", OtherPatientIDs="4711") for n in range(12)}  # fmt: skip
    source = understood(tmp_path, content)
    assert list(map(len, patients(source))) == [1] * 12
    assert not source.survey.questions
    assert any("12 of 12 images are of one patient by the name and day of birth" in w for w in source.survey.warnings)


def test_equal_names_are_different_people_where_identifiers_are_of_several_images(tmp_path):
    content = {f"{('NORMAL', 'PNEUMONIA')[n % 2]}/{n}_{k}.dcm": header(f"P{n}", PatientName=f"Doe^{'ABCD'[n // 3]}")
               for n in range(12) for k in (1, 2)}  # fmt: skip
    assert list(map(len, patients(understood(tmp_path, content)))) == [2] * 12


@pytest.mark.parametrize(("sites", "apart"), [(["hospital A", "hospital B"], True), (["2019", "2020"], False)])
def test_numbers_that_begin_again_at_each_hospital_are_different_people(tmp_path, sites, apart):
    names = files("{}/NORMAL/p{}/1.png", sites, range(6)) + files("{}/PNEUMONIA/p{}/1.png", sites, range(9, 16))
    source = understood(tmp_path / "again", names)
    assert list(map(len, patients(source))) == ([1] * 26 if apart else [2] * 13)
    assert not source.survey.questions
    assert any("13 patients, such as p0, have the same number" in text for text in source.survey.warnings) == apart
    few = files(f"{sites[0]}/NORMAL/p{{}}/1.png", range(20, 40)) + files(f"{sites[0]}/PNEUMONIA/p{{}}/1.png", range(8))
    few += [*files(f"{sites[1]}/NORMAL/p{{}}/1.png", range(39, 59)), f"{sites[1]}/PNEUMONIA/p70/1.png"]
    assert sorted(map(len, patients(understood(tmp_path / "moved", few)))) == [1] * 47 + [2]


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (lambda n, split: header(f"A{n}"), "{split}/{label}/{n}.dcm"),
        (lambda n, split: None, "{split}/{label}/p{n}/1.png"),
        (lambda n, split: None, "{split}/{label}/MRN{n}_{day}/1.png"),
        (lambda n, split: header(f"{split}{n}", StudyInstanceUID=f"1.2.3.4.{n}"), "{split}/{label}/{n}.dcm"),
        (lambda n, split: header(f"{split}{n}", OtherPatientIDs=f"K{n}"), "{split}/{label}/{n}.dcm"),
    ],
)
def test_one_patient_in_train_and_test_may_leak_and_all_are_divided_anew(tmp_path, headers, name):
    content = {name.format(split=split, label=("NORMAL", "PNEUMONIA")[n % 2], n=n, day=day): headers(n, split)
               for n in range(100, 116) for split, day in (("train", 20190101), ("test", 20200303))}  # fmt: skip
    assert splits(understood(tmp_path, content)) == {"train": 16, "test": 16}
    source = understood(tmp_path, content, yes=True)
    (question,) = source.survey.questions
    assert "if it is one person, this leaks; --yes divides all images anew by patient, a test split too" in question
    assert not re.search("dicom:[0-9a-f]", question)
    assert splits(source) == {"": 32}
    assert list(map(len, patients(source))) == [2] * 16


def test_a_description_says_that_numbers_begin_again_for_other_people(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\ntitle = "Own"\ntest_patients = "apart"\n')
    names = files("{}/{}/p{}/1.png", ["train", "test"], ["NORMAL", "PNEUMONIA"], range(100, 104))
    source = understood(tmp_path / "x", names, layout=str(own))
    assert splits(source) == {"train": 8, "test": 8}
    assert len(patients(source)) == 8


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("pt{n:03d}-{i}.jpg", True), ("sub-{n:02d}_ses-0{i}_xray.png", True), ("Pat_{n}_{a}.png", True),
        ("subject7{n}_ap{i}.png", True), ("kid_{n}_cxr{i}.png", True), ("participant{n}-{i}.png", True),
        ("paciente {n} {i}.png", True), ("MRN{n:07d}_{i}.png", True), ("mrn {n} (0{i}).png", True),
        ("patient{n}_2019030{i}.png", True), ("CHILD_{n}_V{i}.png", True), ("{n:08d}_00{i}.png", True),
        ("case{n} ({i}).jpg", False), ("P{n:04d}_{a}.png", False), ("{n:03d}_0{i}.png", False),
        ("A{n:03d}-{i}.png", False), ("id{n}_img{i}.png", False), ("p{n}_s{i}.png", False),
        ("Smith_{n}_{i}.png", False), ("71000{n}_2019030{i}.png", False),
    ],
)  # fmt: skip
def test_families_of_names_tell_patients_or_are_named(tmp_path, pattern, told):
    """Whatever is not sure to count patients is told to be divided by image, with an example."""
    names = [f"{('NORMAL', 'PNEUMONIA')[n % 2]}/{pattern.format(n=n, i=i, a='_ab'[i])}"
             for n in range(10, 26) for i in (1, 2)]  # fmt: skip
    source = understood(tmp_path, names)
    assert list(map(len, patients(source))) == ([2] * 16 if told else [1] * 32)
    (*said,) = (text for text in source.survey.warnings if "so the split is by image" in text)
    assert told or re.search(r"names begin alike, such as (.+10.*) and (.+10.*)\)", said[0])
    assert len(said) == (not told)
    assert not source.survey.questions


@pytest.mark.parametrize("pattern", ["img_{n:03d}{i}.png", "{n}{i}.png", "2019030{i}_{n:04d}.png", "scan ({n}{i}).png"])
def test_names_without_anything_in_common_are_not_said_to_begin_alike(tmp_path, pattern):
    names = [f"{('NORMAL', 'PNEUMONIA')[n % 2]}/{pattern.format(n=n, i=i)}" for n in range(10, 26) for i in (1, 2)]
    source = understood(tmp_path, names)
    assert all(is_unknown(image.patient) for image in source.images)
    assert not any("alike" in text for text in source.survey.warnings)


IDENTIFIERS = st.from_regex(r"[A-Za-zé]{0,4}[-_. ]?[0-9]{1,8}([-_./ ][0-9A-Kk]{1,4}){0,2}", fullmatch=True)


@given(IDENTIFIERS)
@example("T_0")
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
def test_what_is_left_of_an_identifier_is_the_same_in_all_its_spellings(text):
    plain = normal_identifier(text)
    for spelled in (text.upper(), f" {text} ", f'="{text}"', unicodedata.normalize("NFD", text)):
        assert normal_identifier(spelled) == plain
    assert compact(compact(plain)) == compact(plain)
    assert compact(plain.replace("-", "_")) == compact(plain) or len(re.sub(r"[\W_]", "", plain)) < 7
    dated = without_examination(normal_identifier(f"{text}_20190301"))
    assert dated == without_examination(plain) or len({*dated}) + len({*without_examination(plain)}) > 2
