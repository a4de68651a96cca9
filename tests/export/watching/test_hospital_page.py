"""The commands of docs/how-to/hospital-archive.md do what the page says."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from failing_archive import failing
from radiographs import radiograph

pytest.importorskip("highdicom", reason="needs the dicom-out extra")

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/hospital-archive.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8042/dicom-web"
COMMANDS = re.findall(r"^python -m (export\..*)$", PAGE, re.MULTILINE)
ENDS = ("--once", "--dead-letters", "--retry")


def test_every_command_of_the_page_does_its_work(bright, tmp_path, monkeypatch):
    (tmp_path / "inbox").mkdir()
    for number, answer in enumerate(("UNCERTAIN", "PNEUMONIA", "UNSUITABLE"), 1):
        (tmp_path / "inbox" / f"IM{number:04}").write_bytes(radiograph(number, answer))
    (tmp_path / "inbox" / "IM0003b").write_bytes(radiograph(9, PatientID=""))
    shutil.copy(bright, tmp_path / "model.onnx")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    said = ""
    with failing() as (url, stored):
        for line in COMMANDS:
            words = shlex.split(line.replace(ADDRESS, url))
            if "watch" in line and not set(words) & set(ENDS):
                words += ["--once", "--every", "0.1"]
            ended = subprocess.run(
                [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert ended.returncode == 0, ended.stderr
            said += ended.stdout + ended.stderr
    assert len(stored) == 4
    assert len(list((tmp_path / "answers").iterdir())) == 5
    for line in (
        "written into answers: 3 Structured Reports, 2 Secondary Captures", "sent: UNSUITABLE",
        "1 dead letter taken up again", "has no PatientID, so no archive could file an answer; export it again with it",
    ):  # fmt: skip
        assert line in said
        assert line in PAGE


def test_page_names_every_element_that_is_copied():
    from export.dicom_out.dicom_identity import COPIED

    table = PAGE[PAGE.index("## Identity") : PAGE.index("## Follow a folder")]
    assert [keyword for keyword in COPIED if keyword not in table] == []
