"""A DICOMweb server that fails as told, on the loopback address."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from radiographs import radiograph


class Stored(list):
    """The bodies that were stored, and what every request said for its authorization."""

    def __init__(self):
        super().__init__()
        self.authorizations = []


class Failing(BaseHTTPRequestHandler):
    """A DICOMweb server of one image, that answers a method with the statuses in `plan` before it works."""

    plan: dict[str, list[tuple[int, object]]]
    stored: Stored
    WHOLE = False
    PARAMETERS = "boundary=b"
    MOST = 0
    """Images that it answers at once; 0 if it knows no pages."""
    IMAGES = 1

    def do_GET(self):
        self.stored.authorizations.append(self.headers["Authorization"])
        kind = "WADO" if "studies" in self.path else "QIDO"
        if self._planned(kind):
            return
        if kind == "WADO":
            if self.WHOLE:
                self._give(200, radiograph(1), "application/dicom")
                return
            edge = b"--a;b" if "a;b" in self.PARAMETERS else b"--b"
            body = edge + b"\r\nContent-Type: application/dicom\r\n\r\n" + radiograph(1) + b"\r\n" + edge + b"--"
            self._give(200, body, f'multipart/related; type="application/dicom"; {self.PARAMETERS}')
            return
        rows = [self._row(number) for number in range(1, self.IMAGES + 1)]
        if self.MOST:
            offset = int(re.search(r"offset=(\d+)", self.path)[1])
            rows = rows[offset : offset + self.MOST]
        else:
            rows *= 500
        self._give(200, json.dumps(rows if "Modality=CR" in self.path else []).encode())

    def _row(self, number):
        uids = {"0020000D": "1.2.3.1", "0020000E": "1.2.3.1.1", "00080018": f"1.2.3.1.1.{number}"}
        return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}

    def do_POST(self):
        self.stored.authorizations.append(self.headers["Authorization"])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._planned("STOW"):
            self.stored.append(body)
            self._give(200, b"{}")

    def _planned(self, kind):
        if not self.plan.get(kind):
            return False
        status, body = self.plan[kind].pop(0)
        self._give(status, json.dumps(body).encode())
        return True

    def _give(self, status, body, kind="application/dicom+json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Say nothing."""


@contextmanager
def failing(**plan):
    handler = type("Planned", (Failing,), {"plan": plan, "stored": Stored()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/dicom-web", handler.stored
        finally:
            server.shutdown()
