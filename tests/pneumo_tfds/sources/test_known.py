"""Known data sets in miniature: the names of their real trees and the real columns, a handful of tiny images."""

from __future__ import annotations

import re
import uuid
import zipfile
from pathlib import Path

import pytest

from made_sources import csv_of, files, header, labels, patients, splits, understood, write
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.description import choose_description, known_descriptions
from pneumo_tfds.sources.opening import open_source, understand
from pneumo_tfds.sources.source_options import SourceOptions

KERMANY = [
    *files("train/NORMAL/IM-011{}-0001.jpeg", range(5, 9)),
    *files("train/NORMAL/NORMAL2-IM-039{}-0001.jpeg", range(4)),
    *files("train/PNEUMONIA/person{}_bacteria_{}.jpeg", [1, 2, 300], [1, 2]),
    *files("train/PNEUMONIA/person{}_virus_{}.jpeg", [255, 300], [3]),
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    *files("test/NORMAL/IM-000{}-0001.jpeg", [1, 3]),
    *files("test/PNEUMONIA/person{}_virus_6.jpeg", [1, 3]),
    "test/PNEUMONIA/person78_bacteria_378.jpeg",
]
MENDELEY = [
    *files("chest_xray/train/NORMAL/NORMAL-2850{}-0001.jpeg", range(3)),
    *files("chest_xray/train/PNEUMONIA/BACTERIA-742{}-000{}.jpeg", range(2, 4), [1, 2]),
    "chest_xray/train/PNEUMONIA/VIRUS-7422-0001.jpeg",
    "chest_xray/test/NORMAL/NORMAL-4512-0001.jpeg",
    "chest_xray/test/PNEUMONIA/BACTERIA-40699-0001.jpeg",
]

PLAIN_FOLDERS = files("{}/{}.jpeg", ["NORMAL", "PNEUMONIA"], range(3))


def test_every_known_data_set_is_tested_here():
    here = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name}"' in here for name in known_descriptions())


def test_phantoms_are_known_by_the_file_beside_them(tmp_path):
    folder = write(tmp_path / "drawn", KERMANY)
    (folder / "PHANTOMS.txt").write_text("drawn")
    survey = understand(folder).survey
    assert (survey.layout, survey.left_out) == ("phantoms", ())


def test_phantoms_under_another_layout_or_in_a_table_are_asked_about_once(tmp_path):
    folder = write(tmp_path / "drawn", [*PLAIN_FOLDERS, "PHANTOMS.txt"])
    (asked,) = understand(folder, SourceOptions(layout="kermany")).survey.questions
    assert asked.endswith("drawn phantoms; --yes takes them for X-rays; else leave --layout out")
    rows = [f"drawn/{name},{name.split('/')[0]}" for name in PLAIN_FOLDERS]
    (asked,) = understood(tmp_path, {"t.csv": csv_of("path,label", *rows)}, "t.csv").survey.questions
    assert "drawn/PHANTOMS.txt says that the images beside it are no X-rays but drawn phantoms" in asked


def test_kermany_as_a_zip_of_kaggle(tmp_path):
    folder = write(tmp_path / "tree", [f"chest_xray/{name}" for name in KERMANY])
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for name in KERMANY:
            for place in ("chest_xray", "chest_xray/chest_xray"):
                archive.write(folder / "chest_xray" / name, f"{place}/{name}")
            archive.writestr(f"chest_xray/__MACOSX/{name.replace('IM', '._IM')}", b"x")
        archive.writestr("chest_xray/chest_xray/.DS_Store", b"x")
    source = open_source(tmp_path / "archive.zip")
    assert (source.survey.layout, source.validation) == ("kermany", "redrawn")
    assert len(source.images) == len(KERMANY)
    assert splits(source) == {"train": 16, "val": 2, "test": 5}
    assert source.ignored["second nested copy"] == len(KERMANY)
    one = {image.patient for image in source.images if "/train/PNEUMONIA/person300_" in image.name}
    assert one == {"person300"}  # one number under bacteria and virus
    assert all(image.patient.startswith("test:") for image in source.images if "/test/" in image.name)
    assert not source.survey.remarks


