"""What folders say: classes, splits, what is left out and named, and what is asked about or refused."""

from __future__ import annotations

import re
import unicodedata

import pytest

from made_sources import an_image, csv_of, files, labels, splits, understood, write
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inspection import short_form
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.sources.source_options import SourceOptions

FOUR = range(4)
MASKS = "masks or the like, by the name of folder or file"
PLAIN = files("{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR)
EVEN = {"NORMAL": 4, "PNEUMONIA": 4}


@pytest.mark.parametrize(
    "names",
    [
        PLAIN,
        files("chest_xray/{}/{}.jpeg", ["normal", "pneumonia"], FOUR),
        files("pneumonia/{}/{}.jpeg", ["NORMAL", "PNEUMONIA"], FOUR),
        files("NORMAL/{}/{}.jpeg", ["NORMAL", "PNEUMONIA"], FOUR),
        files("{}/images/{}.jfif", ["NORMAL", "PNEUMONIA"], FOUR),
        files("{}/PA/{}", ["NORMAL", "PNEUMONIA"], FOUR),
        files("{}/x-rays_001/{}.JPG", ["Normal", "Pneumonia"], FOUR),
        files("Chest X-rays/DICOM files/{}/{}.jpe", ["NORMAL", "PNEUMONIA"], FOUR),
    ],
)
def test_ordinary_folders_are_read_without_a_question(tmp_path, names):
    source = understood(tmp_path, names)
    assert labels(source) == EVEN
    assert splits(source) == {"": 8}
    assert not source.survey.questions
    assert not source.ignored
    assert [text for text in source.survey.warnings if "tell no patient" not in text] == []


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (files("healthy_adults/{}.png", FOUR), "in the folder healthy_adults, which is no class"),
        (files("NORMAL (1)/{}.png", FOUR), "in the folder NORMAL (1), which is no class"),
        (files("Tuberculosis/{}/{}.png", ["a", "b"], [1, 2]), "in the folder Tuberculosis, which is no class"),
        (files("{}.png", FOUR), "beside the folders of the classes, in none of them"),
        (files("NORMAL/masks/{}.png", FOUR), MASKS),
        (files("PNEUMONIA/lung segmentation/{}.png", FOUR), MASKS),
        (files("NORMAL/{}_mask.png", FOUR), MASKS),
        (
            files("lungmask/{}/{}.png", ["NORMAL", "PNEUMONIA"], [1, 2]),
            "masks or the like, by the name of folder or file",
        ),
        (files("NORMAL/Lateral/{}.png", FOUR), "lateral or oblique views, by their folder"),
    ],
)
def test_what_is_no_class_is_left_out_and_named(tmp_path, more, reason):
    source = understood(tmp_path, [*PLAIN, *more])
    assert labels(source) == EVEN
    assert source.ignored == {reason: 4}
    assert any(reason in line and "4 files" in line for line in short_form(source))
    assert not source.survey.questions


def test_neighbours_are_warned_of_with_the_flags_that_use_them(tmp_path):
    source = understood(tmp_path, [*PLAIN, *files("COVID/{}.png", FOUR)])
    assert any("COVID (4 images); to use them" in text and "--positive" in text for text in source.survey.warnings)
    assert labels(understood(tmp_path, [], positive=("PNEUMONIA", "covid"))) == {"NORMAL": 4, "PNEUMONIA": 8}


