"""What `export.watch` reads: the answers of an archive and its own journal, with anything in them."""

import contextlib
import functools
import gzip
import itertools
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pneumo_tfds.program.errors import InputError

pytest.importorskip("pydicom")
requests = pytest.importorskip("requests")

ROW = {tag: {"vr": "UI", "Value": [f"1.2.{tag[-1:]}"]} for tag in ("0020000D", "0020000E", "00080018")}
STORED = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [273]}}]}}
PART = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + bytes(128) + b"DICM\r\n--b--"
KINDS = ["application/dicom+json", "application/dicom", "multipart/related; boundary=b", 'x; boundary="', "", "\xff"]


class _Answering(requests.adapters.BaseAdapter):
    """Answers every request with one body, as if it came from the network."""

    def send(self, request, **_):
        import urllib3

        self.asked.append(request.url)
        answer = urllib3.HTTPResponse(self.body, self.headers, self.status, preload_content=False)
        return requests.adapters.HTTPAdapter().build_response(request, answer)

    def close(self):
        pass


@pytest.fixture(scope="module")
def archive():
    import io

    from export.watching.dicomweb_archive import Archive

    made, adapter = Archive("http://archive.example/dicom-web", days=1), _Answering()
    made._session.mount("http://", adapter)

    def answer(body, kind="", status=200, packing=None, **headers):
        packed = {"Content-Encoding": packing} if packing else {}
        adapter.headers = {"Content-Type": kind} | packed | headers
        adapter.body, adapter.status, adapter.asked = io.BytesIO(body), status, []
        return made

    answer.adapter = adapter

    return answer


ADDRESS = r"http://archive\.example/dicom-web/studies/[0-9.]+/series/[0-9.]+/instances/[0-9.]+"


@given(data=st.data())
@example(data=b"[" * 100_000)
@example(data=json.dumps([ROW | {"00080018": {"Value": ["../../other?x=1"]}}]).encode())
@example(data=json.dumps(STORED).replace("273", '"a"').encode())
def test_answers_of_an_archive(data, archive, mutated, changed, input_error_only):
    """A list of images, one image, or one line: a place that fails."""
    if isinstance(data, bytes):
        body, kind, status, packing = data, "", 200, None
    else:
        originals = [json.dumps([ROW] * 2).encode(), json.dumps(STORED).encode(), PART]
        json_body = changed([ROW]).map(lambda value: json.dumps(value).encode())
        body = data.draw(mutated(originals) | json_body)
        kind, status = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from([200, 202, 302, 404, 409, 500]))
        packing = data.draw(st.sampled_from([None, None, "gzip", "br"]))
    answer = functools.partial(archive, body, kind, status, packing)
    with input_error_only("archive.example"):
        for key in answer().found():
            with contextlib.suppress(InputError):
                answer().read(key)
            assert all(re.fullmatch(ADDRESS, url) for url in archive.adapter.asked)
    with input_error_only("archive.example"):
        assert isinstance(answer().read(json.dumps(["1", "2", "3"])), bytes)
    with input_error_only("archive.example"):
        answer().put([])


def test_an_answer_is_not_sent_where_the_archive_says(archive):
    with pytest.raises(InputError, match="answers 307 to POST"):
        archive(b"", status=307, Location="http://elsewhere.example/studies").put([])
    assert archive.adapter.asked == ["http://archive.example/dicom-web/studies"]


def test_an_endless_answer_is_given_up(archive, monkeypatch):
    monkeypatch.setattr("export.watching.dicomweb_archive.MAX_FILE_BYTES", 1 << 20)
    packed = gzip.compress(bytes(64 << 20))
    with pytest.raises(InputError, match="answers more than 1 MiB to GET"):
        archive(packed, "application/dicom", packing="gzip").read('["1", "2", "3"]')


NUMBERS = itertools.count()


@functools.cache
def journals():
    """The bytes of a journal with an image in each state."""
    import tempfile
    from pathlib import Path

    from export.dicom_out.dicom_answers import AnswerFile
    from export.watching.watch_journal import ANSWERED, DEAD, LEFT, SEEN, SENT, WatchJournal

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watch.db"
        journal = WatchJournal(path, "model", "source")
        with journal.locked():
            journal.add([SEEN, ANSWERED, SENT, LEFT, DEAD])
            journal.answered(ANSWERED, "1.2.3", "NORMAL", [AnswerFile("sr", "a.dcm", b"DICM")])
            for state in (SENT, LEFT, DEAD):
                journal.end(state, state, "why")
            journal.remember("1.2.3", "digest")
        return [path.read_bytes()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("watching")


@given(data=st.data())
@example(data=(b"PRIMARY KEY,", b"PRIMARY \xeeEY,"))  # found by libFuzzer: SQLite's message quotes it, and is no UTF-8
@example(data=(b"modelsource", b"model\xffource"))
def test_journal(data, folder, mutated, input_error_only):
    from contextlib import closing

    from export.watching.watch_journal import ANSWERED, SEEN, WatchJournal

    for beside in folder.iterdir():
        beside.unlink(missing_ok=True)  # a log goes when its connection does
    path = folder / f"{next(NUMBERS)}.watch.db"
    changed = journals()[0].replace(*data) if isinstance(data, tuple) else data.draw(mutated(journals()))
    path.write_bytes(changed)
    with input_error_only("watch.db"):
        journal = WatchJournal(path, "model", "source")
        with closing(journal._database), input_error_only("watch.db"):
            for state in (SEEN, ANSWERED):
                if entry := journal.due(state):
                    assert all(isinstance(file.content, bytes) for file in journal.files(entry.key))
                    assert entry.begun >= 0 <= entry.tries
            journal.remember("1.2.3", "digest")
            journal.end("a", "left", "why")
            journal.retry()