RETINAS = [f"OCT/train/{kind}/{kind}-1{n}-1.jpeg" for kind in ("NORMAL", "CNV") for n in range(40)]


@pytest.mark.parametrize("beside", [[], RETINAS])
def test_kermany_as_mendeley_has_it(tmp_path, beside):
    source = understood(tmp_path, [*MENDELEY, *beside])
    assert source.survey.layout == "kermany"
    assert labels(source) == {"NORMAL": 4, "PNEUMONIA": 6}
    assert {image.subtype for image in source.images} == {"normal", "bacteria", "virus"}
    assert sum(source.ignored.values()) == len(beside)
    assert not source.survey.questions


@pytest.mark.parametrize("keep", ["train/", "NORMAL/"])
def test_kermany_in_part_and_flat(tmp_path, keep):
    names = [name for name in KERMANY if keep in name] + [name for name in KERMANY if "train/P" in name]
    source = understood(tmp_path, dict.fromkeys(re.sub("^(train|val|test)/", "", name) for name in names))
    assert not source.survey.questions


@pytest.mark.parametrize(("held_out", "validation"), [(range(30, 34), "redrawn"), (range(30, 50), "given")])
def test_a_validation_folder_of_kermany_larger_than_the_published_one_is_obeyed(tmp_path, held_out, validation):
    names = {"train": range(1, 30), "val": held_out, "test": range(50, 55)}
    source = understood(tmp_path, [name for split, numbers in names.items() for name in (
        *files(split + "/NORMAL/IM-01{}-0001.jpeg", [n + 100 for n in numbers]),
        *files(split + "/PNEUMONIA/person{}_virus_1.jpeg", numbers),
    )])  # fmt: skip
    assert source.survey.layout == "kermany"
    assert source.validation == validation
    assert not source.survey.questions


def test_kermany_divided_anew_by_image_is_asked_about(tmp_path):
    names = [f"{['train', 'valid', 'test'][i % 3]}/PNEUMONIA/person{n}_bacteria_{n}{i}_jpeg.rf.{n}a{i}.jpg"
             for n in range(1, 9) for i in range(6)]  # fmt: skip
    names += [f"{['train', 'valid', 'test'][n % 3]}/NORMAL/IM-0{n}-0001_jpeg.rf.b{n}.jpg" for n in range(115, 133)]
    source = understood(tmp_path, names)
    assert source.survey.layout == "kermany"
    assert "8 patients of the test split, such as person1, have images outside it" in source.survey.questions[0]


def test_a_few_test_patients_of_kermany_with_images_in_train_are_asked_about(tmp_path):
    names = [
        *files("{}/NORMAL/IM-0{}-0001.jpeg", ["train"], range(300, 330)),
        *files("train/PNEUMONIA/person{}_bacteria_{}.jpeg", range(1, 40), [1, 2]),
        *files("train/PNEUMONIA/person{}_virus_9.jpeg", range(40, 90)),  # a number may begin again in each subtype
        *files("test/NORMAL/IM-0{}-0001.jpeg", range(100, 130)),
        *files("test/PNEUMONIA/person{}_bacteria_3.jpeg", range(60, 90)),
    ]
    assert not understood(tmp_path / "published", names).survey.questions
    (asked,) = understood(tmp_path / "moved", [*names, "test/PNEUMONIA/person5_bacteria_4.jpeg"]).survey.questions
    assert "1 patient of the test split, such as person5, has images outside it" in asked


def test_images_named_like_kermany_in_folders_of_patients_are_others(tmp_path):
    names = files("{}/{}/IM-0001-000{}.jpg", ["NORMAL", "PNEUMONIA"], range(1000, 1015), [1, 2])
    assert understood(tmp_path, names).survey.layout == "folders"


RSNA = [str(uuid.UUID(int=n)) for n in range(1, 7)]


