"""The HTTP service around one or more `Classifier`s: images in, JSON out. An example to start from.

It stores no image, logs no name, and refuses early: by the declared length, then by the number of bytes that arrive,
then by the file's header, before a pixel is decoded. `/v1` is ours, `/v2` the Open Inference Protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException

from export.inference.classifier import Classifier, Prediction
from export.serve.batching import BatchLimits, OverloadedError
from export.serve.help_page import POLICY, help_page
from export.serve.http_schema import BODY, PROBLEMS, Answer, Answers, NamedAnswer, NoAnswers, Options, Unanswered, Which
from export.serve.open_inference import loaded_model, not_ready, open_inference_routes
from export.serve.prometheus_metrics import Metrics
from export.serve.served_models import Loaded, Models
from export.serve.traffic import Traffic, problem
from export.serve.uploads import HOW, check_kind, damage, media_type, read_uploads
from pneumo_tfds.decode import DecodeError
from pneumo_tfds.program.cores_and_memory import available_cores
from pneumo_tfds.program.errors import plain

TAKE_SOME = ("/v1/predict", "/v1/model")
"""Addresses with parameters."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on what the service accepts."""

    body_bytes: int = 32 * 1024 * 1024
    """Largest upload."""
    body_seconds: float = 30.0
    """Longest time for an upload to arrive."""
    requests: int = 512
    """Most requests at once; connections that ask nothing do not count."""
    decoders: int = field(default_factory=available_cores)
    """Images decoded at once; one of the largest allowed size takes 1.3 GB for a moment."""
    batch: BatchLimits = field(default_factory=BatchLimits)
    """Limits of batching."""


