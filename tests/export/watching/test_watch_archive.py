"""The loop with an archive: a real Orthanc that is killed, as the watcher is; and a server that fails as told."""

import io
import json
import random
import shutil
import signal
import subprocess
import time

import pytest

from failing_archive import Failing, failing
from orthanc import Orthanc
from radiographs import LEVELS, radiograph

pydicom = pytest.importorskip("pydicom", reason="needs the dicom-out extra")
pytest.importorskip("highdicom", reason="needs the dicom-out extra")
requests = pytest.importorskip("requests", reason="needs the dicom-out extra")

PATIENCE_SECONDS = 120


def waited_for(condition):
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def archive(tmp_path):
    made = Orthanc(tmp_path / "orthanc")
    made.start()
    yield made
    made.kill(signal.SIGTERM)


def check_answers(archive, count, folder):
    """Each of `count` images has one report and, unless it is UNSUITABLE, one capture; no file has an error."""
    found = [(data, pydicom.dcmread(io.BytesIO(data))) for data in archive.files()]
    images = {each.SOPInstanceUID: each for _, each in found if each.Modality == "CR"}
    assert len(images) == count
    reports, captures = {}, {}
    for data, each in found:
        if each.Modality == "CR":
            continue
        if each.Modality == "SR":
            evidence = each.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
            source = evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        else:
            source = each.SourceImageSequence[0].ReferencedSOPInstanceUID
        (reports if each.Modality == "SR" else captures).setdefault(source, []).append(each)
        assert each.StudyInstanceUID == images[source].StudyInstanceUID
        assert (each.PatientID, each.PatientName) == (images[source].PatientID, images[source].PatientName)
        if shutil.which("dciodvfy"):
            (folder / "checked.dcm").write_bytes(data)
            ended = subprocess.run(["dciodvfy", folder / "checked.dcm"], capture_output=True, text=True, check=False)
            assert [line for line in ended.stderr.splitlines() if "Error" in line] == []
    assert {uid: len(each) for uid, each in reports.items()} == dict.fromkeys(images, 1)
    suitable = [uid for uid in images if ANSWERS[int(uid.rpartition(".")[2]) % 4] != "UNSUITABLE"]
    assert {uid: len(each) for uid, each in captures.items()} == dict.fromkeys(suitable, 1)


ANSWERS = list(LEVELS)


def image(number):
    """An image of a study that it shares with another, of each of the four answers in turn."""
    return radiograph(number, ANSWERS[number % 4], study=number // 2)


def survive(archive, begin, log, count, kills, orthancs_too):
    """Let the watcher answer `count` images while it, and in some lives the archive too, is killed."""
    drawn = random.Random(20)

    def done():
        return log.read_text().count(": sent: ") if log.exists() else 0

    sent = 0
    for life in range(kills):
        until = count * (life + 1) // (kills + 1)
        for number in range(sent, until):
            archive.send(image(number))
        sent, target = until, drawn.randint(sent, until - 1)
        process = begin(archive.url)
        waited_for(lambda target=target: done() > target)
        if life in orthancs_too:
            before = log.read_text().count("does not answer")
            archive.kill()
            waited_for(lambda before=before: log.read_text().count("does not answer") > before)
            archive.start()
        time.sleep(drawn.uniform(0, 0.08))  # somewhere in the work on an image
        process.kill()
        process.wait()
    for number in range(sent, count):
        archive.send(image(number))


def test_a_dozen_images_and_three_kills(archive, begin, watch, tmp_path, monkeypatch):
    monkeypatch.setattr("export.watching.dicomweb_archive.PAGE", 5)  # of the watchers in this process
    survive(archive, begin, tmp_path / "log", 12, 3, {1})
    waited_for(lambda: watch(archive.url)[0] == 0)
    check_answers(archive, 12, tmp_path)
    assert "nothing new" in watch(archive.url)[1], "its own answers are no images"
    (tmp_path / "journal").unlink()
    assert watch(archive.url)[0] == 0
    check_answers(archive, 12, tmp_path)


@pytest.mark.long
def test_two_hundred_images_and_twenty_kills(archive, begin, watch, tmp_path):
    survive(archive, begin, tmp_path / "log", 200, 20, {4, 9, 14})
    waited_for(lambda: watch(archive.url)[0] == 0)
    check_answers(archive, 200, tmp_path)


def test_from_a_folder_to_an_archive_that_comes_later(watch, tmp_path):
    archive = Orthanc(tmp_path / "orthanc")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(image(0))
    code, said = watch(tmp_path / "in", archive.url)
    assert code == 2
    assert "does not answer (ConnectionError); trying again at the next start" in said
    archive.start()
    archive.send(image(0))
    try:
        assert watch(tmp_path / "in", archive.url)[0] == 0
        check_answers(archive, 1, tmp_path)
    finally:
        archive.kill()


def test_old_studies_are_looked_at_if_asked_for(archive, watch):
    archive.send(radiograph(1, StudyDate="20200229"))
    assert "nothing new" in watch(archive.url)[1]
    assert "1 sent" in watch(archive.url, days=36_500)[1]


def not_stored(*reasons):
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [reason]}} for reason in reasons]}}