@pytest.mark.parametrize("source", ["", "stage_2_train_labels.csv"])
def test_rsna(tmp_path, source):
    boxes = []
    for n, name in enumerate(RSNA):
        boxes += [f"{name},,,,,0"] if n % 2 else [f"{name},264,152,213,379,1", f"{name},562,152,256,453,1"]
    content = {f"stage_2_train_images/{name}.dcm": header(name, Modality="CR", ViewPosition="PA") for name in RSNA}
    content |= {"stage_2_train_images/9999.dcm": header("9999"), "stage_2_test_images/0000a175.dcm": header("0000a175")}
    content |= {"stage_2_train_labels.csv": csv_of("patientId,x,y,width,height,Target", *boxes)}
    content |= {"stage_2_detailed_class_info.csv": csv_of("patientId,class", f"{RSNA[0]},Lung Opacity")}
    found = understood(tmp_path, content, source)
    assert found.survey.layout == "rsna-pneumonia"
    assert labels(found) == {"NORMAL": 3, "PNEUMONIA": 3}
    assert len(patients(found)) == 6
    (remark,) = found.survey.remarks
    assert remark.text.startswith("patientId names a picture and no person")
    beside = {"in a folder of the table's images, but in no row of it": 1}
    assert found.ignored == (beside if source else {"not an image": 1, "listed by no table": 2})


def test_letters_in_the_names_of_rsna_are_chance(tmp_path):
    names = [f"0000000{n}-{'1abd' if n < 4 else '0000'}-4970-a000-0123456789ab" for n in range(8)]
    content = {f"stage_2_train_images/{name}.dcm": header(name, Modality="CR", ViewPosition="PA") for name in names}
    rows = [f"{name},,,,,{n % 2}" for n, name in enumerate(names)]
    content |= {"stage_2_train_labels.csv": csv_of("patientId,x,y,width,height,Target", *rows)}
    assert not understood(tmp_path, content).survey.questions


NIH_COLUMNS = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
FINDINGS = ["No Finding", "Pneumonia|Infiltration", "Effusion", "Infiltration|Pneumonia"]


def nih(patient=lambda n: n):
    names = [f"{n:08d}_{k:03d}.png" for n in range(1, 9) for k in (0, 1)]
    rows = [f"{name},{FINDINGS[int(name[:8]) % 4]},0,{patient(int(name[:8]))},58,M,PA,2682,2749,0.143,0.143,"
            for name in names]  # fmt: skip
    content = {f"images_00{1 + int(name[:8]) // 5}/images/{name}": None for name in names}
    content |= {"Data_Entry_2017.csv": csv_of(NIH_COLUMNS, *rows), "BBox_List_2017.csv": "Image Index,Finding Label\n"}
    content |= {"train_val_list.txt": "\n".join(names[:8]), "test_list.txt": "\n".join(names[8:])}
    return content


def test_nih(tmp_path):
    source = understood(tmp_path, nih())
    assert source.survey.layout == "nih-chestxray14"
    assert labels(source) == {"NORMAL": 4, "PNEUMONIA": 8}
    assert splits(source) == {"train": 6, "test": 6}
    assert list(map(len, patients(source))) == [2] * 6
    assert source.ignored == {"Finding Labels names neither class": 4, "not an image": 1}
    assert "mined from reports" in " ".join(source.survey.notes)
    assert not source.survey.remarks
    assert labels(understand(tmp_path, SourceOptions(positive=("Effusion",)))) == {"NORMAL": 4, "PNEUMONIA": 4}
    with pytest.raises(InputError, match="no image of the layout nih-chestxray14 is labelled"):
        understand(tmp_path, SourceOptions(positive=("effusions",), negative=("none",)))


def test_nih_without_its_lists_or_with_patients_on_both_sides(tmp_path):
    content = nih()
    del content["train_val_list.txt"], content["test_list.txt"]
    source = understood(tmp_path / "a", content, "Data_Entry_2017.csv")
    assert splits(source) == {"": 12}
    assert "the official split is not there: train_val_list.txt and test_list.txt" in source.survey.questions[0]
    moved = {
        name.replace("images_001", "NORMAL").replace("images_002", "PNEUMONIA"): data for name, data in nih().items()
    }
    asked = understood(tmp_path / "c", moved).survey.questions
    assert "lie in a folder of another label than the table says" in asked[0]
    source = understood(tmp_path / "b", nih(lambda n: n % 4))
    assert "patients of the test split, such as 0, have images outside it" in source.survey.questions[0]


