"""The Open Inference Protocol, version 2 (KServe, Triton, Seldon): `/v2`, in JSON and with binary tensors.

A model has two inputs, of which a request gives one: `file`, BYTES `[n, 1]`, encoded images as they are (base64 where
the tensor is JSON); or `image`, UINT8 `[n, S, S, 1]`, pixels as the model takes them, of which no file is known. The
outputs are those of the ONNX file (`probability` and, if it has them, `familiarity`, `subtype` and `heatmap`), and
`decision` and `reasons`, BYTES `[n, 1]`; the latter are JSON lists. docs/how-to/predict-and-serve.md has an example.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from export.inference.classifier import Classifier, Prediction
from export.serve.batching import OverloadedError
from export.serve.served_models import VERSION, Loaded, Models
from export.serve.uploads import MOST_IMAGES, check_kind, from_base64, read_body
from pneumo_tfds.decode import DecodeError
from pneumo_tfds.decode.reasons import Reasons
from pneumo_tfds.program.errors import plain

HEADER_LENGTH = "Inference-Header-Content-Length"
READY_SECONDS = 5.0


class _Known(BaseModel):
    """Something in a request, which has nothing that would be ignored. What is null is as if it were not there."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class TensorParameters(_Known):
    """The parameters of an input."""

    binary_data_size: int | None = None
    content_type: str | None = None
    """What MLServer's clients say of the data. It changes nothing, because datatype and name say all."""


class OutputParameters(_Known):
    """The parameters of an output."""

    binary_data: bool | None = None


class Parameters(_Known):
    """The parameters of a request: those of the protocol, and of `/v1/predict`."""

    binary_data_output: bool = False
    two_way: bool = False
    threshold: float | None = Field(default=None, ge=0, le=1)


class Tensor(_Known):
    """An input."""

    name: Literal["file", "image"]
    shape: list[int]
    datatype: Literal["BYTES", "UINT8"]
    parameters: TensorParameters = TensorParameters()
    data: list[Any] | None = None


class Output(_Known):
    """An output that is asked for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class Inference(_Known):
    """A request."""

    id: str | None = None
    model_name: str | None = None
    """What KServe's client repeats of the address."""
    inputs: list[Tensor] = Field(min_length=1, max_length=1)
    outputs: list[Output] = []
    parameters: Parameters = Parameters()


def open_inference_routes(models: Models, most_bytes: int, seconds: float) -> APIRouter:
    """Return the routes under /v2; the body of a request is limited as in `read_body`."""
    routes = APIRouter(tags=["Open Inference Protocol"])

    @routes.get("/v2", summary="What the server is")
    async def server() -> dict[str, Any]:
        return {"name": "pneumo", "version": VERSION, "extensions": ["binary_tensor_data"]}

    @routes.get("/v2/health/live", summary="Whether the process is alive")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @routes.get("/v2/health/ready", summary="Whether all models answer")
    async def ready() -> JSONResponse:
        busy = [await not_ready(models[name]) for name in models.names]
        return JSONResponse({"ready": not any(busy)}, 503 if any(busy) else 200)

    @routes.get("/v2/models/{name}", summary="Inputs and outputs of a model")
    @routes.get("/v2/models/{name}/versions/{version}", include_in_schema=False)
    async def model(name: str, version: str = VERSION) -> dict[str, Any]:
        classifier = loaded_model(models, name, version).classifier
        side = classifier.image_size
        inputs, outputs = {"file": ("BYTES", [-1, 1]), "image": ("UINT8", [-1, side, side, 1])}, outputs_of(classifier)
        return {
            "name": name, "versions": [VERSION], "platform": f"{classifier.engine.split()[0]}_onnx",
            "inputs": [_described(tensor, *kind) for tensor, kind in inputs.items()],
            "outputs": [_described(tensor, *kind) for tensor, kind in outputs.items()],
        }  # fmt: skip

    @routes.get("/v2/models/{name}/ready", summary="Whether a model answers")
    @routes.get("/v2/models/{name}/versions/{version}/ready", include_in_schema=False)
    async def model_ready(name: str, version: str = VERSION) -> JSONResponse:
        busy = await not_ready(loaded_model(models, name, version))
        return JSONResponse({"name": name, "ready": not busy}, 503 if busy else 200)

    @routes.post("/v2/models/{name}/infer", summary="Predict images", openapi_extra=_BODY)
    @routes.post("/v2/models/{name}/versions/{version}/infer", include_in_schema=False)
    async def infer(request: Request, name: str, version: str = VERSION) -> Response:
        with loaded_model(models, name, version).used() as loaded:
            body = await read_body(request, most_bytes, seconds)
            asked, inputs = await asyncio.to_thread(_read, body, request.headers.get(HEADER_LENGTH), loaded.classifier)
            if asked.model_name not in (None, name):
                named = plain(f"model_name is {asked.model_name:.40}, and the address names {name:.40}")
                raise HTTPException(400, f"{named}; send it to the address of its model, or leave model_name out")
            unknown = {output.name for output in asked.outputs} - {*outputs_of(loaded.classifier)}
            if unknown:
                raise HTTPException(400, f"the model has no output {plain(sorted(unknown)[0]):.40}")
            decided_by = asked.parameters.two_way, asked.parameters.threshold
            if isinstance(inputs, np.ndarray):
                answers = [loaded.answer_pixels(pixels, Reasons(), *decided_by) for pixels in inputs]
            else:
                answers = [_answer_file(loaded, place, data, *decided_by) for place, data in enumerate(inputs, 1)]
            return _answered(name, asked, await asyncio.gather(*answers), loaded.classifier)

    return routes