@pytest.mark.parametrize("status", [500, 503, 429, 408, 401])
@pytest.mark.parametrize("service", ["QIDO", "WADO", "STOW"])
def test_archive_that_fails_for_a_while_loses_nothing(watch, service, status):
    with failing(**{service: [(status, {})] * 2}) as (url, stored):
        for _ in range(2):
            code, said = watch(url)
            assert (code, len(stored)) == (2, 0)
            assert f"answers {status} to" in said
            assert "0 dead letters" in said
        code, said = watch(url)
        assert (code, len(stored)) == (0, 1)
        assert "1 sent" in said


def test_the_same_bytes_are_sent_however_often_it_is_tried(watch, begin, tmp_path):
    with failing(STOW=[(500, {})]) as (url, stored):
        process = begin(url)
        waited_for(lambda: stored)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert "answers 500 to POST; trying again in" in (tmp_path / "log").read_text()
    assert stored[0].count(b"Content-Type: application/dicom") == 2


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ((409, not_stored(0x0111, 0x0111)), "sent"),
        ((202, not_stored(0x0111)), "sent"),
        ((409, not_stored(0x0110)), "dead"),
        ((202, not_stored(0x0111, 0xA900)), "dead"),
        ((202, not_stored(0xA700)), "waits"),
        ((409, {}), "dead"),
        ((400, {}), "dead"),
        ((413, {}), "dead"),
        ((200, "in no form that is known"), "sent"),
    ],
)
def test_what_an_archive_says_about_a_store_is_understood(watch, answer, state):
    with failing(STOW=[answer]) as (url, stored):
        code, said = watch(url)
        assert code == (2 if state == "waits" else 0)
        assert {"sent": "1 sent; 0", "dead": "1 dead; 0", "waits": "nothing new; 1"}[state] in said
        if state == "dead":
            assert "1 dead letter taken up again" in watch(url, retry=True)[1]
        assert watch(url)[0] == 0
        assert len(stored) == (0 if state == "sent" else 1)


def test_token_is_read_for_each_request_and_never_said(watch, tmp_path):
    token = tmp_path / "token"
    from export.watching.dicomweb_archive import Archive, PassingError

    with failing() as (url, stored):
        for content in ("", "two words", "grün"):
            token.write_text(content)
            code, said = watch(url, token_file=token)
            assert (code, said) == (2, f"--token-file {token} holds no bearer token, one word of ASCII characters")
        token.write_text("s3cret\n")
        assert "s3cret" not in watch(url, token_file=token)[1]
        assert len(stored) == 1
        assert set(stored.authorizations) == {"Bearer s3cret"}
        code, said = watch(url, "http://localhost:1", token_file=token)
        assert (code, "--token-file is for one archive, and --source and --out name 2" in said) == (2, True)
        archive = Archive(url, 3, token)
        token.write_text("renewed")
        archive.found()
        assert stored.authorizations[-1] == "Bearer renewed"
        token.unlink()
        with pytest.raises(PassingError, match="cannot be read: No such file"):
            archive.found()


