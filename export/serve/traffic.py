"""What surrounds every request: its identity, safe headers, the number at once, its record in metrics and log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from export.serve.prometheus_metrics import Metrics

log = logging.getLogger(__name__)

CLIENT_LEFT = 499
"""Status in metrics and log of a request whose client left before its end, as in nginx."""
SAFE_ID = re.compile(r"[\x21-\x7e]{1,128}")
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


class Traffic:
    """ASGI middleware that counts, times and logs requests, and refuses a POST beyond the largest number at once.

    A connection that asks nothing counts as nothing. A request keeps the `X-Request-ID` that came with it, if that is 1
    to 128 visible ASCII characters, and gets a new one otherwise; its answer has it, and so has its line in the log,
    which names no file. An exception is logged with its traceback and answered with status 500. While the server closes
    (`app.state.closing`), answers say `Connection: close`.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, most: int) -> None:
        self._app, self._metrics, self._most, self._active = app, metrics, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start, status, counted = time.perf_counter(), 0, scope["method"] == "POST"
        request_id = Headers(scope=scope).get("x-request-id", "")
        if not SAFE_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        added = [*HEADERS, (b"x-request-id", request_id.encode())]

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                closing = [(b"connection", b"close")] if scope["app"].state.closing else []
                message = {**message, "headers": [*message.get("headers", []), *added, *closing]}
            await send(message)

        self._active += counted
        self._metrics.active.set(self._active)
        try:
            app: Any = self._app
            if counted and self._active > self._most:
                busy = f"{self._most} requests are being answered already; try again later"
                app = problem(scope, 503, busy, {"Retry-After": "1", "Connection": "close"})
            await app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception:  # the client learns the id under which the log has the traceback
            log.exception("id=%s", request_id)
            if status:
                raise
            failed = problem(scope, 500, f"the service failed; its log says why, beside the id {request_id}")
            await failed(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - start
            self._active -= counted
            self._metrics.active.set(self._active)
            if counted:
                self._metrics.answers.labels(status).inc()
                self._metrics.seconds.observe(seconds)
            where = f"{scope['method']} {scope['path']:.100}"
            log.info("id=%s %s %d %.1f ms", request_id, ascii(where)[1:-1], status, 1000 * seconds)


def problem(scope: Scope, status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer that says what is wrong, under the key of the Open Inference Protocol or our own."""
    key = "error" if scope["path"].startswith("/v2") else "detail"
    return JSONResponse({key: text}, status, headers)
