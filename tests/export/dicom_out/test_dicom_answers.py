"""Answers as DICOM: valid by a foreign validator, in the study of their image, and of nothing else in its header."""

import io
import shutil
import subprocess

import numpy as np
import pytest

from brightness_model import write_model
from export import Classifier
from export.predict import Predict, predict
from pneumo_tfds.program.errors import InputError
from radiographs import LEVELS, PRIVATE, radiograph

pydicom = pytest.importorskip("pydicom", reason="needs the dicom-out extra")
pytest.importorskip("highdicom", reason="needs the dicom-out extra")

from export.dicom_out.dicom_answers import DicomAnswers  # noqa: E402
from export.dicom_out.dicom_identity import COPIED, read_identity  # noqa: E402

WARNING = "RESEARCH ONLY - NOT FOR DIAGNOSIS"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx", heatmap=True)


@pytest.fixture
def run(model, tmp_path, capsys):
    """Predict files with `--dicom-out out`; give exit code, standard error and the data sets by file name."""

    def run(files, out=tmp_path / "out", model=model, **flags):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        images = tuple(str(tmp_path / name) for name in files)
        code = predict(Predict(model=model, images=images, threads=1, json=tmp_path / "j", dicom_out=out, **flags))
        found = {path.name: pydicom.dcmread(path) for path in sorted(out.iterdir())} if out.exists() else {}
        return code, capsys.readouterr().err, found

    return run


def by_kind(found):
    reports = [each for each in found.values() if each.Modality == "SR"]
    return reports, [each for each in found.values() if each.Modality == "OT"]


def said(item):
    """Every value in the tree of a report, by the meaning of its name."""
    values = {}
    for child in item.get("ContentSequence", ()):
        name = child.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in child else "image"
        if child.ValueType == "NUM":
            value = float(child.MeasuredValueSequence[0].NumericValue)
        elif child.ValueType == "CODE":
            value = child.ConceptCodeSequence[0].CodeMeaning
        elif child.ValueType == "IMAGE":
            value = child.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        else:
            value = child.get("TextValue") or child.get("UID")
        values.setdefault(name, []).append(value)
        for inner, more in said(child).items():
            values.setdefault(inner, []).extend(more)
    return values


@pytest.mark.parametrize("answer", LEVELS)
def test_report_says_the_answer_and_only_pneumonia_is_a_finding(run, model, answer):
    code, _, found = run({"a": radiograph(1, answer)})
    (report,), captures = by_kind(found)
    values = said(report)
    expected = Classifier(model).predict_bytes(radiograph(1, answer))
    assert (code, values["Answer"], expected.decision) == (0, [answer], answer)
    assert values.get("Finding") == (["Pneumonia"] if answer == "PNEUMONIA" else None)
    assert values["Familiarity of the image to the model"] == [pytest.approx(expected.familiarity, rel=1e-4)]
    assert values["Source of Measurement"] == ["1.2.3.1.1.1"]
    assert values["Algorithm Parameters"][0] == f"SHA-256 of the model {DicomAnswers(Classifier(model)).model.sha256}"
    assert values["Comment"][0].startswith(WARNING)
    assert tuple(values["Comment"][1:]) == expected.reasons
    assert bool(values["Comment"][1:]) == (answer in ("UNCERTAIN", "UNSUITABLE"))
    if answer == "UNSUITABLE":
        assert "Probability of pneumonia" not in values
        assert captures == []
    else:
        assert values["Probability of pneumonia"] == [pytest.approx(expected.probability, rel=1e-4)]
        assert len(captures) == 1


def test_capture_has_the_heat_map_under_a_warning(run):
    _, _, found = run({"a": radiograph(1)})
    _, (capture,) = by_kind(found)
    pixels = capture.pixel_array
    assert pixels.shape[1:] == (1024, 3)
    band = pixels[: pixels.shape[0] - 1024]
    assert 60 < len(band) < 200
    assert (band.max(axis=2) == 0).mean() > 0.6
    yellow = (band[..., 0] > 200) & (band[..., 1] > 150) & (band[..., 2] < 60)
    assert yellow.sum() > 1000
    coloured = np.ptp(pixels[len(band) :].astype(int), axis=2) > 20
    assert 0.02 < coloured.mean() < 0.9
    assert WARNING in capture.SeriesDescription
    assert "the heat map outlines no lesion" in capture.DerivationDescription
    lit = band.max(axis=(1, 2)) > 0
    assert (np.diff(lit.astype(int)) == 1).sum() == 4, "lines: warning, answer, no lesion, model"
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.1.1.1"


