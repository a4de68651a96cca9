"""An HTTP service around a `Classifier`: one image as the body of a POST, one JSON answer. An example to start from.

It stores no image, logs no name, and refuses early: by the declared length, then by the number of bytes that arrive,
then by the file's header, before a pixel is decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from export.inference.classifier import Classifier, Prediction
from export.serve.batching import Batcher, BatchLimits, OverloadedError
from export.serve.prometheus_metrics import Metrics
from pneumo_tfds.decode import DecodeError
from pneumo_tfds.decode.headers import HEAD_BYTES, format_of
from pneumo_tfds.decode.other_files import no_image
from pneumo_tfds.decode.reasons import Reasons
from pneumo_tfds.program.cores_and_memory import available_cores

CLOSE = {"Connection": "close"}
DRAIN_SECONDS = 1.0  # longest pause of a refused upload that is still read
IMAGE_TYPES = ("image/jpeg", "image/png", "application/dicom")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on what the service accepts."""

    body_bytes: int = 32 * 1024 * 1024
    """Largest upload."""
    body_seconds: float = 30.0
    """Longest time for an upload to arrive."""
    decoders: int = field(default_factory=available_cores)
    """Images decoded at once; one of the largest allowed size takes 1.3 GB for a moment."""
    batch: BatchLimits = field(default_factory=BatchLimits)
    """Limits of batching."""


class Answer(BaseModel):
    """The answer for one image."""

    probability: float = Field(description="P(PNEUMONIA), 0 to 1")
    decision: str = Field(description="NORMAL, PNEUMONIA, UNCERTAIN or UNSUITABLE; with --two-way one of the first two")
    threshold: float
    familiarity: float | None = Field(description="How much the image looks like the training images, 0 to 1")
    reasons: list[str] = Field(description="Why it is UNCERTAIN or UNSUITABLE, and what else is unusual")
    intended_use: str
    heatmap: list[list[float]] | None = Field(None, description="[h][w], logit units; only if asked for")


class Problem(BaseModel):
    """The reason why there is no answer."""

    detail: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The body is empty",
        408: "The body did not arrive in time",
        413: "The body is too large",
        415: "Not a JPEG, PNG or DICOM file",
        422: "The image is damaged, too small or too large",
        503: "Too many images are waiting; try again after Retry-After seconds",
    }.items()
}


def create_app(classifier: Classifier, limits: Limits | None = None) -> FastAPI:
    """Create the service as an ASGI app, with its OpenAPI description at /openapi.json."""
    service = _Service(classifier, limits or Limits())
    app = FastAPI(
        title="Pneumonia on chest X-rays",
        description=f"For {classifier.metadata.intended_use}. Not a medical device.",
        version="1",
        lifespan=service.lifespan,
        docs_url=None,  # FastAPI's pages load scripts from another host
        redoc_url=None,
        redirect_slashes=False,  # the address of the redirect would be made of the client's Host header
    )
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES}
    app.add_api_route(
        "/v1/predict",
        service.predict,
        methods=["POST"],
        response_model=Answer,
        responses=PROBLEMS,
        summary="Predict one image, whose bytes are the body",
        openapi_extra={"requestBody": {"content": content, "required": True}},
    )
    app.add_api_route("/v1/model", service.model, methods=["GET"], summary="The model's metadata")
    app.add_api_route("/healthz", service.health, methods=["GET"], summary="Whether the process is alive")
    app.add_api_route("/readyz", service.ready, methods=["GET"], summary="Whether the model answers")
    app.add_api_route("/metrics", service.metrics, methods=["GET"], summary="Metrics for Prometheus")
    app.middleware("http")(service.measured)
    return app