CHEXPERT_COLUMNS = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


def chexpert(root="CheXpert-v1.0-small"):
    def row(split, n, normal, pneumonia, view="Frontal", number=1):
        path = f"{split}/patient{n:05d}/study1/view{number}_{view.lower()}.jpg"
        content[f"{root}/{path}" if root else path] = None
        return f"CheXpert-v1.0-small/{path},Male,65,{view},AP,{normal},,,,,,,{pneumonia},,,,,,1.0"

    content: dict[str, str | None] = {}
    marks = [("1.0", ""), ("", "1.0"), ("", "-1.0"), ("", "0.0")]
    train = [row("train", n, *marks[n % 4]) for n in range(1, 9)] + [row("train", 1, "1.0", "", "Lateral", 2)]
    valid = [row("valid", n, *marks[n % 2]) for n in range(64541, 64545)]
    content[f"{root}/train.csv".lstrip("/")] = csv_of(CHEXPERT_COLUMNS, *train)
    content[f"{root}/valid.csv".lstrip("/")] = csv_of(CHEXPERT_COLUMNS, *valid)
    return content


@pytest.mark.parametrize("root", ["CheXpert-v1.0-small", "archive", ""])
@pytest.mark.parametrize(
    ("uncertain", "found"),
    [(None, (4, 4)), ("left_out", (4, 4)), ("positive", (4, 6)), ("negative", (6, 4))],
)
def test_chexpert(tmp_path, root, uncertain, found):
    source = understood(tmp_path, chexpert(root), uncertain=uncertain)
    assert source.survey.layout == "chexpert"
    assert labels(source) == {"NORMAL": found[0], "PNEUMONIA": found[1]}
    assert splits(source) == {"train": sum(found) - 4, "val": 4}
    assert {image.patient for image in source.images if "/valid/" in f"/{image.name}"} >= {
        "patient64541",
        "patient64544",
    }
    assert source.ignored["Frontal/Lateral is Lateral"] == 1
    assert source.ignored.get("Pneumonia is uncertain (-1); see --uncertain", 0) == 8 - sum(found) + 2
    assert not source.survey.remarks


def test_one_table_of_chexpert(tmp_path):
    source = understood(tmp_path, chexpert("a"), "a/valid.csv")
    assert (source.survey.layout, splits(source)) == ("chexpert", {"val": 4})
    with pytest.raises(InputError, match="has no column effusion; found Path, Sex"):
        understand(tmp_path, SourceOptions(positive=("effusion",)))


def test_covid19_radiography(tmp_path):
    names = []
    for label in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"):
        names += files(f"COVID-19_Radiography_Dataset/{label}/{{}}/{label}-{{}}.png", ["images", "masks"], range(3))
    source = understood(tmp_path, names)
    assert source.survey.layout == "covid19-radiography"
    assert labels(source) == {"NORMAL": 3, "PNEUMONIA": 3}
    assert source.ignored["masks or the like, by the name of folder or file"] == 6
    others = understand(tmp_path, SourceOptions(positive=("COVID", "lung opacity")))
    assert labels(others) == {"NORMAL": 3, "PNEUMONIA": 6}


PADCHEST_COLUMNS = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Modality_DICOM,ReportID,Report,MethodLabel,Labels,Localizations"
)


