"""A stage in a process of its own: its result and its errors reach the caller as if it had been called here."""

import os
import signal
import subprocess
import sys

import pytest

import child_stages as stages
from pneumo_tfds.program import child_process
from pneumo_tfds.program.child_process import beside, run_in_child_process
from pneumo_tfds.program.errors import InputError


def test_function_runs_elsewhere_and_its_result_comes_back():
    assert run_in_child_process("the search", stages.where, add=0) != os.getpid()


def test_error_for_the_user_is_raised_here_with_the_traceback_of_the_other_process():
    with pytest.raises(InputError, match="--source none") as caught:
        run_in_child_process("the search", stages.refuse)
    assert "in refuse" in caught.value.__notes__[0]


def test_full_disk_is_raised_here():
    with pytest.raises(OSError, match="No space left") as caught:
        run_in_child_process("the export", stages.fill_the_disk)
    assert caught.value.filename == "model.onnx"


def test_ctrl_c_in_the_stage_is_ctrl_c_here():
    with pytest.raises(KeyboardInterrupt):
        run_in_child_process("the search", stages.leave)


def test_stage_that_the_system_ends_is_named_with_what_to_lower():
    with pytest.raises(InputError, match=r"the search was ended by signal 9 .*lower --batch-size.*--resume"):
        run_in_child_process("the search", stages.die)


def test_bug_in_a_stage_shows_its_traceback_and_ends_with_its_exit_code(capfd):
    with pytest.raises(SystemExit) as left:
        run_in_child_process("the export", stages.fail)
    assert left.value.code == 1
    assert "ZeroDivisionError: a bug" in capfd.readouterr().err


def test_stage_goes_on_beside_a_block_and_speaks_after_it(tmp_path, capfd):
    marker = tmp_path / "marker"
    with beside("the export", stages.speak, marker):
        while not marker.exists():  # which it could not write if it began after the block
            pass
        print("the block")
    out, err = capfd.readouterr()
    assert out.splitlines() == ["the block", "the file is written"]
    assert err == "a note\n"


def refuse_when_there(marker):
    while not (marker.exists() and marker.read_text()):
        pass
    raise InputError("no images")


def test_error_of_a_stage_beside_a_block_is_raised_after_it():
    done = []
    with pytest.raises(InputError, match="--source none"), beside("the export", stages.refuse):
        done.append(1)
    assert done


def test_stage_ends_when_the_block_beside_it_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(child_process, "SECONDS_TO_STOP", 0.1)
    marker = tmp_path / "marker"
    with pytest.raises(InputError, match="no images"), beside("the export", stages.wait, marker):
        refuse_when_there(marker)
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)


def test_ctrl_c_at_the_caller_ends_both(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from pneumo_tfds.program.child_process import run_in_child_process\n"
        "def wait():\n"
        "    Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    run_in_child_process('the search', wait)\n"
    )
    noted = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, script, noted],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)
