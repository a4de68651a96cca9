"""The two servers under arbitrary requests: always an answer with a fitting status, never an exception."""

import asyncio
import functools
import io
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pneumo_tfds.decode.reasons import Reasons

pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("prometheus_client", reason="needs the serve extra")

STATUSES = {200, 307, 400, 404, 405, 408, 413, 415, 422, 503}
MOST = 10_000
SIDE = 16


class _Constant:
    """A classifier that needs no model file."""

    image_size, threshold, has_heatmap, has_familiarity = SIDE, 0.5, True, False
    answers, path = ("PNEUMONIA", "NORMAL"), "none.onnx"
    heatmap_shape, engine, has_subtype, identity = (2, 2), "onnxruntime 1", False, "0123456789ab"

    def __init__(self):
        from export.inference.onnx_metadata import Metadata

        self.metadata = Metadata(
            image_size=SIDE, threshold=0.5, threshold_rule="", dataset="", dataset_version="", metrics={}
        )

    def decode(self, data, name, doubts):
        from pneumo_tfds.decode import decode

        return decode(data, SIDE, name)

    def reasons(self, data, pixels, name, doubts):
        return Reasons()

    def predict(self, images, reasons):
        from export.inference.classifier import Prediction

        assert images.shape[1:] == (SIDE, SIDE, 1)
        return [Prediction(0.75, "PNEUMONIA", 0.5, np.zeros((2, 2), np.float32))] * len(images)


@pytest.fixture(scope="module")
def ask():
    """Send one request to the app, below the web server: any bytes may stand in any header."""
    from export.serve.batching import BatchLimits
    from export.serve.service import Limits, create_app

    app = create_app({"model": _Constant()}, Limits(body_bytes=MOST, decoders=1, batch=BatchLimits(wait=0)))

    async def request(method, path, query, headers, parts):
        sent, waiting = [], [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        waiting.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive():
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode("utf-8", "replace"), "query_string": query, "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        await app(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        yield lambda *parts: runner.run(request(*parts))
        runner.run(lifespan.__aexit__(None, None, None))


@functools.cache
def bodies():
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (18, 20), np.uint8))
    found = [b"GIF89a", b"{}", b"\0" * 128 + b"DICM"]
    found += [json.dumps({"image": "R0lGODlh"}).encode(), b'{"images": ["data:image/png;base64,iVBORw0KGgo=", 3]}']
    pixels = {"name": "image", "datatype": "UINT8", "shape": [1, SIDE, SIDE, 1]}
    file = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 10}}
    found.append(json.dumps({"inputs": [pixels | {"data": [7] * SIDE**2}]}).encode())
    found.append(json.dumps({"inputs": [file]}).encode().ljust(100) + b"\6\0\0\0GIF89a")
    for kind in ("JPEG", "PNG"):
        picture = io.BytesIO()
        grey.save(picture, kind)
        found.append(picture.getvalue())
    parts = [b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n' + one for one in found[-2:]]
    return [*found, b"\r\n".join([*parts, b"--x--\r\n"])]


PATHS = [
    "/v1/predict",
    "/v1/predict",
    "/v2/models/model/infer",
    "/v2/models/model/versions/2/infer",
    "/v2/models/model",
    "/v1/model",
    "/healthz",
    "/metrics",
    "/openapi.json",
    "/v1/predict/",
    "//",
    "/../x",
]
QUERIES = [
    b"", b"heatmap=true", b"heatmap=x", b"heatmap", b"heatmap=1&heatmap=2", b"threshold=nan", b"model=\n", b"%ff=%00",
    b"\xff", b"&&=;",
]  # fmt: skip
HEADERS = [
    (b"content-length", b"0"), (b"content-length", b"99999999999999999999"), (b"content-length", b"-1"),
    (b"content-length", "\xb2".encode("latin-1")), (b"content-length", b"9" * 5000), (b"content-length", b"1" * 18),
    (b"content-type", b"image/jpeg"), (b"content-type", b"multipart/form-data; boundary=x"),
    (b"expect", b"100-continue"), (b"content-type", b"application/json"), (b"x-request-id", b"a\r\nb"),
    (b"content-type", b"multipart/form-data"), (b"content-type", b"multipart/form-data; boundary=x; charset=\xff"),
    (b"inference-header-content-length", b"100"), (b"inference-header-content-length", b"-1e9"),
    (b"content-encoding", b"gzip"), (b"host", b"\xff\xfe"), (b"transfer-encoding", b"chunked"), (b"\xff", b"\0"),
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_every_address_answers_what_it_is_asked(path, ask):
    assert all(ask(method, path, b"", [], [body])[0] in STATUSES for method in ("GET", "POST") for body in bodies())


@given(data=st.data())
@example(data=None)
def test_requests(data, ask, mutated):
    if data is None:  # int() refuses over 4,300 digits
        assert ask("POST", "/v1/predict", b"", [HEADERS[4]], [b"x"])[0] == 413
        return
    body = data.draw(st.one_of(mutated(bodies()), st.sampled_from([b"", *bodies(), bytes(MOST + 1)])))
    cut = data.draw(st.integers(0, len(body)))
    method = data.draw(st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "HEAD", "OPTIONS", "\0"]))
    status, answer = ask(
        method,
        data.draw(st.sampled_from(PATHS)),
        data.draw(st.sampled_from(QUERIES)),
        data.draw(st.lists(st.sampled_from(HEADERS), max_size=3)),
        [body[:cut], body[cut:]],
    )
    assert status in STATUSES
    if status >= 400 and method != "HEAD":
        (detail,) = json.loads(answer).values()
        assert detail.isprintable()


class _Wire:
    """A socket that holds a request and takes the answer."""

    def __init__(self, request):
        self.request, self.answer = io.BytesIO(request), b""

    def makefile(self, mode, *_):
        return self.request

    def sendall(self, data):
        self.answer += data

    def settimeout(self, seconds):
        pass


GET = b"GET /a.html?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8765\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    from export.web.server import make_server

    folder = tmp_path_factory.mktemp("page")
    (folder / "a.html").write_text("hello")
    (folder.parent / "secret").write_text("SECRET")
    with make_server({"/a.html": folder / "a.html"}, 0) as server:

        def ask(request):
            wire = _Wire(request)
            server.RequestHandlerClass(wire, ("127.0.0.1", 1), server)
            return wire.answer

        yield ask


def test_the_page_is_sent(page):
    assert page(GET).endswith(b"\r\n\r\nhello")


@given(
    data=st.data(),
    target=st.one_of(st.none(), st.sampled_from([b"//[", b"/%2e%2e/secret", b"/../secret", b"http://x/a.html", b"*"])),
)
def test_page_requests(data, target, page, mutated, capsys):
    requests = [GET, GET.replace(b"GET", b"HEAD"), GET.replace(b"127.0.0.1:8765", b"evil.example:8765")]
    if target:
        requests = [GET.replace(b"/a.html", target)]
    answer = page(data.draw(mutated(requests, most=2) if not target else st.sampled_from(requests)))
    assert b"SECRET" not in answer
    assert b"hello" not in answer or b"evil" not in answer
    assert "Traceback" not in capsys.readouterr().err