def test_padchest(tmp_path):
    kinds = [("['normal']", "PA"), ("['pneumonia', 'infiltrates']", "PA"), ("['cardiomegaly']", "PA"),
             ("['normal']", "L"), ("['pneumonia']", "AP_horizontal"), ("['normal', 'pneumonia']", "AP")]  # fmt: skip
    rows = [f'{n},2168{n}_02-0{n}.png,{n % 3},20140915,{n},8456{n // 2},1930.0,F,POSTEROANTERIOR,{view},Manual,No,CR,1,'
            f'"torax , normal .",Physician,"{found}",[]' for n, (found, view) in enumerate(kinds)]  # fmt: skip
    content = {f"{n % 3}/2168{n}_02-0{n}.png": None for n in range(6)}
    content["PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"] = csv_of(PADCHEST_COLUMNS, *rows)
    source = understood(tmp_path, content)
    assert source.survey.layout == "padchest"
    assert labels(source) == {"NORMAL": 1, "PNEUMONIA": 2}
    assert [image.patient for image in source.images] == ["84560", "84560", "84562"]
    assert source.ignored == {"Labels names neither class": 1, "Projection is L": 1, "findings of both classes": 1}


VINDR_COLUMNS = (
    "image_id,rad_ID,No finding,Bronchitis,Brocho-pneumonia,Other disease,Bronchiolitis,Situs inversus,Pneumonia,"
    "Pleuro-pneumonia,Diagphramatic hernia,Tuberculosis,Congenital emphysema,CPAM,Hyaline membrane disease,"
    "Mediastinal tumor,Lung tumor"
)


VINDR_CXR_COLUMNS = (
    "image_id,rad_id,Aortic enlargement,Atelectasis,Lung Opacity,COPD,Lung tumor,Pneumonia,Tuberculosis,Other diseases,"
    "No finding"
)


@pytest.mark.parametrize("place", ["", "annotations/"])
def test_vindr_of_adults_is_not_taken_for_that_of_children(tmp_path, place):
    content = {f"train/{n:032x}.dicom": header("") for n in range(4)}
    rows = [f"{n:032x},R1{',0' * 5},{n % 2},0,0,{1 - n % 2}" for n in range(4)]
    content[f"{place}image_labels_train.csv"] = csv_of(VINDR_CXR_COLUMNS, *rows)
    for source in ("", f"{place}image_labels_train.csv"):
        with pytest.raises(InputError) as refused:
            understood(tmp_path, content, source)
        assert "PCXR" not in str(refused.value)
        asks = "is a table: if it lists" if not source else "no column holds names" if place else "rename image_id ("
        assert asks in str(refused.value)
    with pytest.raises(InputError, match="has no column 'Brocho-pneumonia'"):
        understand(tmp_path, SourceOptions(layout="vindr-pcxr"))


def vindr(place="", suffix=".dicom", n=4):
    content = {f"train/{n:032x}{suffix}": header("") if suffix == ".dicom" else None for n in range(n)}
    rows = [f"{n:032x},R1,{1 - n % 2},0,0,0,0,0,{n % 2}{',0' * 8}" for n in range(n)]
    return {**content, f"{place}image_labels_train.csv": csv_of(VINDR_COLUMNS, *rows)}


def test_a_table_in_a_folder_beside_its_images_finds_them_from_the_folder_above(tmp_path):
    source = understood(tmp_path, vindr("x/annotations/"))
    assert labels(source) == {"NORMAL": 2, "PNEUMONIA": 2}
    assert (
        "x/annotations/image_labels_train.csv: its paths lead to images from the folder of the source, not from its own"
        in source.survey.notes
    )
    nearer = {f"x/train/{n:032x}.dicom": header("") for n in range(2)}
    source = understood(tmp_path, nearer)
    assert {image.name.split("/")[0] for image in source.images} == {"x"}
    assert any("2 of 4 rows name images that are not there" in text for text in source.survey.warnings)
    source = understood(tmp_path, {f"x/train/{2:032x}.dicom": header("")})
    assert any("1 of 4 rows names an image that is not there" in text for text in source.survey.warnings)


def test_a_known_table_whose_images_have_another_suffix_says_so_when_given_itself(tmp_path):
    for source in ("", "image_labels_train.csv"):
        with pytest.raises(InputError) as refused:
            understood(tmp_path, vindr(suffix=".png"), source)
        assert "4 of 4 rows name images that are not there, the first train/" in str(refused.value)
        assert f"train/{0:032x}.png is like one of them: a description of your own" in str(refused.value)
        assert "path,label,patient" not in str(refused.value)