@pytest.mark.parametrize("root", ["", "study/"])
def test_images_whose_class_no_folder_tells_are_warned_of_with_the_flags(tmp_path, root):
    names = files(root + "A/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR)
    source = understood(tmp_path, [*names, *files(root + "B/{}/{}.png", ["gesund", "Pneumonie"], range(9))])
    (text,) = [text for text in source.survey.warnings if "no folder tells their class" in text]
    assert f"{root}B/Pneumonie (9 images)" in text
    assert "--negative NAME" in text


@pytest.mark.parametrize("place", ["OCT/train", "eyes", "x/y/z"])
def test_a_class_without_its_counterpart_beside_it_is_another_data_set(tmp_path, place):
    names = files("chest_xray/{}/{}/{}.jpeg", ["train", "test"], ["NORMAL", "PNEUMONIA"], [1, 2])
    source = understood(tmp_path, [*names, *files(f"{place}/{{}}/{{}}.jpeg", ["NORMAL", "CNV", "DME"], FOUR)])
    assert labels(source) == EVEN
    assert sum(source.ignored.values()) == 12
    assert source.ignored[f"in {place}/NORMAL, which has no folder of the other class beside it"] == 4
    (text,) = [text for text in source.survey.warnings if "beside them" in text]
    assert text.startswith(
        f"left out, because no folder of the other class is beside them: {place}/NORMAL (4 images); they may"
    )
    assert "to use them, put one there, or pass a CSV" in text
    assert f"{place}/NORMAL" not in "".join(text for text in source.survey.warnings if "tells their class" in text)


def test_a_split_may_lack_a_class(tmp_path):
    source = understood(tmp_path, [*files("train/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR), "test/NORMAL/9.png"])
    assert splits(source) == {"train": 8, "test": 1}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{}/{}/{}.png", ["train", "val", "test"]),
        ("{}/{}/{}.png", ["training", "validation", "testing"]),
        ("{}/{}/{}.png", ["TRAIN", "Valid", "Test Set"]),
        ("{}/{}/{}.png", ["train_images", "dev", "test images"]),
        ("x/{}/data/{}/{}.png", ["Training Data", "ValidationData", "tst"]),
        ("test/{}/{}/{}.png", ["train", "val", "test"]),
    ],
)
def test_words_for_splits(tmp_path, pattern, words):
    source = understood(tmp_path, files(pattern, words, ["NORMAL", "PNEUMONIA"], FOUR))
    assert splits(source) == {"train": 8, "val": 8, "test": 8}
    assert source.validation == "given"
    assert not source.survey.questions


SPELT = " are taken for one folder, as only the spelling differs"


@pytest.mark.parametrize(
    ("folders", "options", "told"),
    [
        (["NORMAL", "normal", "PNEUMONIA"], {}, ["NORMAL (3 images), normal (3 images)"]),
        (["sağlıklı", "SAĞLIKLI", "HASTA"], {"negative": ("Sağlıklı",), "positive": ("hasta",)},
         ["SAĞLIKLI (3 images), sağlıklı (3 images)"]),
        (["İyi", "iyi", "KÖTÜ"], {"negative": ("IYI",), "positive": ("kötü",)},
         ["iyi (3 images), İyi (3 images)"]),
        (["NORMAL", "PNEUMONIA"], {}, []),
        (["train/NORMAL", "test/normal", "train/PNEUMONIA", "test/PNEUMONIA"], {}, []),
    ],
)  # fmt: skip
def test_spellings_of_a_class_side_by_side_are_told(tmp_path, folders, options, told):
    source = understood(tmp_path, files("{}/{}.png", folders, range(3)), **options)
    assert set(labels(source)) == {"NORMAL", "PNEUMONIA"}
    assert [text for text in source.survey.notes if "spelling" in text] == [f"{each}{SPELT}" for each in told]


def test_splits_below_the_label(tmp_path):
    source = understood(tmp_path, files("{}/{}/{}.png", ["NORMAL", "PNEUMONIA"], ["train", "test"], FOUR))
    assert {image.official_split for image in source.images if "/test/" in image.name} == {"test"}
    assert splits(source) == {"train": 8, "test": 8}


def test_two_splits_in_one_path_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"train/NORMAL/test/1\.png: its folders name two splits, test and train"):
        understood(tmp_path, [*files("train/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR), "train/NORMAL/test/1.png",
                              "test/NORMAL/2.png", "test/PNEUMONIA/2.png"])  # fmt: skip


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (files("{}/{}/{}.png", ["entrenamiento", "prueba"], ["NORMAL", "PNEUMONIA"], FOUR), "2 places .* prueba"),
        (files("{}/{}/{}.png", ["fold1", "fold2", "fold3"], ["NORMAL", "PNEUMONIA"], FOUR), "3 places .* fold1"),
        (files("{}/{}/{}.png", ["hospital A", "B"], ["NORMAL", "PNEUMONIA"], FOUR), "2 places .* hospital A"),
        (
            files("{}_{}/{}/{}.png", ["train", "val"], [0, 1], ["NORMAL", "PNEUMONIA"], FOUR),
            "folders name splits with numbers, as those of folds have: train_0, train_1, val_0, val_1",
        ),
        (
            files("{}/{}_split{}/{}.png", ["NORMAL", "PNEUMONIA"], ["train", "test"], [1, 2], FOUR),
            "numbers, as those of folds have: test_split1, test_split2, train_split1, train_split2",
        ),
        (files("{}/{}/{}.png", ["2019", "external"], ["NORMAL", "PNEUMONIA"], FOUR), "2 places .* external"),
        (files("{}/{}/{}.png", ["NORMAL", "PNEUMONIA"], ["fold1", "fold2"], FOUR), "inside a class .* NORMAL/fold1"),
        (files("{}/{}/{}.png", ["NORMAL", "PNEUMONIA"], ["2018", "2019"], FOUR), "inside a class .* NORMAL/2018"),
        (files("{}/{}/{}.png", ["NORMAL", "PNEUMONIA"], ["holdout", "rest"], FOUR), "inside a class .* NORMAL/holdout"),
        (files("{}/{}/{}.png", ["NORMAL", "PNEUMONIA"], ["holdout"], FOUR), "inside a class .* NORMAL/holdout"),
        ([*PLAIN, *files("NORMAL/gt/{}.png", FOUR)], r"inside a class .* NORMAL/gt \(4 images\)"),
        ([*PLAIN, *files("NORMAL/rejected/p{}/1.png", range(20))], "inside a class .* NORMAL/rejected"),
        ([*PLAIN, *files("PNEUMONIA/NORMAL/{}.png", FOUR)], "inside a class .* PNEUMONIA/NORMAL"),
        ([*PLAIN, *files("NORMAL/{}/{}.png", ["virus", "bacteria"], FOUR)], "inside a class .* NORMAL/virus"),
        ([*PLAIN, *files("NORMAL/Viral Pneumonia/{}.png", FOUR)], "inside a class .* NORMAL/Viral Pneumonia"),
        (
            [*PLAIN, *files("train/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR)],
            "8 images of 16, the first NORMAL/0.png, are in no split",
        ),
    ],
)
def test_folders_that_are_not_understood_are_asked_about(tmp_path, names, says):
    source = understood(tmp_path, names)
    assert len(source.survey.questions) == 1
    with pytest.raises(InputError, match=says):
        open_source(tmp_path)
    assert len(open_source(tmp_path, SourceOptions(yes=True)).images) == len(names)


@pytest.mark.parametrize("name", ["Pneumonia-", "-PNEUMONIA", "Pneumonia -"])
def test_a_sign_in_the_name_of_a_folder_makes_it_another_class(tmp_path, name):
    source = understood(tmp_path, [*PLAIN, *files("{}/{}.png", [name], FOUR)])
    assert labels(source) == EVEN
    assert source.ignored == {f"in the folder {name}, which is no class": 4}


def test_split_words_in_the_names_of_classes(tmp_path):
    names = files("{}/{}.png", ["train_normal", "train_pneumonia", "test_normal", "test_pneumonia"], FOUR)
    with pytest.raises(InputError, match=r"the images are in test_normal \(4 images\), .*--positive NAME"):
        understood(tmp_path, names)
    flags = {"negative": ("train_normal", "test_normal"), "positive": ("train_pneumonia", "test_pneumonia")}
    assert any("words for splits" in text for text in understood(tmp_path, [], **flags).survey.questions)


@pytest.mark.parametrize(
    ("folders", "positive", "negative"),
    [
        (["normal", "opacity"], ["opacity"], []),
        (["NORMAL", "BACTERIA", "VIRUS"], ["bacteria", "virus"], []),
        (["0", "1"], ["1"], ["0"]),
        (["class_0", "class_1"], ["class-1"], ["class 0"]),
        (["sano", "neumonía"], ["NEUMONÍA"], ["sano"]),
        (["No Finding", "COVID", "Lung_Opacity"], ["COVID", "Lung Opacity"], ["no_finding"]),
        (["正常", "肺炎"], ["肺炎"], ["正常"]),
    ],
)
def test_other_words_for_classes_are_named_and_mapped(tmp_path, folders, positive, negative):
    names = files("train/{}/{}.png", folders, FOUR)
    with pytest.raises(InputError, match="no folders NORMAL and PNEUMONIA side by side") as caught:
        understood(tmp_path, names)
    assert all(f"{folder} (4 images)" in str(caught.value) for folder in folders)
    assert "--positive NAME... --negative NAME..." in str(caught.value)
    source = understood(tmp_path, [], positive=tuple(positive), negative=tuple(negative))
    assert labels(source) == {"NORMAL": 4, "PNEUMONIA": 4 * len(positive)}
    assert not source.survey.questions


def test_a_class_word_that_nothing_is_called_is_asked_about(tmp_path):
    source = understood(tmp_path, PLAIN, positive=("PNEUMONIA", "Vrius"))
    assert "no folder or label is named 'Vrius'" in source.survey.questions[0]
    with pytest.raises(InputError, match="'a' is a name of both classes: --negative is a and --positive is A; give"):
        understood(tmp_path, [], positive=("A",), negative=("a",))
    with pytest.raises(InputError, match="'normal' is a name of both classes: --negative is NORMAL and --positive is"):
        understood(tmp_path, [], positive=("Normal",))


def test_classes_apart_are_named_with_their_places(tmp_path):
    with pytest.raises(InputError, match=r"but apart: .*p1/NORMAL \(1 image\).*put these folders side by side"):
        understood(tmp_path, ["p1/NORMAL/1.png", "p2/PNEUMONIA/2.png", "p3/NORMAL/3.png"])


def test_classes_inside_a_class_are_refused(tmp_path):
    inner = files("PNEUMONIA/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR)
    with pytest.raises(InputError, match="PNEUMONIA holds folders of both classes and lies in PNEUMONIA, a class"):
        understood(tmp_path, [*PLAIN, *inner])


def test_only_an_equal_file_nested_deeper_is_a_second_copy(tmp_path):
    same, other = an_image(), an_image()
    write(tmp_path, {"NORMAL/1.png": same, "PNEUMONIA/2.png": other})
    write(tmp_path / "clinic", {"NORMAL/1.png": same, "PNEUMONIA/2.png": other})
    assert open_source(tmp_path).ignored == {"second nested copy": 2}
    write(tmp_path, {"clinic/NORMAL/1.png": same[::-1]})  # of the same size
    assert any("2 places" in text for text in understood(tmp_path, []).survey.questions)


def test_a_table_inside_labelled_folders_is_pointed_out(tmp_path):
    source = understood(tmp_path, {**dict.fromkeys(PLAIN), "my labels.csv": "file;label;patient\n"})
    assert any(f"pass --source '{tmp_path}/my labels.csv'" in text for text in source.survey.warnings)
    (tmp_path / "other").mkdir()
    with pytest.raises(
        InputError, match=r"side by side, but t\.csv lists images with labels; .*pass --source .*t\.csv"
    ):
        understood(tmp_path / "other", {"a.png": None, "t.csv": "path,label\na.png,1\n"})


def test_of_many_tables_those_nearest_to_the_top_are_looked_at_and_the_rest_is_said(tmp_path):
    many = {f"boxes/{number:02}.csv": "x,y\n" for number in range(25)}
    source = understood(tmp_path, {**dict.fromkeys(PLAIN), **many, "z.csv": "path,label\n"})
    assert any("only 20 of 26 tables" in text for text in source.survey.warnings)
    assert any("z.csv lists images with labels" in text for text in source.survey.warnings)


SPLIT = files("{}/{}/{}.png", ["train", "test"], ["NORMAL", "PNEUMONIA"], FOUR)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([*files("train/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR), *files("test/{}/{}.png", ["well", "ill"], FOUR)],
         r"no folder NORMAL or PNEUMONIA holds the images of a split, or of one class in it: test/ill \(4 images\)"),
        ([*files("train/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR), *files("test/{}/1.png", ["PNEUMONIA", "well"])],
         r"or of one class in it: test/well \(1 image\)"),
        ([*files("d/train/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR), *files("d/val/{}.png", FOUR)],
         r"no folder NORMAL or PNEUMONIA holds the images of a split, or of one class in it: d/val \(4 images\)"),
        (files("{}/{}_{}.png", ["NORMAL", "PNEUMONIA"], ["train", "val"], FOUR),
         "names of files hold words for splits, which are not read there: train, val"),
        ([*SPLIT, *files("test - Copy/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR)],
         "files of the same names are in several folders: .*test - Copy"),
        (files("{}/{}/{}.png", ["256x256", "images 512 x 512"], ["NORMAL", "PNEUMONIA"], FOUR)
         + files("images/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR), "in several folders: .*images 512 x 512"),
        (files("{}/{}px/{}.png", ["NORMAL", "PNEUMONIA"], [256, 512], FOUR), "in several folders: 256px"),
        (files("Q{}/{}/{}.png", range(6), ["NORMAL", "PNEUMONIA"], [1]), "6 places, which may be patients: Q0"),
    ],
)  # fmt: skip
def test_what_hides_a_split_a_copy_or_a_patient_is_asked_about(tmp_path, names, says):
    assert re.search(says, understood(tmp_path, names).survey.questions[0])


@pytest.mark.parametrize(
    "names",
    [
        [*SPLIT, *files("eyes/train/{}/{}.png", ["CNV", "DME"], FOUR)],
        [*SPLIT, *files("val/masks/{}.png", FOUR)],
        files("{}/test_{}.png", ["NORMAL", "PNEUMONIA"], FOUR),
        files("train (1)/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR),
        files("images_{}/{}/{}.png", ["001", "002"], ["NORMAL", "PNEUMONIA"], FOUR),
    ],
)
def test_ordinary_neighbours_of_splits_are_not_asked_about(tmp_path, names):
    assert not understood(tmp_path, names).survey.questions


def test_lateral_views_are_left_out_by_the_names_of_files(tmp_path):
    lateral = ["NORMAL/1_lateral.png", "PNEUMONIA/view2_LAT.png", "NORMAL/p3-Lateral-1.png", "NORMAL/p4_seitlich.png"]
    source = understood(tmp_path, [*PLAIN, *lateral, "NORMAL/RL_7.png", "NORMAL/bilateral.png", "NORMAL/Latimer.png"])
    assert source.ignored == {"lateral or oblique views, by the name of the file": 4}


def test_all_words_of_a_name_count_wherever_it_has_dots(tmp_path):
    more = files("{}/{}.{}", ["NORMAL", "PNEUMONIA"], ["1.2.84", "7"], ["lateral.png", "seg.dcm", "lateral (1).png"])
    source = understood(tmp_path, [*PLAIN, *more, "NORMAL/9_jpg.rf.a1Mask7.jpg"])
    assert source.ignored == {MASKS: 4, "lateral or oblique views, by the name of the file": 8}
    assert "NORMAL/9_jpg.rf.a1Mask7.jpg" in {image.name for image in source.images}


@pytest.mark.parametrize(
    ("pattern", "ends", "says"),
    [
        ("{}/{}_{}.png", ["PA", "L"], r"end with views that are not frontal: l \(8 images\)"),
        ("{}/{}-{}.png", ["F", "L"], "end with views"),
        ("{}/pt{}{}.png", ["", "_LL"], r"the end or the beginning: pt0_LL \(8 such files\)"),
        ("{}/{}{}.png", ["", "_annotated"], r"0_annotated \(8 such files\)"),
        ("{}/{}_{}.png", ["chest", "hand"], "the names of 8 files, such as NORMAL/0_hand.png, .* another body part"),
        ("{}/{}_{}.png", ["xray", "ct"], "another modality"),
        ("{}/{}_{}.png", ["inspiration", "side"], r"0_inspiration \(8 such files\), 0_side \(8 such files\)"),
        ("{}/n{}{}.png", ["", "_rot90", "_rot180"], r"n0_rot180 \(16 such files\)"),
        ("{}/n{}{}.png", ["", "_aug1"], r"n0_aug1 \(8 such files\)"),
        ("{}/n{}{}.png", ["", "_visit2", "_scan_3"], ""),
        (
            "{}/{}.{}",
            ["png", "jpg"],
            "8 pictures may be there in several formats, such as NORMAL/0.jpg and NORMAL/0.png",
        ),
        ("{}/1.2.840.{}.{}", ["7", "8"], ""),
        ("{}/{}_{}.png", ["PA", "AP"], ""),
        ("{}/{}_{}.png", ["bacteria", "virus"], ""),
        ("{}/{}_{}.png", ["a", "b"], ""),
        ("{}/{}_{}.png", ["L", "R"], ""),  # of a cut picture, or anything
        ("{}/hand_labelled_{}_{}.png", ["1", "2"], ""),
        ("{}/{}{}.png", ["x9lat7qq2", "k8hand3jj1"], ""),  # chance in a code
    ],
)
def test_views_parts_and_copies_in_the_names_of_files_are_asked_about(tmp_path, pattern, ends, says):
    questions = understood(tmp_path, files(pattern, ["NORMAL", "PNEUMONIA"], FOUR, ends)).survey.questions
    assert [bool(re.search(says, text)) for text in questions] == [True] * bool(says)


@pytest.mark.parametrize(("begin", "word"), [("Copy of ", "Copy"), ("aug_{}_", "aug"), ("inv-", "inv"), ("PA_", "")])
def test_words_before_the_name_of_another_file_are_asked_about(tmp_path, begin, word):
    names = ["x1", "x2", "12", "x_4"]
    copies = [f"PNEUMONIA/{begin.format(n)}{name}.png" for n, name in enumerate(names)]
    questions = understood(tmp_path, [*PLAIN, *(f"PNEUMONIA/{name}.png" for name in names), *copies]).survey.questions
    assert [re.search(rf"beginning: {word}.* \(4 such files\)", text) is not None for text in questions] == (
        [True] if word else []
    )


@pytest.mark.parametrize("places", [["2019", "2020"], ["hospital_A", "hospital_B"], ["site 1/2020", "site 2/2021"]])
def test_years_and_sites_that_hold_the_classes_are_one_source(tmp_path, places):
    source = understood(tmp_path, files("{}/{}/{}.png", places, ["NORMAL", "PNEUMONIA"], FOUR))
    assert labels(source) == {"NORMAL": 8, "PNEUMONIA": 8}
    assert not source.survey.questions
    assert source.survey.notes[0].startswith("the classes lie in 2 years or sites, which are read as one source: ")


def test_a_folder_of_a_class_in_one_of_the_same_name(tmp_path):
    source = understood(tmp_path, files("NORMAL/NORMAL/{}.png", FOUR) + files("PNEUMONIA/Pneumonia/{}.png", FOUR))
    assert labels(source) == EVEN
    assert not source.survey.questions


def test_much_of_a_class_in_files_that_are_not_read_is_warned_of(tmp_path):
    content = {f"NORMAL/scans/{n}.tif": b"II*\0" + bytes(600) for n in range(9)}
    source = understood(tmp_path, {**dict.fromkeys(PLAIN), **content})
    says = "left out in folders of NORMAL: 9 files (TIFF images, which are not read; convert them to PNG); read: 4"
    assert says in source.survey.warnings
    source = understood(tmp_path / "one", {**dict.fromkeys(PLAIN), "NORMAL/9.bmp": b"BM" + bytes(600)})
    assert any("in folders of NORMAL: 1 file (BMP images" in text for text in source.survey.warnings)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_folders_and_tables_are_understood_however_umlauts_are_composed(tmp_path, form):
    names = [unicodedata.normalize(form, f"{label}/bild_ü{n}.png")
             for label in ("unauffällig", "Lungenentzündung") for n in FOUR]  # fmt: skip
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    words = {"negative": ("unauffällig",), "positive": (unicodedata.normalize(other, "Lungenentzündung"),)}
    assert labels(understood(tmp_path, names, **words)) == EVEN
    rows = [f"{name},{name.split('/')[0]},{n}" for n, name in enumerate(names)]
    table = unicodedata.normalize(other, csv_of("path,label,patient", *rows))
    found = understood(tmp_path, {"t.csv": table}, "t.csv", **words)
    assert labels(found) == EVEN
    assert found.reader.read(found.images[0])


def test_spreadsheets_are_no_archives_and_masks_are_no_images_of_a_folder(tmp_path):
    content = dict.fromkeys([*PLAIN, *files("COVID/{}/{}.png", ["images", "masks"], FOUR)])
    source = understood(tmp_path, {**content, "COVID.metadata.xlsx": b"PK\3\4"})
    assert source.ignored["a spreadsheet, which is not read; save it as CSV"] == 1
    assert not any("archives" in text for text in source.survey.warnings)
    assert any("neither NORMAL nor PNEUMONIA: COVID (4 images);" in text for text in source.survey.warnings)


def test_images_that_lie_directly_in_the_folder_are_said_to(tmp_path):
    with pytest.raises(InputError, match=r"the 4 images lie directly in it; give the folder above if it has"):
        understood(tmp_path, dict.fromkeys(files("{}.png", FOUR)))


def test_where_no_classes_are_found_tables_and_spreadsheets_are_named(tmp_path):
    content = dict.fromkeys(files("DICOM/{}/{}/{}.png", ["a", "b"], ["images", "masks"], FOUR))
    content |= {"Befunde.csv": "Nr;Datei;Befund\n", "Befunde.xlsx": b"PK\3\4"}
    with pytest.raises(InputError) as caught:
        understood(tmp_path, content)
    text = str(caught.value)
    assert (
        "the images are in a (4 images), b (4 images); Befunde.csv (its columns are Nr, Datei, Befund) is a table"
        in text
    )
    assert "Befunde.xlsx is a spreadsheet: if it lists the images, save it as CSV" in text


@pytest.mark.parametrize("masks", ["lung masks", "overlays"])
@pytest.mark.parametrize("root", ["Lung Segmentation Data", "{}/Lung Segmentation Data"])
def test_a_mask_word_in_a_folder_of_all_images_makes_none_a_mask(tmp_path, root, masks):
    names = files(f"{root.format('a')}/Train/{{}}/{{}}/{{}}.png", ["NORMAL", "PNEUMONIA"], ["images", masks], FOUR)
    source = understood(tmp_path, names)
    assert labels(source) == EVEN
    assert source.ignored == {MASKS: 8}
    assert not source.survey.questions


def test_several_roots_with_a_mask_word_are_told_apart_by_the_folders_in_them(tmp_path):
    roots = ["Lung Segmentation", "Infection Segmentation"]
    names = files("{}/{}/{}/{}.png", roots, ["NORMAL", "PNEUMONIA"], ["images", "masks"], FOUR)
    assert understood(tmp_path, names).ignored == {MASKS: 16}


@pytest.mark.parametrize("folder", ["gradcam", "Chest CT", "masks", "mri/train"])
@pytest.mark.parametrize("pattern", ["{folder}/{{}}/{{}}.png", "{{}}/{folder}/{{}}.png"])
def test_images_that_are_all_named_like_no_xrays_are_asked_about(tmp_path, folder, pattern):
    source = understood(tmp_path, files(pattern.format(folder=folder), ["NORMAL", "PNEUMONIA"], FOUR))
    assert labels(source) == EVEN
    assert any(re.search("takes them for (chest )?X-rays", text) for text in source.survey.questions)


def test_the_place_beside_one_that_is_not_understood_is_named(tmp_path):
    names = files("chest_xray/{}/{}.png", ["NORMAL", "PNEUMONIA"], FOUR)
    more = files("other/{}/x{}.png", ["NORMAL", "PNEUMONIA"], FOUR)
    (question,) = understood(tmp_path, [*names, *more]).survey.questions
    assert "chest_xray (8 images), other (8 images)" in question
    (question,) = understood(
        tmp_path / "flat", [name.removeprefix("chest_xray/") for name in names] + more
    ).survey.questions
    assert "the top folder (8 images), other (8 images)" in question


@pytest.mark.parametrize(
    ("patterns", "named"),
    [
        (["chest_xray/train/{}/{}.png", "chest_xray_224/train/{}/{}.png"], "chest_xray (8 images), chest_xray_224"),
        (["{}/images_224/{}.png", "{}/images_512/{}.png"], "images_224 (8 images), images_512"),
        (["raw/{}/{}.png", "images/{}/{}.jpg"], "raw (8 images)"),
        (["{}/png/{}.png", "{}/jpg/{}.jpg"], "jpg (8 images), png (8 images)"),
        (["split1/train/{}/{}.png", "split2/test/{}/{}.png"], "split1 (8 images), split2"),
        (["{}/{}.png", "{}/lungs/{}.png"], "in no such folder (8 images), lungs"),
    ],
)
def test_files_of_one_name_in_folders_that_may_be_versions_are_asked_about(tmp_path, patterns, named):
    names = [name for pattern in patterns for name in files(pattern, ["NORMAL", "PNEUMONIA"], FOUR)]
    (question,) = understood(tmp_path, names).survey.questions
    assert question.startswith("files of the same names are in several folders: ")
    assert named in question


@pytest.mark.parametrize(
    "names",
    [
        [
            *files("{}/images_001/{}.png", ["NORMAL", "PNEUMONIA"], FOUR),
            *files("{}/images_002/b{}.png", ["NORMAL", "PNEUMONIA"], FOUR),
        ],
        files("{}/images/{}/{}.png", ["train", "test"], ["NORMAL", "PNEUMONIA"], FOUR),
        files("{}/{}/{}.png", ["NORMAL", "PNEUMONIA"], ["AP", "PA"], FOUR),
    ],
)
def test_folders_of_different_images_are_no_versions(tmp_path, names):
    assert not understood(tmp_path, names).survey.questions


@pytest.mark.parametrize("pattern", ["{}/{}_{}.png", "{}/img-{}-{}.png", "{}/{}.{}.png"])
@pytest.mark.parametrize("splits_named", [["train", "test"], ["", "test"]])
def test_split_words_anywhere_in_the_names_of_files_are_asked_about(tmp_path, pattern, splits_named):
    names = files(pattern, ["NORMAL", "PNEUMONIA"], FOUR, splits_named)
    (question,) = understood(tmp_path, names).survey.questions
    assert question.startswith("names of files hold words for splits, which are not read there: test")


def test_broken_downloads_backups_and_folders_of_systems_are_left_out(tmp_path):
    junk = ["NORMAL/y.png.part", "NORMAL/z.png~", "PNEUMONIA/x.jpg.crdownload"]
    source = understood(tmp_path, [*PLAIN, *junk, "NORMAL/@eaDir/1.png/THUMB.jpg", "$RECYCLE.BIN/NORMAL/1.png"])
    assert labels(source) == EVEN
    assert source.ignored == {
        "a broken download or a backup copy, by its name": 3,
        "left by an operating system": 2,
    }


def test_the_folders_shown_for_classes_are_no_splits(tmp_path):
    names = files("{}/{}/{}.png", ["entrenamiento", "prueba"], ["NORMAL", "NEUMONIA"], FOUR)
    with pytest.raises(InputError, match=r"the images are in NEUMONIA \(8 images\), NORMAL \(8 images\); name the"):
        understood(tmp_path, names)


def test_all_tables_that_list_images_are_named(tmp_path):
    tables = {f"{split}/metadata.csv": f"file_name,label\n{split}.png,1\n" for split in ("train", "test")}
    with pytest.raises(InputError, match=r"test/metadata\.csv, train/metadata\.csv list images .* a column split and"):
        understood(tmp_path, {**tables, "train/train.png": None, "test/test.png": None})
    one_hot = "filename, NORMAL, PNEUMONIA\n"
    with pytest.raises(InputError, match=r"_classes\.csv lists images with labels"):
        understood(tmp_path / "other", {"train/_classes.csv": one_hot, "train/1.png": None})


def test_folders_that_are_splits_are_not_offered_as_classes(tmp_path):
    names = files("{}/{}_{}.png", ["train", "test"], ["normal", "pneumonia"], FOUR)
    with pytest.raises(InputError, match=r"splits and no classes; t\.csv .* is a table.*; else put those"):
        understood(tmp_path, {**dict.fromkeys(names), "t.csv": "X_ray_image_name,Label\n"})


def test_options_without_effect_are_not_passed_over(tmp_path):
    with pytest.raises(InputError, match="--uncertain has no effect here"):
        understood(tmp_path, PLAIN, uncertain="positive")
    (question,) = understood(tmp_path, [], layout="kermany").survey.questions
    assert question.startswith("nothing in it is named as Paediatric chest X-rays of Kermany")


def test_classes_of_which_all_images_are_left_out_say_why(tmp_path):
    names = [*files("NORMAL/{}_lateral.png", range(4)), *files("PNEUMONIA/{}_lateral.png", range(4))]
    with pytest.raises(InputError, match="all 8 images in folders of the classes are left out as lateral or oblique"):
        understood(tmp_path, names)


@pytest.mark.parametrize("name", ["", " ", "_", "..."])
def test_an_empty_name_of_a_class_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot be the name of a class; give letters or digits"):
        understood(tmp_path, PLAIN, positive=("PNEUMONIA", name))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("exclude.txt", "NORMAL/1.png\n"),
        ("test.txt", "1\n2\n3\n"),
        ("lists/train.lst", "p7 1.png positive rsna\np8 2.png negative rsna\n"),
        ("splits.json", '{"train": ["PNEUMONIA/1.png", "2.png"], "val": ["0.png"]}'),
        ("annotations.json", '{"info": {"year": "2020"}, "images": [{"id": 7, "file_name": "0.png", "width": 9}]}'),
    ],
)
def test_a_text_that_names_images_and_is_not_read_is_told(tmp_path, name, text):
    source = understood(tmp_path, dict.fromkeys(PLAIN) | {name: text})
    assert labels(source) == EVEN
    assert [text for text in source.survey.warnings if text.startswith(f"{name} names images and is not read")]


def test_a_few_bare_numbers_in_a_text_name_no_images(tmp_path):
    source = understood(tmp_path, dict.fromkeys(PLAIN) | {"classes.txt": "1\n77\n"})
    assert not [text for text in source.survey.warnings if "classes.txt" in text]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.txt", "X-rays of a hospital,\nsuch as 1.png,\nunder a licence,\nwith no more\nto be said\n"),
        ("labels/1.txt", "0 0.5 0.5 0.1 0.1\n"),
        ("classes.txt", "NORMAL\nPNEUMONIA\n"),
        ("meta.json", '{"title": "X-rays", "1": 1}'),
        ("empty.txt", ""),
        ("book.txt", b"PK\x03\x04 1.png"),
    ],
)
def test_other_texts_are_not_told(tmp_path, name, text):
    warnings = understood(tmp_path, dict.fromkeys(PLAIN) | {name: text}).survey.warnings
    assert not [text for text in warnings if "names images" in text]


def test_how_many_texts_are_searched_is_told_where_there_are_more(tmp_path):
    told = understood(tmp_path, dict.fromkeys(PLAIN) | {f"labels/{n}.txt": "0 0.5" for n in range(21)}).survey.notes
    assert "only 20 of 21 text files were searched for names of images" in told


@pytest.mark.parametrize(("train", "told"), [("dev", True), ("train", False), ("val", False)])
def test_a_folder_dev_that_is_read_as_validation_is_told_where_none_is_for_training(tmp_path, train, told):
    source = understood(tmp_path, files("{}/{}/{}.png", [train, "test"], ["NORMAL", "PNEUMONIA"], FOUR))
    assert any(text.startswith("a folder dev is read as validation") for text in source.survey.notes) == told
