"""What `/v1` takes and gives, as FastAPI checks it and /openapi.json describes it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from export.serve.uploads import FORM, JSON, MOST_IMAGES

IMAGE_TYPES = ("image/jpeg", "image/png", "application/dicom")


class Which(BaseModel):
    """The parameter of the address that names a model."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = Field(None, description="Name of the model, if the service has several")


class Options(Which):
    """The parameters of a prediction."""

    heatmap: bool = Field(False, description="Include the heat map, if the model has one")
    two_way: bool = Field(False, description="Decide NORMAL or PNEUMONIA by the threshold alone")
    threshold: float | None = Field(None, ge=0, le=1, description="Decide by this threshold alone; implies two_way")


class Answer(BaseModel):
    """The answer for one image."""

    probability: float = Field(description="P(PNEUMONIA), 0 to 1")
    decision: str = Field(description="NORMAL, PNEUMONIA, UNCERTAIN or UNSUITABLE; with two_way one of the first two")
    threshold: float
    familiarity: float | None = Field(description="How much the image looks like the training images, 0 to 1")
    reasons: list[str] = Field(description="Why it is UNCERTAIN or UNSUITABLE, and what else is unusual")
    subtype: str | None = Field(
        None, description="BACTERIA or VIRUS if it is PNEUMONIA; only of a model that tells. For research only"
    )
    subtype_probability: float | None = Field(None, description="Probability of the subtype, 0.5 to 1; not calibrated")
    intended_use: str
    model: str = Field(description="First 12 digits of the SHA-256 of the model file that gave it")
    engine: str = Field(description="What computed it, such as onnxruntime and its version")
    heatmap: list[list[float]] | None = Field(None, description="[h][w], logit units; only if asked for")


class NamedAnswer(Answer):
    """The answer for one of several images."""

    file: str


class Unanswered(BaseModel):
    """One of several images, without an answer."""

    file: str
    error: str


class Answers(BaseModel):
    """The answers for several images, in their order."""

    answers: list[NamedAnswer | Unanswered]


class NoAnswers(BaseModel):
    """The reasons why none of several images has an answer."""

    detail: str
    answers: list[Unanswered]


class Problem(BaseModel):
    """The reason why there is no answer; of several images with all of theirs."""

    detail: str
    answers: list[Unanswered] | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The body is empty, or a form or JSON that cannot be read",
        404: "No model has that name",
        408: "The body did not arrive in time",
        413: "The body is too large, or has too many images",
        415: "Not a JPEG, PNG or DICOM file",
        422: "The image is damaged, too small or too large, or the address has an unknown parameter",
        503: "Too many images or requests are waiting; try again after Retry-After seconds",
    }.items()
}

_BASE64 = {"type": "string", "contentEncoding": "base64"}
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": MOST_IMAGES}
_IMAGES = {"type": "array", "items": _BASE64, "maxItems": MOST_IMAGES}
BODY = {
    **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES},
    FORM: {"schema": {"type": "object", "properties": {"file": _FILES}}},
    JSON: {"schema": {"type": "object", "properties": {"image": _BASE64, "images": _IMAGES}}},
}