def test_vindr_pcxr(tmp_path):
    marks = [
        "1.0,0.0,0.0,0.0,0.0,0.0,0.0",
        "0.0,0.0,1.0,0.0,0.0,0.0,0.0",
        "0.0,0.0,0.0,0.0,0.0,0.0,1.0",
        "0.0,1.0,0.0,0.0,0.0,0.0,0.0",
    ]
    content = {}
    for split, start in (("train", 0), ("test", 10)):
        names = [f"{n:032x}" for n in range(start, start + 4)]
        content |= {f"{split}/{name}.dicom": header("") for name in names}
        rows = [f"{name},R1,{mark}{',0.0' * 8}" for name, mark in zip(names, marks, strict=True)]
        content[f"image_labels_{split}.csv"] = csv_of(VINDR_COLUMNS, *rows)
        content[f"annotations_{split}.csv"] = csv_of(
            "image_id,rad_ID,class_name,x_min", f"{names[1]},R1,Consolidation,1"
        )
    source = understood(tmp_path, content)
    assert source.survey.layout == "vindr-pcxr"
    assert labels(source) == {"NORMAL": 2, "PNEUMONIA": 4}
    assert splits(source) == {"train": 3, "test": 3}
    assert source.ignored == {"no finding of either class is marked": 2, "not an image": 2}


def test_a_layout_is_chosen_by_name(tmp_path):
    names = files("{}/{}.jpeg", ["NORMAL", "PNEUMONIA"], range(4))
    assert understood(tmp_path, names, layout="kermany").survey.layout == "kermany"
    assert understood(tmp_path, KERMANY, layout="folders").survey.layout == "folders"
    with pytest.raises(
        InputError, match=r"--layout kermanny: no such layout; use folders, chexpert, .* or a \.toml file"
    ):
        understood(tmp_path, [], layout="kermanny")


OWN = """
name = "ours"
title = "Our hospital"
negative = ["clear"]
positive = ["consolidation", "infiltrate"]

[[tables]]
file = "reads*.csv"
image = "{year}/{accession}.png"
label = "reading"
separator = "/"
patient = "{clinic}-{number}"
split = "part"
keep = { view = ["pa", "ap"] }
"""


def test_a_description_of_ones_own(tmp_path):
    reads, views, parts = ["clear", "infiltrate/device", "fracture"], ["pa", "lat"], ["training", "test"]
    rows = [f"201{n % 2},A{n},{reads[n % 3]},{views[n == 6]},K,{n // 2},{parts[n // 6]}" for n in range(12)]
    content = {f"201{n % 2}/A{n}.png": None for n in range(12)}
    content["reads 2020.csv"] = csv_of("year,accession,reading,view,clinic,number,part", *rows)
    (tmp_path / "own.toml").write_text(OWN)
    source = understood(tmp_path / "s", content, layout=str(tmp_path / "own.toml"))
    assert (source.survey.layout, source.survey.title) == ("ours", "Our hospital")
    assert labels(source) == {"NORMAL": 3, "PNEUMONIA": 4}
    assert splits(source) == {"train": 4, "test": 3}
    assert {image.patient for image in source.images} == {"k-0", "k-1", "k-2", "k-3", "k-4", "k-5"}
    assert source.ignored == {"reading names neither class": 4, "view is lat": 1}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("title", "titel"), "unknown key 'titel'; use homepage, marker, name"),
        (('name = "ours"', ""), "the key name is missing; add it"),
        (('image = "{year}/{accession}.png"', ""), "the key image is missing; add it"),
        (('["clear"]', '"clear"'), r"negative is 'clear'; it must be \[\"text\", \"text\"\]"),
        (('["clear"]', "[1, 2]"), r"negative is \[1, 2\]; it must be"),
        (
            ('{ view = ["pa", "ap"] }', '{ view = "pa" }'),
            r"keep is .*; it must be \{ column = \[\"text\", \"text\"\] \}",
        ),
        (
            ('split = "part"', 'split = "=training"'),
            "split is '=training'; it must be a column, or =train, =val or =test",
        ),
        (('split = "part"', "anywhere = 1"), "anywhere is 1; it must be true or false"),
        (
            ('title = "Our hospital"', 'title = "x"\nuncertain = "yes"'),
            'it must be "left_out" or "positive" or "negative"',
        ),
        (
            ('title = "Our hospital"', 'title = "x"\nrecognised_by_names = "("'),
            "recognised_by_names is no regular expression",
        ),
        (('split = "part"', 'lists = { dev = "a.txt" }'), r'lists is .*; it must be \{ split = "text" \}'),
        (
            ('title = "Our hospital"', "title = Our hospital"),
            r"is no TOML in line 3, column 9; docs/how-to/bring-your-own-xrays\.md has",
        ),
        (("[[tables]]", "[tables]"), r"tables must be written as \[\[tables\]\]"),
    ],
)
def test_a_wrong_description_is_one_clear_line(tmp_path, change, says):
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(*change))
    with pytest.raises(InputError, match=says) as caught:
        choose_description(str(path))
    assert str(caught.value).startswith(str(path))