def test_warning_can_be_read_above_a_narrow_picture(model):
    classifier, data = Classifier(model), radiograph(1)
    files = DicomAnswers(classifier).files(
        read_identity(data, "x"), classifier.predict_bytes(data), np.full((1024, 40), 90, np.uint8)
    )
    pixels = pydicom.dcmread(io.BytesIO(files[1].content)).pixel_array
    assert pixels.shape[1] == 512
    assert (pixels[:-1024] == (255, 220, 0)).all(axis=2).sum() > 500
    assert (pixels[-1024:, 236:276] > 0).any(axis=2).all()
    assert (pixels[-1024:, :236] == 0).all()


def test_patient_and_study_are_the_images_and_nothing_else_of_its_header(run):
    source = pydicom.dcmread(io.BytesIO(radiograph(1, IssuerOfPatientID="Ward 7", **PRIVATE)))
    private = source.private_block(0x0011, "MAKER", create=True)
    private.add_new(1, "LO", "secret private")
    content = io.BytesIO()
    source.save_as(content)
    _, _, found = run({"a": content.getvalue()})
    assert len(found) == 2
    for each in found.values():
        for keyword in COPIED:
            assert each[keyword].value == source[keyword].value, keyword
        assert each.PatientName == "Müller^Jörg"
        raw = io.BytesIO()
        each.save_as(raw)
        assert "Müller^Jörg".encode("latin-1") in raw.getvalue()
        assert b"secret" not in raw.getvalue().lower()
        assert not [element for element in each if element.tag.is_private]


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 144", "Ivanov^Пётр"),
        (None, "Doe^J"),
    ],
)
def test_character_set_is_kept(run, charset, name):
    _, _, found = run({"a": radiograph(1, SpecificCharacterSet=charset, PatientName=name, StudyDescription="x",
        ReferringPhysicianName="")})  # fmt: skip
    for each in found.values():
        assert each.PatientName == name
        assert each.get("SpecificCharacterSet") == charset


def test_repeating_gives_the_same_files_and_another_model_others(run, tmp_path):
    first = {name: each.SOPInstanceUID for name, each in run({"a": radiograph(1)})[2].items()}
    again = {name: each.SOPInstanceUID for name, each in run({"b": radiograph(1)})[2].items()}
    assert first == again
    other = write_model(tmp_path / "other.onnx", heatmap=True, certain_normal_below="0.11")
    assert set(run({"a": radiograph(1)}, tmp_path / "other", other)[2]).isdisjoint(first)
    assert set(run({"a": radiograph(2)}, tmp_path / "two")[2]).isdisjoint(first)


@pytest.mark.parametrize("missing", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_image_without_an_identifier_is_said_and_the_others_go_on(run, missing):
    without = radiograph(1, **{missing: ""})
    code, error, found = run({"a.dcm": without, "b.dcm": radiograph(2)})
    assert (code, len(found)) == (0, 2)
    (line,) = [line for line in error.splitlines() if "a.dcm" in line]
    assert f"a.dcm: has no {missing}" in line
    assert "export it again with it" in line
    assert run({"a.dcm": without})[0] == 2


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"PatientID": "P99"}, "is of another patient than other images of its study"),
        ({"SOPInstanceUID": "1.2.3.1.1.1"}, "another image had its SOPInstanceUID"),
        ({"StudyInstanceUID": "../../etc"}, "its StudyInstanceUID is not a UID"),
    ],
)
def test_image_that_contradicts_is_refused(run, tags, reason):
    code, error, found = run({"a.dcm": radiograph(1), "b.dcm": radiograph(2, study=1, **tags)})
    assert code == 0
    assert f"b.dcm: {reason}" in error
    assert {each.SOPInstanceUID for each in found.values()} == {
        each.SOPInstanceUID for each in run({"a.dcm": radiograph(1)})[2].values()
    }