_BODY = {"requestBody": {"content": {"application/json": {"schema": Inference.model_json_schema()}}, "required": True}}


async def not_ready(loaded: Loaded) -> str:
    """Return why a model does not answer now, or an empty text: it is asked about a black image."""
    side = loaded.classifier.image_size
    try:
        with loaded.used():  # otherwise an exchange of the file would end the question
            async with asyncio.timeout(READY_SECONDS):
                await loaded.ask(np.zeros((side, side, 1), np.uint8), Reasons())
    except (TimeoutError, OverloadedError) as error:
        return str(error) or f"no answer in {READY_SECONDS:g} s"
    return ""


def loaded_model(models: Models, name: str | None, version: str = VERSION) -> Loaded:
    """Return what is loaded under a name, None for the default; raises HTTPException with status 404."""
    try:
        found = models[name]
    except KeyError as error:
        raise HTTPException(
            404, f"no model is named {plain(str(name)):.40}; there is {', '.join(models.names)}"
        ) from error
    if version != VERSION:
        raise HTTPException(404, f"{name} has no version {plain(version):.40}, only {VERSION}")
    return found


def outputs_of(classifier: Classifier) -> dict[str, tuple[str, list[int]]]:
    """Return datatype and shape of each output by name."""
    found = {"probability": ("FP32", [-1, 1]), "decision": ("BYTES", [-1, 1]), "reasons": ("BYTES", [-1, 1])}
    known = {"familiarity": classifier.has_familiarity, "subtype": classifier.has_subtype}
    found |= {name: ("FP32", [-1, 1]) for name, has in known.items() if has}
    shape = classifier.heatmap_shape
    return found | ({} if shape is None else {"heatmap": ("FP32", [-1, *shape])})