def test_a_description_that_does_not_fit_names_the_column(tmp_path):
    (tmp_path / "own.toml").write_text(OWN)
    content = {
        "reads.csv": csv_of("year,accession,view,clinic,number,part", "2010,A1,pa,K,1,train"),
        "2010/A1.png": None,
    }
    with pytest.raises(InputError, match=r"reads\.csv: has no column 'reading'; found year, accession"):
        understood(tmp_path / "s", content, layout=str(tmp_path / "own.toml"))
    with pytest.raises(InputError, match="is no table of the layout"):
        understood(tmp_path / "s", {}, "reads.csv", layout=str(tmp_path / "own.toml"))
    row = "2010,A1,clear,pa,K,1,exam"
    content["reads.csv"] = csv_of("year,accession,reading,view,clinic,number,part", row)
    with pytest.raises(
        InputError,
        match=r"reads\.csv, line 2: unknown split 'exam' in the column part, which holds",
    ):
        understood(tmp_path / "s", content, layout=str(tmp_path / "own.toml"))


def own(tmp_path, content, change=("", "")):
    """The source of a description of one's own, changed in one place."""
    (tmp_path / "own.toml").write_text(OWN.replace(*change))
    return understood(tmp_path / "s", content, layout=str(tmp_path / "own.toml"))


COLUMNS = "year,accession,reading,view,clinic,number,part"


def reads(numbers, view="pa", reading=lambda n: ["clear", "infiltrate"][n % 2]):
    rows = [f"2010,A{n},{reading(n)},{view},K,{n // 2},{['train', 'test'][n > 5]}" for n in numbers]
    return csv_of(COLUMNS, *rows)


def test_all_tables_that_match_a_pattern_are_read(tmp_path):
    content = {f"2010/A{n}.png": None for n in range(9)}
    content |= {"reads a.csv": reads(range(5)), "reads b.csv": reads(range(3, 9))}
    source = own(tmp_path, content)
    assert len(source.images) == 9
    assert not source.ignored
    content["reads b.csv"] = reads(range(3, 9), reading=lambda n: "clear")
    source = own(tmp_path, content)
    assert source.ignored == {"tables disagree about the image": 1}  # A3, infiltrate in one and clear in the other
    assert len(source.images) == 8


def test_of_two_tables_of_one_name_the_outermost_is_read_with_a_warning(tmp_path):
    content = {
        "reads.csv": reads(range(4)),
        "old/reads.csv": reads(range(3)),
        **{f"2010/A{n}.png": None for n in range(4)},
    }
    source = own(tmp_path, content, ("reads*.csv", "reads.csv"))
    assert "reads.csv is there 2 times; only reads.csv is read, and old/reads.csv is not" in source.survey.warnings[0]