def create_app(
    classifiers: Mapping[str, Classifier],
    limits: Limits | None = None,
    reopen: Callable[[Path], Classifier] = Classifier,
) -> FastAPI:
    """Create the service as an ASGI app, with its OpenAPI description at /openapi.json.

    Args:
        classifiers: the models by name, the default first.
        limits: on what is accepted.
        reopen: opens a model's file again, when `app.state.models.exchange_soon` is called.
    """
    limits, metrics = limits or Limits(), Metrics()
    models = Models(classifiers, limits.batch, limits.decoders, metrics, reopen)
    service = _Service(models, limits, metrics)
    uses = "; ".join(dict.fromkeys(one.metadata.intended_use for one in classifiers.values()))
    app = FastAPI(
        title="Pneumonia on chest X-rays",
        description=f"For {uses}. Not a medical device.",
        version="1",
        lifespan=lambda _: models.running(),
        docs_url=None,  # FastAPI's pages load scripts from another host
        redoc_url=None,
        dependencies=[Depends(_each_parameter_once)],
        redirect_slashes=False,  # the address of the redirect would be made of the client's Host header
    )
    app.state.models, app.state.closing = models, False
    app.add_api_route(
        "/v1/predict",
        service.predict,
        methods=["POST"],
        response_model=Answer | Answers,
        responses=PROBLEMS,
        summary="Predict images: the bytes of one, a form with files, or JSON with base64",
        openapi_extra={"requestBody": {"content": BODY, "required": True}},
    )
    for path, answer, summary in (
        ("/v1/models", service.names, "The names of the models, the default first"),
        ("/v1/model", service.model, "A model's metadata"),
        ("/healthz", service.health, "Whether the process is alive"),
        ("/readyz", service.ready, "Whether all models answer"),
        ("/metrics", service.metrics, "Metrics for Prometheus"),
    ):
        app.add_api_route(path, answer, methods=["GET"], summary=summary)
    app.add_api_route("/docs", service.docs, methods=["GET"], include_in_schema=False)
    app.add_api_route("/", _to_docs, methods=["GET"], include_in_schema=False)
    app.include_router(open_inference_routes(models, limits.body_bytes, limits.body_seconds))
    app.add_exception_handler(AnyHTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    app.add_exception_handler(OverloadedError, _refuse_for_now)
    app.add_middleware(Traffic, metrics=metrics, most=limits.requests)
    return app


class _Service:
    def __init__(self, models: Models, limits: Limits, metrics: Metrics) -> None:
        self.models, self.limits, self.recorded = models, limits, metrics

    async def predict(self, request: Request, options: Annotated[Options, Query()]) -> Response:
        loaded_model(self.models, options.model)
        uploads = await read_uploads(request, self.limits.body_bytes, self.limits.body_seconds)
        kind = media_type(request)
        with loaded_model(self.models, options.model).used() as loaded:

            async def answer(data: bytes) -> dict[str, Any] | HTTPException:
                try:
                    check_kind(data)
                    given = await loaded.answer_file(data, options.two_way, options.threshold)
                    return _fields(loaded.classifier, given, options)
                except DecodeError as error:
                    return damage(error, data, kind)
                except HTTPException as error:
                    return error

            found = await asyncio.gather(*(answer(upload.data) for upload in uploads.images))
        first = found[0]
        if not uploads.several:
            if isinstance(first, HTTPException):
                raise first
            return _json(Answer(**first))
        rows = zip((upload.name for upload in uploads.images), found, strict=True)
        answers = [
            NamedAnswer(file=name, **one) if isinstance(one, dict) else Unanswered(file=name, error=str(one.detail))
            for name, one in rows
        ]
        unanswered = [one for one in answers if isinstance(one, Unanswered)]
        if isinstance(first, HTTPException) and len(unanswered) == len(answers):
            detail = f"none of {len(answers)} images could be answered; the first: {first.detail}"
            return _json(NoAnswers(detail=detail, answers=unanswered), first.status_code)
        return _json(Answers(answers=answers))

    async def names(self) -> dict[str, tuple[str, ...]]:
        return {"models": self.models.names}

    async def model(self, which: Annotated[Which, Query()]) -> dict[str, Any]:
        classifier = loaded_model(self.models, which.model).classifier
        return {**asdict(replace(classifier.metadata, threshold=classifier.threshold)), "engine": classifier.engine}

    async def health(self) -> dict[str, str]:
        return {"status": "alive"}

    async def ready(self) -> JSONResponse:
        """Predict a black image, which shows that each model answers and that its queue has room."""
        for name in self.models.names:
            if why := await not_ready(self.models[name]):
                return JSONResponse({"status": "busy", "reason": f"{name}: {why}"}, 503)
        return JSONResponse({"status": "ready"})

    async def metrics(self) -> Response:
        for name in self.models.names:
            loaded: Loaded = self.models[name]
            loaded.metrics.refresh(loaded.waiting)
        return Response(self.recorded.render(), media_type=CONTENT_TYPE_LATEST)

    async def docs(self, request: Request) -> HTMLResponse:
        return HTMLResponse(help_page(request.app, self.models), headers={"Content-Security-Policy": POLICY})


def _fields(classifier: Classifier, found: Prediction, options: Options) -> dict[str, Any]:
    fields = {
        "probability": found.probability,
        "decision": found.decision,
        "threshold": found.threshold,
        "familiarity": found.familiarity,
        "reasons": list(found.reasons),
        **found.subtype_fields(),
        "intended_use": classifier.metadata.intended_use,
        "model": classifier.identity,
        "engine": classifier.engine,
    }
    if options.heatmap:
        fields["heatmap"] = None if found.heatmap is None else found.heatmap.tolist()
    return fields


def _json(answer: BaseModel, status: int = 200) -> Response:
    return Response(answer.model_dump_json(exclude_unset=True), status, media_type="application/json")


async def _each_parameter_once(request: Request) -> None:
    """Refuse a parameter given twice, or to an address that takes none; FastAPI checks those of `TAKE_SOME`."""
    names = [name for name, _ in request.query_params.multi_items()]
    path = request.scope["path"]
    for name in names:
        if path not in TAKE_SOME:
            text = f"unknown parameter {plain(name):.40}; this address takes none"
            raise HTTPException(400 if path.startswith("/v2") else 422, text)
        if names.count(name) > 1:
            raise HTTPException(422, f"parameter {plain(name):.40} is given {names.count(name)} times; give it once")


async def _to_docs() -> RedirectResponse:
    return RedirectResponse("docs")  # relative, for a proxy that serves this under a path of its own


async def _refuse(request: Request, error: Any) -> JSONResponse:
    """Answer an HTTPException; where the address or the method is wrong, say how to ask."""
    known = {
        404: "no such address; GET /docs says which there are",
        405: f"this address has other methods; to predict, POST to /v1/predict: {HOW}",
    }
    ours = isinstance(error, HTTPException)
    detail = error.detail if ours else known.get(error.status_code, error.detail)
    return problem(request.scope, error.status_code, detail, error.headers)


async def _refuse_for_now(request: Request, error: Exception) -> JSONResponse:
    return problem(request.scope, 503, str(error), {"Retry-After": "1"})


async def _refuse_parameter(request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    name = plain(str(first["loc"][-1]))
    known = ", ".join(Options.model_fields)
    unknown = first["type"] == "extra_forbidden"
    detail = f"unknown parameter {name:.40}; known are {known}" if unknown else f"{name:.40}: {first['msg']:.200}"
    return problem(request.scope, 422, plain(detail))
