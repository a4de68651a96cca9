"""An Orthanc archive with DICOMweb of one test, on the loopback address: started, killed and started again."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

PLUGINS = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so"), Path("/usr/lib/orthanc/libOrthancDicomWeb.so")
PATIENCE_SECONDS = 60


class Orthanc:
    """Give it a folder; skip the test where Orthanc is not installed."""

    def __init__(self, folder: Path) -> None:
        self.program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
        plugin = next((path for path in PLUGINS if path.exists()), None)
        if self.program is None or plugin is None:
            pytest.skip("needs Orthanc and its DICOMweb plugin (Debian: orthanc, orthanc-dicomweb)")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.root, self.folder, self.process = f"http://127.0.0.1:{port}", folder, None
        folder.mkdir()
        settings = {
            "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"), "HttpPort": port,
            "DicomServerEnabled": False, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "Plugins": [str(plugin)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self.url = f"{self.root}/dicom-web"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [self.program, str(self.folder / "orthanc.json")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                requests.get(f"{self.root}/system", timeout=1).raise_for_status()
                return
            except requests.RequestException:
                time.sleep(0.05)
        pytest.fail((self.folder / "log").read_text())

    def kill(self, how: int = signal.SIGKILL) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait()

    def send(self, data: bytes) -> None:
        requests.post(f"{self.root}/instances", data=data, timeout=20).raise_for_status()

    def files(self) -> list[bytes]:
        """The file of every instance that it has."""
        names = requests.get(f"{self.root}/instances", timeout=20).json()
        return [requests.get(f"{self.root}/instances/{name}/file", timeout=20).content for name in names]