def test_keep_in_any_letter_case_and_when_nothing_is_kept(tmp_path):
    content = {f"2010/A{n}.png": None for n in range(4)} | {"reads.csv": reads(range(4), view="Pa")}
    assert len(own(tmp_path, content).images) == 4
    content["reads.csv"] = reads(range(4), view="frontal")
    with pytest.raises(InputError, match="4 left out: view is frontal; only rows are kept with view = pa or ap"):
        own(tmp_path, content)


def test_a_column_without_braces(tmp_path):
    content = {f"2010/A{n}.png": None for n in range(4)} | {"reads.csv": reads(range(4))}
    source = own(tmp_path, content, ('"{clinic}-{number}"', '"number"'))
    assert {image.patient for image in source.images} == {"0", "1"}
    with pytest.raises(InputError, match="has no column 'mrn'; found year, accession"):
        own(tmp_path, content, ('"{clinic}-{number}"', '"mrn"'))


def test_images_with_another_suffix_than_the_description_names_are_hinted_at(tmp_path):
    content = {"stage_2_train_labels.csv": csv_of("patientId,x,y,width,height,Target", "Ab-1,,,,,0", "Ab-2,,,,,1")}
    content |= {"png/ab-1.PNG": None, "png/ab-2.PNG": None}
    with pytest.raises(
        InputError, match=r"first Ab-1\.dcm; .*png/ab-1\.PNG is like one of them: a description of your own"
    ):
        understood(tmp_path, content)


def test_paths_that_are_wrong_in_letter_case_alone_are_said_so(tmp_path):
    content = {f"2010/a{n}.PNG": None for n in range(4)} | {"reads.csv": reads(range(4))}
    with pytest.raises(InputError, match=r"2010/a0\.PNG is one of them but for letter case; correct it in the table"):
        own(tmp_path, content)


def test_patients_of_a_table_with_images_of_both_classes_are_no_doubt(tmp_path):
    content = {f"2010/A{n}.png": None for n in range(4)} | {"reads.csv": reads(range(4))}
    source = own(tmp_path, content)
    assert not source.survey.remarks
    assert any(text.startswith("2 of 2 patients have images of both classes") for text in source.survey.notes)


def test_padchest_as_it_is_published_says_what_to_unpack(tmp_path):
    name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    with pytest.raises(InputError, match=rf"{name} is compressed: unpack it \(gunzip\)"):
        understood(tmp_path, {f"{n}/{n}.png": None for n in range(3)} | {name: b"\x1f\x8b"})
    with pytest.raises(InputError, match=rf"{name}: is packed; unpack it \(gunzip"):
        understand(tmp_path / name)


def test_nih_sample_is_recognised_by_its_columns(tmp_path):
    rows = [f"{n:08d}_000.png,{['No Finding', 'Pneumonia|Mass'][n % 2]},0,{n},031Y,M,PA" for n in range(4)]
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    content = {"sample_labels.csv": csv_of(head, *rows), **{f"images/{n:08d}_000.png": None for n in range(4)}}
    source = understood(tmp_path / "nih", content)
    assert (source.survey.layout, labels(source)) == ("nih-sample", {"NORMAL": 2, "PNEUMONIA": 2})
    twice = {f"sample/{name}": (tmp_path / "nih" / name).read_bytes() for name in content}
    source = understood(tmp_path / "nih", twice)
    assert labels(source) == {"NORMAL": 2, "PNEUMONIA": 2}
    assert source.ignored == {"second nested copy": 4}
    assert "sample_labels.csv is there 2 times with the same content; sample_labels.csv is read" in source.survey.notes
    assert not source.survey.remarks
    with pytest.raises(InputError, match="have one name, by which the table means one; keep one"):
        understood(tmp_path / "nih", {"sample/images/00000001_000.png": None})  # another image of that name
    names = files("{}/{}.png", ["NORMAL", "PNEUMONIA"], range(2))
    other = understood(tmp_path / "own", {**dict.fromkeys(names), "sample_labels.csv": csv_of("id,age", "1,2")})
    assert other.survey.layout == "folders"