@pytest.mark.parametrize("rows", [{"no": "list"}, [{}], ["text"], [{"0020000D": {}}]])
def test_search_that_cannot_be_read_is_said(watch, rows):
    with failing(QIDO=[(200, rows)]) as (url, _):
        code, said = watch(url)
        assert code == 2
        assert "answers a search with what is no list of images" in said


@pytest.mark.parametrize("most", [1, 2, 3])
def test_an_archive_that_answers_fewer_than_it_is_asked_for_is_asked_on(monkeypatch, most):
    from export.watching.dicomweb_archive import Archive

    monkeypatch.setattr(Failing, "MOST", most)
    monkeypatch.setattr(Failing, "IMAGES", 5)
    with failing() as (url, _):
        found = Archive(url, 3).found()
    assert found == [json.dumps(["1.2.3.1", "1.2.3.1.1", f"1.2.3.1.1.{number}"]) for number in range(1, 6)]


@pytest.mark.parametrize(
    "parameters",
    ["boundary=b", 'boundary="b"', "Boundary=b", "boundary=b ; charset=x", 'BOUNDARY="a;b"; charset=x', "boundary= b"],
)
def test_the_boundary_of_an_answer_is_read_however_it_is_written(watch, monkeypatch, parameters):
    monkeypatch.setattr(Failing, "PARAMETERS", parameters)
    with failing() as (url, stored):
        assert (watch(url)[0], len(stored)) == (0, 1)


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        ("0020000D", ["../1"], "1.2.9: dead: {url} lists it with the StudyInstanceUID '../1', which is none"),
        ("0020000D", [".."], "1.2.9: dead: {url} lists it with the StudyInstanceUID '..', which is none"),
        ("00080018", ["1.2 3"], "1.2 3: dead: {url} lists it with the SOPInstanceUID '1.2 3', which is none"),
        ("00080018", [], "an image of the study 1.2.7: dead: {url} lists it with the SOPInstanceUID '', which is none"),
        ("0020000E", [{"1": 2}], "1.2.9: dead: {url} lists it with the SeriesInstanceUID '', which is none"),
    ],
)
def test_an_entry_with_a_wrong_uid_is_a_dead_letter_and_the_others_are_answered(watch, tag, value, said):
    def entry(study, series, instance):
        uids = {"0020000D": study, "0020000E": series, "00080018": instance}
        return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}

    wrong = entry("1.2.7", "1.2.8", "1.2.9") | {tag: {"vr": "UI", "Value": value}}
    rows = [wrong, entry("1.2.3.1", "1.2.3.1.1", "1.2.3.1.1.1")]
    with failing(QIDO=[(200, rows), (200, [])]) as (url, stored):
        code, found = watch(url)
        assert (code, len(stored)) == (0, 1)
        assert said.format(url=url) + "; correct it there" in found
        assert "1 dead, 1 sent; 0 to be tried again, 1 dead letter" in found


def test_image_that_is_gone_is_a_dead_letter(watch):
    with failing(WADO=[(404, {})]) as (url, _):
        assert "1.2.3.1.1.1: dead: is not in" in watch(url)[1]


def test_answer_that_is_no_image_is_said_and_asked_for_again(watch):
    with failing(WADO=[(200, "<html>")]) as (url, stored):
        assert "answers something else than one DICOM file; trying again" in watch(url)[1]
        assert (watch(url)[0], len(stored)) == (0, 1)


def test_image_in_one_part_is_read(watch, monkeypatch):
    monkeypatch.setattr(Failing, "WHOLE", True)
    with failing() as (url, stored):
        assert (watch(url)[0], len(stored)) == (0, 1)