class _Service:
    def __init__(self, classifier: Classifier, limits: Limits) -> None:
        self.classifier, self.limits, self.recorded = classifier, limits, Metrics(classifier.answers)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            self.decoding = stack.enter_context(ThreadPoolExecutor(self.limits.decoders, "decode"))
            answering = stack.enter_context(ThreadPoolExecutor(1, "answer"))
            batcher = Batcher(self._predict, self.limits.batch, answering, self.recorded.batches.observe)
            self.batcher = await stack.enter_async_context(batcher)
            yield

    def _predict(self, images: Sequence[tuple[np.ndarray, Reasons]]) -> list[Prediction]:
        pixels, reasons = zip(*images, strict=True)
        return self.classifier.predict(np.stack(pixels), reasons)

    def _decode(self, data: bytes) -> tuple[np.ndarray, Reasons]:
        doubts: list[str] = []
        pixels = self.classifier.decode(data, "the image", doubts)
        return pixels, self.classifier.reasons(data, pixels, "the image", doubts)

    async def predict(
        self, request: Request, heatmap: bool = Query(False, description="Include the heat map, if the model has one")
    ) -> Answer:
        data = await self._body(request)
        if format_of(data) is None:
            kind = no_image(data[:HEAD_BYTES])
            what = f", {kind}" if kind else "; send the bytes of the file: curl --data-binary @FILE"
            raise HTTPException(415, f"the body is not a JPEG, PNG or DICOM file{what}")
        loop = asyncio.get_running_loop()
        try:
            found = await self.batcher.submit(await loop.run_in_executor(self.decoding, self._decode, data))
        except DecodeError as error:
            raise HTTPException(422, str(error)) from error
        except OverloadedError as error:
            raise HTTPException(503, str(error), {"Retry-After": "1"}) from error
        self.recorded.decisions.labels(found.decision).inc()
        self.recorded.values["probability"].observe(found.probability)
        if found.familiarity is not None:
            self.recorded.values["familiarity"].observe(found.familiarity)
        return Answer(
            probability=found.probability,
            decision=found.decision,
            threshold=found.threshold,
            familiarity=found.familiarity,
            reasons=list(found.reasons),
            intended_use=self.classifier.metadata.intended_use,
            heatmap=found.heatmap.tolist() if heatmap and found.heatmap is not None else None,
        )

    async def _body(self, request: Request) -> bytes:
        """Read the body; refuse it as soon as its declared length or the bytes read so far are over the limit."""
        most = self.limits.body_bytes
        declared = request.headers.get("content-length", "")
        fits = not declared.isdecimal() or (len(declared) < 19 and int(declared) <= most)
        parts, size, stream = [], 0, request.stream()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while fits and (part := await anext(stream, None)) is not None:
                    size += len(part)
                    fits = size <= most
                    parts.append(part)
        except TimeoutError as error:
            raise HTTPException(408, f"the body took over {self.limits.body_seconds:g} s", CLOSE) from error
        if not fits:
            if "expect" not in request.headers:
                await drain(stream, self.limits.body_seconds)
            raise HTTPException(413, f"the body is over {most / 1e6:.0f} MB", CLOSE)
        if not size:
            raise HTTPException(400, "the body is empty; send the bytes of one image")
        return b"".join(parts)

    async def model(self) -> dict[str, Any]:
        return asdict(replace(self.classifier.metadata, threshold=self.classifier.threshold))

    async def health(self) -> dict[str, str]:
        return {"status": "alive"}

    async def ready(self) -> JSONResponse:
        """Predict a black image, which shows that the model answers and that the queue has room."""
        side = self.classifier.image_size
        try:
            async with asyncio.timeout(5):
                await self.batcher.submit((np.zeros((side, side, 1), np.uint8), Reasons()))
        except (TimeoutError, OverloadedError) as error:
            return JSONResponse({"status": "busy", "reason": str(error) or "no answer in 5 s"}, 503)
        return JSONResponse({"status": "ready"})

    async def metrics(self) -> Response:
        self.recorded.waiting.set(self.batcher.waiting)
        return Response(self.recorded.render(), media_type=CONTENT_TYPE_LATEST)

    async def measured(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        start = time.perf_counter()
        response = await call_next(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        if request.scope["path"] == "/v1/predict":  # not request.url, which contains the client's Host header
            self.recorded.answers.labels(response.status_code).inc()
            self.recorded.seconds.observe(time.perf_counter() - start)
        return response


async def drain(stream: AsyncIterator[bytes], seconds: float) -> None:
    """Read and drop the rest of a refused upload: a client that is cut off while it sends may not see the answer.

    Stops at a pause of `DRAIN_SECONDS`, and after `seconds` in any case, the time that an accepted upload may take.
    """
    now = asyncio.get_running_loop().time
    last = now() + seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS) as end:
            async for _ in stream:
                end.reschedule(min(last, now() + DRAIN_SECONDS))
