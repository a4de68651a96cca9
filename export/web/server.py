"""A web server for one page and one model: a fixed list of files, for this machine only."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import quoted

HOST = "127.0.0.1"
NAMES = (HOST, "localhost", "::1")
"""Names of this machine in the address of the page."""
FOLDER = Path(__file__).parent
PAGE = FOLDER / "page"
CLONE = Path("export", "web")
"""Where the clone of an installed copy has its page, if it is the current folder."""
INSTALLED = Path("node_modules", "onnxruntime-web", "dist")
RUNTIME = FOLDER / INSTALLED
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
}

# The browser enforces that the page loads from this server only and sends nothing. The last two headers isolate the
# page from others, without which WebAssembly could not use threads.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


def site(model: Path, golden: Path | None = None) -> dict[str, Path]:
    """Return every file that is served, by its path in the address.

    Args:
        model: the .onnx file.
        golden: the golden.npz for the page's self-check; None leaves it out.

    Raises:
        InputError: onnxruntime-web is installed neither beside the page nor in the clone.
    """
    runtime = _runtime()
    files = {f"/{path.name}": path for path in PAGE.iterdir() if path.suffix in TYPES}
    files |= {f"/ort/{name}": runtime / name for name in RUNTIME_FILES}
    files |= {"/": PAGE / "index.html", "/model.onnx": model}
    return files | ({"/golden.npz": golden} if golden is not None else {})


def host_of(header: str) -> str:
    """Return the name or address in a Host header, without brackets and port; empty if it is none (RFC 9110, 7.2)."""
    found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@/]+))(?::[0-9]*)?", header.strip().lower())
    return (found[1] or found[2]) if found else ""


def _runtime() -> Path:
    """Return the folder of onnxruntime-web: beside the page, or in the clone that is the current folder."""
    for folder in (RUNTIME, CLONE.resolve() / INSTALLED):
        if all((folder / name).is_file() for name in RUNTIME_FILES):
            return folder
    page = CLONE if (CLONE / "package-lock.json").is_file() else FOLDER
    raise InputError(f"the page needs onnxruntime-web, which is not installed; run: npm ci --prefix {quoted(page)}")


def make_server(files: Mapping[str, Path], port: int) -> ThreadingHTTPServer:
    """Create a server for `files` on 127.0.0.1; port 0 takes any free one.

    Raises:
        InputError: the port is in use or not permitted.
    """

    class Handler(BaseHTTPRequestHandler):
        """Answers GET and HEAD for the listed paths."""

        server_version = "pneumo"
        sys_version = ""
        protocol_version = "HTTP/1.1"
        timeout = 60  # seconds of silence

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing, so that no record is kept of who looks at X-rays."""

        def do_GET(self) -> None:
            """Send a file, or its headers alone if that is what was requested."""
            status, kind, body = self._response()
            self.send_response(status)
            for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                try:
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    print("a browser disconnected before its file was sent", file=sys.stderr)

        do_HEAD = do_GET

        def _response(self) -> tuple[HTTPStatus, str, bytes]:
            # A site whose name resolves to this machine must not read the model (DNS rebinding).
            if host_of(self.headers.get("Host", "")) not in NAMES:
                return HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"wrong host\n"
            path = files.get(self.path.partition("?")[0])
            if path is None:
                return HTTPStatus.NOT_FOUND, "text/plain", b"no such file\n"
            try:
                return HTTPStatus.OK, TYPES.get(path.suffix, "application/octet-stream"), path.read_bytes()
            except OSError:
                return HTTPStatus.GONE, "text/plain", b"the file is gone\n"

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        raise InputError(f"--port {port} cannot be used ({error}); choose another, or 0 for any free one") from error
    server.daemon_threads = True
    return server
