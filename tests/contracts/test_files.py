"""Files are replaced at once: a reader finds the old one or the new one, and nothing is left lying about."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from pneumo_tfds.program import trying_again
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import cache_folder, read_json, replace_patiently, replacing, write_json, write_text

ROOT = Path(__file__).parents[2]
BEGIN = """
import sys
from pneumo_tfds.program.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def begin():
    """Start a process that holds a file half written until a line is sent to it."""
    started = []

    def start(path):
        words = [sys.executable, "-c", BEGIN, str(path)]
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_new_content_takes_the_name_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_block_that_fails_leaves_the_old_content_and_no_litter(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_folder_that_cannot_be_made_is_one_line_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .* choose another folder"):
        write_text(tmp_path / "file" / "below.txt", "text")


def test_folder_in_place_of_the_file_is_one_line_and_stays(tmp_path):
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot write .*taken: Is a directory; choose another folder"):
        write_text(tmp_path / "taken", "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "No space left on device; make room or choose"),
        (errno.EDQUOT, "make room or choose"),
        (errno.EIO, "Input/output error; check the disk or the network, and try again"),
    ],
)
def test_disk_that_refuses_at_the_last_moment_leaves_the_old_content(tmp_path, monkeypatch, number, says):
    """A full disk may be told only when what is in the kernel's memory is to be kept: here, by fsync."""
    path = tmp_path / "file.txt"
    path.write_text("old")

    def refuse(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(trying_again, "PAUSES", (0.0,))
    with pytest.raises(InputError, match=says):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_fails_once_gets_the_whole_file_again(function, tmp_path, monkeypatch):
    tried, real, written = [], getattr(os, function), []

    def fail_once(*arguments):
        tried.append(arguments)
        if len(tried) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments)

    def write(path):
        written.append(path)
        path.write_text("new")

    write_text(tmp_path / "file.txt", "old")  # the folders above are synchronized once
    monkeypatch.setattr(os, function, fail_once)
    monkeypatch.setattr(trying_again, "PAUSES", (0.0,))
    replace_patiently(tmp_path / "file.txt", write)
    assert len(set(written)) == 2, "what was written before is not to be trusted"
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file.txt", "new")]


def test_a_disk_that_fails_once_is_read_again(tmp_path, monkeypatch):
    tried, real = [], Path.read_text
    write_json(tmp_path / "file.json", [1])

    def fail_once(path, **options):
        tried.append(path)
        if len(tried) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, **options)

    monkeypatch.setattr(Path, "read_text", fail_once)
    monkeypatch.setattr(trying_again, "PAUSES", (0.0,))
    assert read_json(tmp_path / "file.json", "") == [1]


def test_what_is_to_be_kept_is_open_for_writing_as_windows_needs_it(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    modes = []
    monkeypatch.setattr(os, "fsync", lambda file: modes.append(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE))
    write_text(tmp_path / "file.txt", "text")
    assert [mode for mode in modes if mode != os.O_RDONLY] == [os.O_RDWR]  # folders are opened to be read


def test_cache_without_a_home_is_not_a_folder_named_tilde(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder().is_absolute()


def test_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("é" * 120 + ".png")
    write_text(path, "text")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_reader_of_our_output_that_leaves_is_not_about_the_file(tmp_path):
    with pytest.raises(BrokenPipeError), replacing(tmp_path / "file.txt"):
        raise BrokenPipeError
    assert not list(tmp_path.iterdir())


def test_next_process_removes_what_a_killed_one_left_and_nothing_else(tmp_path, begin):
    others = {".mine.partial", ".mine.0123456789ab.partial.d", "a.0123456789ab.partial", ".a.0123.partial.txt"}
    (tmp_path / ".mine.0123456789ab.partial.d").mkdir()
    for name in others - {".mine.0123456789ab.partial.d"}:
        (tmp_path / name).write_text("not ours")
    killed, litter = begin(tmp_path / "killed.txt")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    alive, kept = begin(tmp_path / "alive.txt")
    assert not litter.exists(), "the process that began after the kill has not cleared it"
    third, _ = begin(tmp_path / "third.txt")
    assert kept.exists(), "a living process's file was taken for litter"
    for process in (alive, third):
        process.communicate("go on\n")
        assert process.returncode == 0
    assert {entry.name for entry in tmp_path.iterdir()} == others | {"alive.txt", "third.txt"}


def test_two_processes_replace_one_file_and_it_is_always_one_of_theirs(tmp_path, begin):
    path = tmp_path / "file.txt"
    (first, one), (second, other) = begin(path), begin(path)
    assert one != other
    other.write_text("second")
    one.write_text("first")
    second.communicate("go on\n")
    assert path.read_text() == "second"
    first.communicate("go on\n")
    assert path.read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_json_refuses_what_json_has_not(tmp_path):
    path = tmp_path / "figures.json"
    write_json(path, {"a": 1.5, "b": None})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1.5, "b": None} == read_json(path, "never")


@pytest.mark.parametrize("content", [b'{"a": ', b"\xff\xfe", b"[" * 100_000], ids=["cut", "binary", "deep"])
def test_json_that_cannot_be_read_is_one_line_with_the_remedy(tmp_path, content):
    (tmp_path / "file.json").write_bytes(content)
    for path in (tmp_path / "file.json", tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match=r"cannot read .*; write it again$"):
            read_json(path, "write it again")


def test_name_is_on_the_disk_after_its_content_and_before_the_writer_returns(tmp_path, monkeypatch):
    """What a power failure must not reorder; `test_power_loss.py` tries it where there is strace."""
    steps, synchronize, replace = [], os.fsync, Path.replace

    def fsync(handle):
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        synchronize(handle)

    def renamed(path, target):
        steps.append("name")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    write_text(tmp_path / "new" / "a.txt", "content")
    steps = steps[steps.index("file") :]
    assert steps == ["file", "name", "folder"]


def test_folder_of_a_file_system_that_cannot_synchronize_folders_is_written(tmp_path, monkeypatch):
    synchronize = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        synchronize(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "content")
    assert (tmp_path / "a.txt").read_text() == "content"


def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").write_text("old")
    for name, target in (("link", "inner/file"), ("dangling", "inner/new")):
        (tmp_path / name).symlink_to(target)
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_text() == "new"
    assert sorted(os.listdir(tmp_path / "inner")) == ["file", "new"]


def test_a_pipe_is_written_to_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = Thread(target=lambda: read.append((tmp_path / "pipe").read_text()), daemon=True)
    reader.start()
    write_text(tmp_path / "pipe", "text")
    reader.join(10)
    assert read == ["text"]
    assert (tmp_path / "pipe").is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("name", [".", "", "folder/.."])
def test_a_folder_by_a_name_that_ends_in_none_is_one_line(tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot write .*: Is a directory; choose another folder"):
        write_text(name, "text")