def _described(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


async def _answer_file(loaded: Loaded, place: int, data: bytes, two_way: bool, threshold: float | None) -> Prediction:
    try:
        check_kind(data)
        return await loaded.answer_file(data, two_way, threshold)
    except DecodeError as error:
        raise HTTPException(422, f"file {place}: {error}") from error


def _read(body: bytes, header_length: str | None, classifier: Classifier) -> tuple[Inference, np.ndarray | list[bytes]]:
    """Return a request and its input: pixels uint8 `[n, S, S, 1]`, or encoded images; raises HTTPException."""
    try:
        length = len(body) if header_length is None else int(header_length)
        if not 0 <= length <= len(body):
            raise ValueError(f"{HEADER_LENGTH} is {header_length:.20}, and the body has {len(body)} bytes")
        asked = Inference.model_validate_json(body[:length])
        (tensor,) = asked.inputs
        size = tensor.parameters.binary_data_size
        binary = None if size is None else body[length:]
        if binary is not None and size != len(binary):
            raise ValueError(f"binary_data_size is {size!r:.20}, and {len(binary)} bytes follow the header")
        return asked, _files(tensor, binary) if tensor.name == "file" else _pixels(
            tensor, binary, classifier.image_size
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise HTTPException(400, plain(f"{where or 'the body'}: {first['msg']:.200}")) from error
    except ValueError as error:
        raise HTTPException(400, plain(f"{error}; see /v2/models/NAME for the inputs")) from error


def _pixels(tensor: Tensor, binary: bytes | None, side: int) -> np.ndarray:
    shape = tensor.shape
    if tensor.datatype != "UINT8" or shape[1:] != [side, side, 1] or not 1 <= shape[0] <= MOST_IMAGES:
        wanted = f"UINT8 [n, {side}, {side}, 1] with n from 1 to {MOST_IMAGES}"
        raise ValueError(f"image is {tensor.datatype} {shape!s:.40}, not {wanted}")
    values: Any = np.frombuffer(binary, np.uint8) if binary is not None else np.asarray(tensor.data)
    if values.dtype.kind not in "iu" or values.size != math.prod(shape) or values.min() < 0 or values.max() > 255:
        raise ValueError(f"image has {values.size} values, not {math.prod(shape)} whole numbers from 0 to 255")
    return np.asarray(values, np.uint8).reshape(shape)


def _files(tensor: Tensor, binary: bytes | None) -> list[bytes]:
    count = tensor.shape[0] if tensor.shape else 0
    if tensor.datatype != "BYTES" or tensor.shape[1:] not in ([], [1]) or not 1 <= count <= MOST_IMAGES:
        wanted = f"BYTES [n, 1] with n from 1 to {MOST_IMAGES}"
        raise ValueError(f"file is {tensor.datatype} {tensor.shape!s:.40}, not {wanted}")
    if binary is None:
        found = [from_base64(text) for text in _flat(tensor.data or [])]
    else:
        found, start = [], 0
        while start + 4 <= len(binary):
            end = start + 4 + struct.unpack_from("<I", binary, start)[0]
            found.append(binary[start + 4 : end])
            start = end
        if start != len(binary):
            raise ValueError("the lengths inside of file do not fit its bytes")
    if len(found) != count:
        raise ValueError(f"file has {len(found)} elements, not {count}")
    return found


def _flat(data: list[Any]) -> list[Any]:
    """Return the elements of a tensor, whose rows may be lists or not."""
    return [one for row in data for one in (_flat(row) if isinstance(row, list) else [row])]


def _answered(name: str, asked: Inference, found: Sequence[Prediction], classifier: Classifier) -> Response:
    """Return the answer to a request. The heat map of an image that is UNSUITABLE, which has none, is zeros."""
    heatmap_shape = classifier.heatmap_shape
    texts = {
        "decision": [one.decision.encode() for one in found],
        "reasons": [json.dumps(one.reasons).encode() for one in found],
    }
    numbers = {"probability": np.array([[one.probability] for one in found], np.float32)}
    if found[0].familiarity is not None:
        numbers["familiarity"] = np.array([[one.familiarity] for one in found], np.float32)
    if found[0].viral is not None:
        numbers["subtype"] = np.array([[one.viral] for one in found], np.float32)
    if heatmap_shape is not None:
        none = np.zeros(heatmap_shape, np.float32)
        numbers["heatmap"] = np.array([none if one.heatmap is None else one.heatmap for one in found], np.float32)
    whole = asked.parameters.binary_data_output
    own = {output.name: output.parameters.binary_data for output in asked.outputs}
    wanted = {output: whole if binary is None else binary for output, binary in own.items()}
    outputs, parts = [], []
    for tensor, binary in (wanted or dict.fromkeys((*numbers, *texts), whole)).items():
        values = numbers.get(tensor)
        if values is None:
            one = _described(tensor, "BYTES", [len(found), 1])
            raw = b"".join(struct.pack("<I", len(text)) + text for text in texts[tensor]) if binary else b""
            data: list[Any] = [text.decode() for text in texts[tensor]]
        else:
            one = _described(tensor, "FP32", [*values.shape])
            raw, data = values.tobytes(), values.ravel().tolist()
        parts.append(raw if binary else b"")
        outputs.append({**one, "parameters": {"binary_data_size": len(raw)}} if binary else {**one, "data": data})
    by = {"model": classifier.identity, "engine": classifier.engine}
    answer = {"model_name": name, "model_version": VERSION, "parameters": by, "outputs": outputs}
    header = json.dumps(answer | ({} if asked.id is None else {"id": asked.id})).encode()
    if not any(parts):
        return Response(header, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(header))}
    return Response(b"".join([header, *parts]), headers=headers, media_type="application/octet-stream")
