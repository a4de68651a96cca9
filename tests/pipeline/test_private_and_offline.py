"""The main job on images whose names tell: nothing of them leaves in what is handed on, and no machine is asked."""

import base64
import csv
import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from image_files import dicom

pytest.importorskip("pydicom")

ROOT = Path(__file__).parents[2]
TELLTALES = ("SMITHFAMILY", "98123450", "MRN-5551234", "DOE^JANE", "STREETCLINIC")
NO_NETWORK = """
import os, socket

def refuse(what):
    with open(os.environ["NETWORK_LOG"], "a") as log:
        log.write(what + "\\n")
    raise OSError("this test has no network: " + what)

def guarded(real):
    def connect(self, address):
        if self.family == socket.AF_UNIX:
            return real(self, address)
        refuse(f"connect {address}")
    return connect

class Socket(socket.socket):
    connect, connect_ex = guarded(socket.socket.connect), guarded(socket.socket.connect_ex)

    def sendto(self, data, *where):
        refuse(f"sendto {where}")

socket.socket = socket.SocketType = Socket
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
    setattr(socket, name, lambda *where, name=name, **how: refuse(f"{name} {where}"))
"""


COUNT = """
"$@"
code=$?
awk '$1 == "Ip:" && /OutNoRoutes/ { for (i = 1; i <= NF; i++) if ($i == "OutNoRoutes") at = i; next }
     $1 == "Ip:" && $at > 0 || $1 == "Ip6OutNoRoutes" && $2 > 0 { print "packets without a way" }
' /proc/net/snmp /proc/net/snmp6 >> "$NETWORK_LOG"
exit $code
"""


def nowhere():
    """How to start a command in a network of its own and count what it sends; nothing if we may not."""
    words = ["unshare", "--map-root-user", "--net", "sh", "-c", COUNT, "sh"]
    try:
        environment = {**os.environ, "NETWORK_LOG": os.devnull}
        works = subprocess.run([*words, "true"], env=environment, capture_output=True, check=False).returncode == 0
    except OSError:
        return []
    return words if works else []


NOWHERE = nowhere()


def picture(seed, label):
    grey = cv2.resize(np.random.default_rng(seed).integers(0, 200, (4, 5), np.uint8), (40, 36))
    return grey + np.uint8(40) * np.uint8(label)


def scan(pixels, patient):
    return dicom(pixels, PatientID=patient, PatientName="DOE^JANE", InstitutionName="STREETCLINIC")


def write_source(folder):
    for split, count in (("train", 24), ("test", 8)):
        for number in range(count):
            patient = f"98123450{count}{number}"  # another in each split
            for label, name in enumerate((f"IM-{patient}-0001", f"person{patient}_bacteria_{number}")):
                path = folder / split / ("NORMAL", "PNEUMONIA")[label] / f"{name}.jpeg"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture(1000 * count + 10 * number + label, label))
            path = folder / split / "PNEUMONIA" / f"scan{number}.dcm"
            path.write_bytes(scan(picture(1000 * count + 10 * number + 5, 1), f"MRN-5551234{split}{number}"))
    (folder / "test" / "NORMAL" / "IM-98123450999-0001.jpeg").write_bytes(b"cut short")  # will be skipped


def train(folder, *flags):
    """Run the main job without a network; give the run folder, all it printed, and what it asked of the network.

    Python's sockets refuse. Where the system lets us, the job also has a network of its own that leads nowhere, whose
    counters tell what C++ asked.
    """
    source, guard, log = folder / "SMITHFAMILY" / "xrays", folder / "guard", folder / "network.log"
    write_source(source)
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(NO_NETWORK)
    words = ["--source", source, "--data-dir", folder / "data", "--run-dir", folder / "run", "--model", "compact"]
    words += ["--image-size", "32", "--batch-size", "16", "--resamples", "100", "--epochs", "1", *flags]
    users = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}  # set for tests
    ended = subprocess.run(
        [*NOWHERE, sys.executable, "-m", "pipeline.train", *map(str, words)],
        env={**users, "PYTHONPATH": f"{guard}{os.pathsep}{ROOT}", "NETWORK_LOG": str(log)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder / "run", ended.stdout + ended.stderr, log.read_text() if log.exists() else ""


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return train(tmp_path_factory.mktemp("job"))


def told(content, place):
    """Which of the telltales are in the bytes of a file, or of a file inside it."""
    assert not [word for word in TELLTALES if word.encode() in content], place
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                told(archive.read(name), f"{place}/{name}")
    for embedded in re.findall(rb"data:image/png;base64,([A-Za-z0-9+/=]+)", content):
        told(base64.b64decode(embedded), f"a picture in {place}")
    if content.startswith(b"\x89PNG"):
        assert set(chunks(content)) <= {b"IHDR", b"PLTE", b"tRNS", b"pHYs", b"IDAT", b"IEND", b"tEXt Software"}, place


def chunks(png):
    at = 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        yield kind + b" " + png[at + 8 :].partition(b"\0")[0] if kind == b"tEXt" else kind
        at += 12 + length


KEPT_AT_HOME = {"config.json", "predictions.csv"}


@pytest.mark.slow
def test_no_patient_no_path_and_no_header_is_in_what_is_handed_on(job):
    run, printed, _ = job
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in KEPT_AT_HOME]
    assert {"report.html", "model.onnx", "golden.npz", "model.keras", "metrics.json", "mistakes_test.png"} <= {
        path.name for path in files
    }
    for path in files:
        told(path.read_bytes(), path.name)
        assert str(run.parent).encode() not in path.read_bytes(), path.name
    told(printed.encode(), "what was printed")


@pytest.mark.slow
def test_two_files_stay_at_home_and_hold_names(job):
    run, _, _ = job
    assert "SMITHFAMILY" in json.loads((run / "config.json").read_text())["data"]["source"]
    with (run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert any("98123450" in row["patient"] for row in rows)
    dicoms = {row["patient"] for row in rows if row["filename"].endswith(".dcm")}
    assert dicoms
    assert all(re.fullmatch(r"(test:)?dicom:[0-9a-f]{12}", patient) for patient in dicoms)


@pytest.mark.slow
def test_no_machine_is_asked(job):
    assert job[2] == ""


@pytest.mark.long
def test_no_machine_is_asked_by_a_search(tmp_path):
    flags = ("--tune", "--max-trials", "2", "--trial-epochs", "1", "--confirm-top", "0")
    run, printed, asked = train(tmp_path, *flags)
    assert asked == ""
    assert (run / "tuner" / "best.json").exists()
    told(printed.encode(), "what was printed")
    told((run / "report.html").read_bytes(), "report.html")


@pytest.mark.slow
def test_the_guard_sees_a_request(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    program = "import urllib.request; urllib.request.urlopen('http://example.org')"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NETWORK_LOG": str(tmp_path / "log")}
    environment = {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert ended.returncode == 1
    assert "example.org" in (tmp_path / "log").read_text()


@pytest.mark.skipif(not NOWHERE, reason="no networks of one's own on this system")
def test_the_counters_see_a_request(tmp_path):
    program = "import socket; socket.socket().connect_ex(('192.0.2.1', 80))"
    for code, seen in ((program, True), ("pass", False)):
        log = tmp_path / f"{seen}"
        environment = {**os.environ, "NETWORK_LOG": str(log)}
        subprocess.run([*NOWHERE, sys.executable, "-c", code], env=environment, check=True)
        assert ("packets without a way" in log.read_text()) is seen