def test_image_of_a_class_that_no_standard_knows_is_answered(run):
    _, _, found = run({"a": radiograph(1, SOPClassUID="1.3.6.1.4.1.999.1")})
    (report,), (capture,) = by_kind(found)
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPClassUID == "1.3.6.1.4.1.999.1"
    assert capture.SourceImageSequence[0].ReferencedSOPClassUID == "1.3.6.1.4.1.999.1"


@pytest.mark.parametrize(("number", "given"), [(None, 1), (0, 1), (-3, 1), ([7, 8], 7), (7, 7)])
def test_number_of_the_image_is_kept_where_it_is_one(run, number, given):
    _, _, found = run({"a": radiograph(1, InstanceNumber=number)})
    assert {each.InstanceNumber for each in found.values()} == {given}


def test_two_images_of_one_study_are_both_answered_and_a_jpeg_is_said(run, jpegs):
    picture = next(jpegs.rglob("*.jpeg")).read_bytes()
    code, error, found = run({"a": radiograph(1), "b": radiograph(2, study=1), "c.jpeg": picture})
    assert (code, len(found)) == (0, 4)
    assert "c.jpeg: not a DICOM file" in error
    assert "2 Structured Reports, 2 Secondary Captures" in error
    assert len({each.SeriesInstanceUID for each in found.values()}) == 2


@pytest.mark.parametrize("flags", [{"two_way": True}, {"threshold": 0.3}])
def test_what_cannot_say_unsuitable_is_never_written(run, tmp_path, flags):
    with pytest.raises(InputError, match="leave --two-way and --threshold out"):
        run({"a": radiograph(1)}, **flags)
    old = write_model(tmp_path / "old.onnx", familiar=False)
    with pytest.raises(InputError, match="export the run again"):
        run({"a": radiograph(1)}, model=old)
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written_is_one_line(run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file/out/.*; choose another folder"):
        run({"a": radiograph(1)}, tmp_path / "file" / "out")


def test_nothing_is_written_unless_it_is_asked_for(model, tmp_path):
    (tmp_path / "a.dcm").write_bytes(radiograph(1))
    before = set(tmp_path.iterdir())
    assert predict(Predict(model=model, images=(str(tmp_path / "a.dcm"),), threads=1)) == 0
    assert set(tmp_path.iterdir()) == before


def test_values_against_the_standard_are_repeated_as_the_archive_has_them(run):
    code, _, found = run({"a.dcm": radiograph(1, PatientSex="W", StudyDate="2026.1.1", PatientBirthDate="unknown")})
    assert (code, len(found)) == (0, 2)
    assert {each.StudyDate for each in found.values()} == {"2026.1.1"}


VARIANTS = {
    "as a device sends it": {},
    "nothing that may be empty": dict.fromkeys(
        ("SpecificCharacterSet", "PatientBirthDate", "PatientSex", "StudyTime", "StudyID", "AccessionNumber",
         "ReferringPhysicianName", "StudyDescription", "PatientOrientation", "InstanceNumber", "BodyPartExamined")
    ) | {"PatientName": "Doe^J"},
    "compressed with loss": {"LossyImageCompression": "01", "LossyImageCompressionRatio": "10",
        "BurnedInAnnotation": "NO", "LossyImageCompressionMethod": "ISO_10918_1"},
    "names in Unicode": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "山田^太郎"},
}  # fmt: skip


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian: dicom3tools)")
@pytest.mark.parametrize("tags", VARIANTS.values(), ids=list(VARIANTS))
def test_validator_finds_no_error(run, tmp_path, tags):
    numbers = {answer: number for number, answer in enumerate(LEVELS)}
    _, _, found = run({answer: radiograph(number, answer, **tags) for answer, number in numbers.items()})
    assert len(found) == 7
    for name in found:
        ended = subprocess.run(["dciodvfy", tmp_path / "out" / name], capture_output=True, text=True, check=False)
        lines = ended.stderr.splitlines()
        assert any(line in ("ComprehensiveSR", "SCImage") for line in lines), ended.stderr
        assert [line for line in lines if "Error" in line] == []


def test_identity_of_a_file_that_is_none(tmp_path):
    from pneumo_tfds.decode import DecodeError

    with pytest.raises(DecodeError, match="x: not a DICOM file"):
        read_identity(b"hello", "x")
