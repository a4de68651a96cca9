"""Following a folder: each image once, whatever happens to the files, the target, the journal or the process."""

import json
import os
import signal
import sqlite3
import threading
import time

import pytest

from brightness_model import write_model
from full_disk import full_after
from radiographs import radiograph

pydicom = pytest.importorskip("pydicom", reason="needs the dicom-out extra")
pytest.importorskip("highdicom", reason="needs the dicom-out extra")

PATIENCE_SECONDS = 60


@pytest.fixture
def places(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "out"


def answered(out):
    """The SOPInstanceUIDs that have reports, with how many captures each."""
    names = [path.name for path in out.iterdir()] if out.exists() else []
    reports = sorted(name.rsplit(".", 3)[0] for name in names if name.endswith(".SR.dcm"))
    return {uid: sum(name.startswith(uid) and name.endswith(".SC.dcm") for name in names) for uid in reports}


def waited_for(condition):
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_images_are_known_by_content_and_answered_once(watch, places):
    source, out = places
    (source / "deep" / "er").mkdir(parents=True)
    (source / "image.weird").write_bytes(radiograph(1))
    (source / "deep" / "er" / "IM00001").write_bytes(radiograph(2, "UNSUITABLE"))
    (source / "copy.dcm").write_bytes(radiograph(1))
    (source / "notes.dcm").write_text("not an image")
    for name in (".hidden", "half.part", "half.tmp"):
        (source / name).write_bytes(radiograph(3))
    code, said = watch(source, out)
    assert (code, answered(out)) == (0, {"1.2.3.1.1.1": 1, "1.2.3.2.1.2": 0})
    assert "notes.dcm: left: not a DICOM file" in said
    assert "left: a copy of an image that was answered" in said
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert watch(source, out)[1].endswith("nothing new; 0 to be tried again, 0 dead letters\n")
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_answers_in_the_folder_that_is_watched_are_not_answered(watch, places):
    source, _ = places
    (source / "a").write_bytes(radiograph(1))
    for _ in range(3):
        assert watch(source, source / "answers")[0] == 0
    assert len(list((source / "answers").iterdir())) == 2
    assert "nothing new" in watch(source, source / "answers")[1]


def test_a_journal_in_the_folder_that_is_watched_is_no_image(watch, places):
    source, out = places
    (source / "a").write_bytes(radiograph(1))
    (source / "deep").mkdir()
    (source / "deep" / "watch.sqlite").write_text("the name alone makes no journal")
    (source / "also").symlink_to(source)
    for _ in range(3):
        assert watch(source, out, journal=source / "also" / "watch.sqlite")[0] == 0
    with sqlite3.connect(source / "watch.sqlite") as journal:
        names = {json.loads(key)[0] for (key,) in journal.execute("SELECT key FROM image")}
    assert names == {"a", "deep/watch.sqlite"}


def test_other_modalities_are_left_alone(watch, places):
    source, out = places
    (source / "a").write_bytes(radiograph(1, Modality="CT"))
    code, said = watch(source, out)
    assert (code, answered(out)) == (0, {})
    assert "a: left: modality CT" in said


def test_file_that_grows_is_not_read_before_it_is_whole(places):
    from export.watching.watched_places import FolderSource

    source, _ = places
    whole = radiograph(1)
    (source / "a").write_bytes(whole[:100])
    place = FolderSource(source, 0)
    assert len(place.found()) == 1, "two looks in the first call"
    for end in (200, 300, len(whole)):
        (source / "a").write_bytes(whole[:end])
        assert place.found() == []
    (key,) = place.found()
    assert place.read(key) == whole


def test_new_image_under_an_old_name_is_a_new_image(watch, places):
    source, out = places
    for number in (1, 2):
        (source / "IM00001").write_bytes(radiograph(number))
        os.utime(source / "IM00001", (number, number))
        assert watch(source, out)[0] == 0
    assert list(answered(out)) == ["1.2.3.1.1.1", "1.2.3.2.1.2"]


def test_names_that_are_no_unicode_are_read(watch, places):
    source, out = places
    with open(os.fsencode(source) + b"/\xff\xfe.dcm", "wb") as file:
        file.write(radiograph(1))
    assert watch(source, out)[0] == 0
    assert answered(out) == {"1.2.3.1.1.1": 1}


def test_what_cannot_be_answered_is_a_dead_letter_that_can_be_tried_again(watch, places):
    source, out = places
    (source / "nobody").write_bytes(radiograph(1, PatientID=""))
    (source / "other").write_bytes(radiograph(2, study=3, PatientID="P9"))
    (source / "right").write_bytes(radiograph(3))
    (source / "torn").write_bytes(radiograph(4)[:-500])
    code, said = watch(source, out)
    assert (code, len(answered(out))) == (0, 1)
    assert said.endswith("3 dead letters\n")
    code, listed = watch(source, out, dead_letters=True)
    assert code == 0
    assert [line.partition(": ")[0].rpartition("/")[2] for line in listed.splitlines()] == ["nobody", "right", "torn"]
    assert "has no PatientID" in listed
    assert "is of another patient than other images of its study" in listed
    (source / "other").unlink()
    assert "3 dead letters taken up again" in watch(source, out, retry=True)[1]
    assert watch(source, out)[1].endswith("2 dead, 1 sent; 0 to be tried again, 2 dead letters\n")


@pytest.mark.parametrize("flag", ["dead_letters", "retry"])
def test_dead_letters_are_those_of_a_journal_that_is_there(watch, places, tmp_path, flag):
    code, said = watch(*places, **{flag: True})
    assert (code, said) == (
        2, f"{tmp_path / 'journal'} is not there, so it lists no dead letters; give the watcher's --journal",
    )  # fmt: skip
    assert not (tmp_path / "journal").exists()
    watch(*places)
    assert watch(*places, dead_letters=True) == (0, "no dead letters\n")


@pytest.fixture
def locked_folders(monkeypatch):
    """Folders named `locked` and `lost+found` cannot be listed, as for a user without the right."""
    listed = os.scandir

    def scandir(path):
        if os.path.basename(path) in ("locked", "lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_listed_is_said_and_the_others_are_answered(watch, places, locked_folders):
    source, out = places
    (source / "lost+found").mkdir()
    (source / "a").write_bytes(radiograph(1))
    assert watch(source, out)[0] == 0
    (source / "deep" / "locked").mkdir(parents=True)
    (source / "deep" / "b").write_bytes(radiograph(2))
    code, said = watch(source, out)
    assert (code, len(answered(out))) == (2, 2)
    assert f"{source / 'deep' / 'locked'}: cannot be read (Permission denied); check its permissions; 1 sent" in said


def test_a_folder_that_cannot_be_listed_is_said_once_by_a_watcher_that_goes_on(
    bright, places, tmp_path, locked_folders, capfd
):
    from export.inference.classifier import Classifier
    from export.watching.watch_journal import WatchJournal
    from export.watching.watch_loop import Watcher
    from export.watching.watched_places import FolderSource, FolderTarget

    source, out = places
    (source / "locked").mkdir()
    stop = threading.Event()
    journal = WatchJournal(tmp_path / "journal", "model", str(source))
    folder = FolderSource(source, 0.0)
    watcher = Watcher(Classifier(bright), journal, source=folder, target=FolderTarget(out), stop=stop)
    looks = []

    def work():
        looks.append(folder.unlisted)
        if len(looks) == 3:
            stop.set()

    watcher.work = work
    watcher.follow(0.001)
    assert all("Permission denied" in each for each in looks)
    assert capfd.readouterr().err.count("the other folders are watched") == 1


@pytest.mark.parametrize("name", ["IM1", "IM2"])
def test_image_whose_copy_stalled_is_answered_once_it_is_whole(watch, places, name):
    source, out = places
    (source / "IM1").write_bytes(radiograph(1)[:-500])
    assert watch(source, out)[1].endswith("1 dead; 0 to be tried again, 1 dead letter\n")
    (source / name).write_bytes(radiograph(1))
    left = int(name != "IM1")
    assert watch(source, out)[1].partition("sent; ")[2] == (
        f"0 to be tried again, {left} dead letter{'' if left else 's'}\n"
    )
    assert answered(out) == {"1.2.3.1.1.1": 1}
    assert ("IM1: " in watch(source, out, dead_letters=True)[1]) == bool(left), "the file that is no more is not listed"


def test_another_image_under_the_uid_of_one_that_was_answered_is_a_dead_letter(watch, places):
    source, out = places
    (source / "a").write_bytes(radiograph(1))
    watch(source, out)
    (source / "b").write_bytes(radiograph(1, PatientComments="not the same file"))
    assert "b: dead: another image had its SOPInstanceUID" in watch(source, out)[1]


def test_image_that_is_removed_before_it_is_read_is_named(watch, places, monkeypatch):
    from export.watching.watched_places import FolderSource

    source, out = places
    (source / "a").write_bytes(radiograph(1))
    read = FolderSource.read
    monkeypatch.setattr(FolderSource, "read", lambda self, key: (source / "a").unlink() or read(self, key))
    assert "a: dead: was removed before it was read" in watch(source, out)[1]


def test_target_that_cannot_be_written_is_said_and_nothing_is_lost(watch, places):
    source, out = places
    for number in range(3):
        (source / str(number)).write_bytes(radiograph(number))
    out.write_text("a file where the folder should be")
    code, said = watch(source, out)
    assert code == 2
    assert f"cannot write {out}/" in said
    assert "3 to be tried again, 0 dead letters" in said
    out.unlink()
    code, said = watch(source, out)
    assert (code, len(answered(out))) == (0, 3)
    assert "sent: UNCERTAIN" in said


def test_place_that_is_down_is_not_asked_for_every_image(watch, places):
    source, out = places
    for number in range(6):
        (source / str(number)).write_bytes(radiograph(number))
    out.touch()
    assert watch(source, out)[1].count("trying again at the next start") == 3


def test_files_that_cannot_be_read_do_not_keep_the_others_from_their_turn(watch, places, monkeypatch):
    from export.watching.watched_places import FolderSource, PassingError

    def read(self, key, whole=FolderSource.read):
        if "/closed" in self.name(key):
            raise PassingError(f"{self.name(key)}: Permission denied")
        return whole(self, key)

    monkeypatch.setattr(FolderSource, "read", read)
    source, out = places
    for number in range(3):
        (source / f"closed-{number}").write_bytes(radiograph(number))
    for number in range(3, 6):
        (source / f"open-{number}").write_bytes(radiograph(number))
    assert watch(source, out)[1].endswith("nothing new; 6 to be tried again, 0 dead letters\n")
    for _ in range(2):
        code, said = watch(source, out)
        assert (code, len(answered(out))) == (2, 3)
        assert "3 to be tried again" in said
    monkeypatch.undo()
    assert (watch(source, out)[0], len(answered(out))) == (0, 6)


def test_answers_that_are_refused_each_time_do_not_keep_the_others_from_their_turn(watch, places, monkeypatch):
    from export.watching.watched_places import FolderTarget, PassingError

    def put(self, files, whole=FolderTarget.put):
        if files[0].name.startswith(tuple(f"1.2.3.{number}.1.{number}." for number in range(3))):
            raise PassingError("refused")
        whole(self, files)

    monkeypatch.setattr(FolderTarget, "put", put)
    source, out = places
    for number in range(6):
        (source / str(number)).write_bytes(radiograph(number))
    assert "6 to be tried again" in watch(source, out)[1]
    for _ in range(2):
        code, said = watch(source, out)
        assert (code, len(answered(out))) == (2, 3)
        assert "3 to be tried again" in said
    (source / "6").write_bytes(radiograph(6))
    assert "1 sent" in watch(source, out)[1]
    monkeypatch.undo()
    assert (watch(source, out)[0], len(answered(out))) == (0, 7)


def test_an_answer_that_could_not_be_sent_does_not_wait_behind_new_images(watch, places, monkeypatch):
    from export.watching.watched_places import FolderTarget, PassingError

    tried = []

    def put(self, files, whole=FolderTarget.put):
        tried.append(files[0].name)
        if len(tried) == 1:
            raise PassingError("refused")
        whole(self, files)
        if len(tried) == 5:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(FolderTarget, "put", put)
    monkeypatch.setattr("export.watching.watch_loop.backing_off", lambda tries: 0.0)
    source, out = places
    for number in range(4):
        (source / str(number)).write_bytes(radiograph(number))
    watch(source, out, once=False)
    assert tried[0] == tried[1]
    assert len(answered(out)) == 4


def test_answers_that_wait_are_limited(watch, places, monkeypatch):
    monkeypatch.setattr("export.watching.watch_loop.MOST_WAITING", 2)
    source, out = places
    for number in range(6):
        (source / str(number)).write_bytes(radiograph(number))
    out.touch()
    for _ in range(2):
        assert "6 to be tried again" in watch(source, out)[1]
    with sqlite3.connect(source.parent / "journal") as journal:
        counts = dict(journal.execute("SELECT state, count(*) FROM image GROUP BY state"))
    assert counts == {"answered": 3, "seen": 3}
    out.unlink()
    assert watch(source, out)[0] == 0
    assert len(answered(out)) == 6


@pytest.mark.parametrize("size", [0, 8_000, 100_000, 1_000_000])
def test_journal_on_a_full_disk_is_said_and_nothing_is_lost(watch, places, size):
    source, out = places
    (source / "a").write_bytes(radiograph(1))
    with full_after(size):
        code, said = watch(source, out)
    assert code == 2
    assert f"cannot use the journal {source.parent / 'journal'}: " in said
    assert "make room or check the disk, and start again: nothing is lost" in said
    assert "\n" not in said
    assert watch(source, out)[0] == 0
    assert answered(out) == {"1.2.3.1.1.1": 1}


def test_journal_is_its_owners_and_names_no_patient_after_its_answers_are_sent(watch, places, tmp_path):
    source, out = places
    (source / "a").write_bytes(radiograph(1))
    out.touch()
    watch(source, out)
    kept = [path for path in tmp_path.iterdir() if path.name.startswith("journal")]
    assert {path.stat().st_mode & 0o077 for path in kept if path.suffix != ".lock"} == {0}
    assert any(b"Huber^Eva" in path.read_bytes() for path in kept)
    out.unlink()
    watch(source, out)
    kept = [path for path in tmp_path.iterdir() if path.name.startswith("journal")]
    assert not any(b"Huber^Eva" in path.read_bytes() for path in kept)


def test_a_journal_in_an_empty_file_that_was_there_is_its_owners(watch, places, tmp_path):
    (tmp_path / "journal").touch(0o644)
    watch(*places)
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_journal_belongs_to_one_model_and_one_source(watch, places, tmp_path):
    source, out = places
    watch(source, out)
    other = write_model(tmp_path / "other.onnx", certain_normal_below="0.2")
    assert watch(source, out, model=other)[1].startswith(f"{tmp_path / 'journal'} is the journal of another model (")
    out.mkdir()
    assert f"is the journal of another source ({source})" in watch(out, source)[1]


@pytest.fixture
def waiting(watch, places):
    """Source and target of an answer that waits in the journal, because it could not be written."""
    source, out = places
    (source / "a").write_bytes(radiograph(1))
    out.write_text("in the way")
    watch(source, out)
    out.unlink()
    return source, out


def test_answer_that_changed_in_the_journal_is_made_again(watch, waiting, tmp_path):
    """A bit that flipped while it waited must not reach a patient's folder."""
    source, out = waiting
    with sqlite3.connect(tmp_path / "journal") as journal:
        (content,) = journal.execute("SELECT content FROM file").fetchone()
        flipped = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
        journal.execute("UPDATE file SET content = ? WHERE rowid = 1", (flipped,))
    assert "its answer in " in watch(source, out)[1]
    assert not list(out.glob("*"))
    watch(source, out)
    assert answered(out) == {"1.2.3.1.1.1": 1}
    assert flipped not in {path.read_bytes() for path in out.iterdir()}


def test_journal_from_before_answers_had_digests_is_read(watch, waiting, tmp_path):
    source, out = waiting
    with sqlite3.connect(tmp_path / "journal") as journal:
        journal.execute("DROP TABLE seal")
    assert watch(source, out)[0] == 0
    assert answered(out) == {"1.2.3.1.1.1": 1}


@pytest.mark.parametrize("content", [b"hello, I am no journal" * 50, None])
def test_damaged_journal_is_one_line(watch, places, tmp_path, content):
    if content is None:
        watch(*places)
        with sqlite3.connect(tmp_path / "journal") as journal:
            journal.execute("PRAGMA user_version = 99")
    else:
        (tmp_path / "journal").write_bytes(content)
    code, said = watch(*places)
    assert code == 2
    assert "give another --journal" in said


def test_model_of_two_answers_and_places_that_are_none_are_refused(watch, places, tmp_path):
    source, out = places
    old = write_model(tmp_path / "old.onnx", familiar=False)
    assert "decides NORMAL or PNEUMONIA whatever the image is" in watch(source, out, model=old)[1]
    assert "is not a folder" in watch(source / "none", out)[1]
    assert "say with --out where the answers go to" in watch(source)[1]


def test_second_watcher_is_refused_and_sigterm_ends_the_first_after_its_image(watch, begin, places, tmp_path):
    source, out = places
    process = begin(source, out=out)
    (source / "a").write_bytes(radiograph(1))
    waited_for(lambda: answered(out))
    code, said = watch(source, out)
    assert (code, said) == (
        2,
        f"{tmp_path / 'journal'} is used by another watcher; end that, or give another --journal",
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0
    assert "1 sent; 0 to be tried again, 0 dead letters" in (tmp_path / "log").read_text()
    assert watch(source, out)[0] == 0


def test_killed_watcher_goes_on_where_it_was(watch, begin, places):
    source, out = places
    for number in range(30):
        (source / str(number)).write_bytes(radiograph(number))
    for kill in range(1, 4):
        process = begin(source, out=out)
        waited_for(lambda kill=kill: len(answered(out)) >= 7 * kill)
        process.kill()
        process.wait()
    assert len(answered(out)) < 30, "killed in the middle"
    assert watch(source, out)[0] == 0
    assert sorted(answered(out)) == sorted(f"1.2.3.{number}.1.{number}" for number in range(30))
    assert set(answered(out).values()) == {1}
    assert [path.name for path in out.iterdir() if "partial" in path.name] == []


def test_image_that_ends_the_program_each_time_does_not_stop_the_others(watch, places, monkeypatch):
    from export.dicom_out.dicom_answers import DicomAnswers

    source, out = places
    for number in (1, 2):
        (source / str(number)).write_bytes(radiograph(number))
    files = DicomAnswers.files

    def dying(self, header, *rest):
        if header.PatientID == "P1":
            raise SystemExit(1)
        return files(self, header, *rest)

    monkeypatch.setattr(DicomAnswers, "files", dying)
    for _ in range(3):
        with pytest.raises(SystemExit):
            watch(source, out)
    code, said = watch(source, out)
    assert (code, answered(out)) == (0, {"1.2.3.2.1.2": 1})
    assert "1: dead: the program crashed 3 times while it worked on it" in said
    monkeypatch.undo()
    watch(source, out, retry=True)
    assert watch(source, out)[0] == 0
    assert len(answered(out)) == 2


def test_waiting_grows_up_to_a_limit_and_differs():
    from export.watching.watch_loop import LONGEST_PAUSE, backing_off

    drawn = [[backing_off(tries) for _ in range(50)] for tries in (1, 4, 40)]
    assert [max(row) for row in drawn] == sorted(max(row) for row in drawn)
    assert 1 <= min(drawn[0]) < max(drawn[0]) <= 2
    assert LONGEST_PAUSE / 2 <= min(drawn[2]) < max(drawn[2]) <= LONGEST_PAUSE
