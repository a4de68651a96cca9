"""Locks on systems and file systems that have none, and locks of processes that were killed.

Two living processes in one folder: `tests/contracts/test_two_at_once.py`.
"""

import ast
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imported_names import imported_names
from pneumo_tfds.program import files, locks
from pneumo_tfds.program.files import replacing, write_text
from pneumo_tfds.program.locks import exclusive, filled, held

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from pathlib import Path
from pneumo_tfds.program.locks import exclusive, held
with {"run": held, "dataset": exclusive}[sys.argv[1]](Path(sys.argv[2])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def unlockable(monkeypatch):
    """Make every lock fail like on a file system without locks, with an error of its own in each test."""

    def fail_with(number):
        def refuse(descriptor, *, blocking=True):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(locks, "lock_descriptor", refuse)
        monkeypatch.setattr(files, "lock_descriptor", refuse)

    return fail_with


@pytest.mark.parametrize("kind", ["run", "dataset"])
def test_lock_of_a_killed_process_does_not_block(kind, tmp_path):
    folder = tmp_path / "folder"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, kind, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.rglob("*.lock")), "the file stays, only its lock goes"
    with {"run": held, "dataset": exclusive}[kind](folder):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF])
def test_file_system_without_locks_is_reported_once_and_work_goes_on(number, unlockable, tmp_path, capfd):
    unlockable(number)
    for _ in range(2):
        with held(tmp_path / "run"), held(tmp_path / "run", ".export.lock"):
            write_text(tmp_path / "run" / "file.txt", "text")
    with exclusive(tmp_path / "config" / "1.0.0"), filled(tmp_path / "new"):
        (tmp_path / "new" / "file").touch()
    assert (tmp_path / "run" / "file.txt").read_text() == "text"
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(tmp_path / name) for name in ("run", "config", "new")]


def test_nothing_is_removed_where_nothing_can_be_locked(unlockable, tmp_path):
    unfinished = tmp_path / "config" / "incomplete.ABC_1.0.0"
    temporary = tmp_path / ".file.0123456789ab.partial.txt"
    unfinished.mkdir(parents=True)
    temporary.touch()
    unlockable(errno.ENOLCK)
    with exclusive(tmp_path / "config" / "1.0.0"), replacing(tmp_path / "other.txt") as path:
        path.touch()
    assert unfinished.exists()
    assert temporary.exists()


def test_other_errors_of_a_lock_are_not_hidden(unlockable, tmp_path):
    unlockable(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"), held(tmp_path / "run"):
        pass


def test_windows_renames_no_open_file_and_opens_no_folder(monkeypatch, tmp_path, capfd):
    opened = os.open

    def refuse_folders(path, flags, *rest, **options):
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opened(path, flags, *rest, **options)

    monkeypatch.setattr(files, "OPEN_FILES_CAN_BE_RENAMED", False)
    monkeypatch.setattr(locks, "FOLDERS_CAN_BE_OPENED", False)
    temporary = tmp_path / ".file.0123456789ab.partial.txt"
    temporary.touch()
    monkeypatch.setattr(files, "lock_descriptor", None)
    with replacing(tmp_path / "file.txt") as path:
        path.write_text("new")
    assert (tmp_path / "file.txt").read_text() == "new"
    assert temporary.exists(), "an unlocked file may be of a living process there"
    monkeypatch.setattr(os, "open", refuse_folders)
    with filled(tmp_path / "new"):
        (tmp_path / "new" / "file").touch()
    assert str(tmp_path / "new") in capfd.readouterr().err


def test_python_without_fcntl_works_unlocked_and_says_so_once(tmp_path):
    """As other systems than Unix: the modules are missing, and so are functions of `os`."""
    program = """
import os, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "pwd", "grp", "termios"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
for name in ("fcntl", "pwd", "grp", "termios"):
    sys.modules.pop(name, None)
for name in ("sched_getaffinity", "pread", "preadv", "fork", "getuid", "getloadavg"):
    vars(os).pop(name, None)
import pipeline.compare, pipeline.evaluate, pipeline.ladder, pipeline.train, tuning.__main__
import export.__main__, export.check, export.predict, export.web.__main__, export.serve.__main__, pneumo_tfds.__main__
from pneumo_tfds.program.files import write_text
from pneumo_tfds.program.locks import exclusive, held
from pathlib import Path
for _ in range(2):
    with held(Path("run")), exclusive("run/1.0.0"):
        write_text("run/file.txt", "text")
print(Path("run/file.txt").read_text())
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "text\n"), ended.stderr
    assert ended.stderr.count("there are no file locks here") == 1


def test_no_module_imports_what_windows_lacks():
    for package in ("pneumo_tfds", "pipeline", "tuning", "export", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    modules = {name.partition(".")[0] for name in imported_names(node).values()}
                    assert not {"fcntl", "resource", "pwd", "grp", "termios"} & modules, path
