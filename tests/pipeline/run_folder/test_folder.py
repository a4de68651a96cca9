"""Run folders: what may be started, resumed and shared."""

import subprocess
import sys

import pytest

from pipeline.config import FitConfig, RunConfig
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError


def test_new_folder_is_made_and_its_settings_come_back(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "first")
    folder.start(resume=False)
    config = RunConfig(fit=FitConfig(epochs=2))
    folder.write_config(config)
    assert folder.read_config() == config


def test_folder_with_a_run_is_refused_unless_resumed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config(RunConfig())
    with pytest.raises(InputError, match="--resume"):
        folder.start(resume=False)
    folder.start(resume=True)


def test_a_finished_run_is_called_so_and_its_report_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config(RunConfig())
    folder.finished.write_text("{}")
    with pytest.raises(InputError, match=r"holds a finished run; open .*report\.html, or name another --run-dir"):
        folder.start(resume=False)


def test_the_command_that_goes_on_can_be_copied(tmp_path):
    assert RunFolder(tmp_path / "my run").to_go_on.endswith(f"--run-dir '{tmp_path}/my run' --resume")


def test_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        RunFolder(tmp_path / "empty").start(resume=True)


def test_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        RunFolder(tmp_path).read_config()


def test_missing_result_says_how_to_get_it(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(InputError, match="--resume"):
        folder.read_json(folder.metrics)


def test_second_process_is_refused_while_the_first_works(tmp_path):
    program = f"""
from pathlib import Path
from pipeline.run_folder.folder import RunFolder
with RunFolder(Path({str(tmp_path)!r})).locked():
    pass
"""
    command = [sys.executable, "-c", program]
    with RunFolder(tmp_path).locked():
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "in use by another process" in refused.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
