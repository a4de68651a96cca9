"""Settings as JSON: the format of `config.json`, of a search's files and of files that people write."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import read_json

AnyConfig = TypeVar("AnyConfig")

PLAINER = {
    "unexpected_keyword_argument": "there is no such setting",
    "dataclass_type": "expected an object of settings",
}
"""pydantic's type of error to plainer words than its own."""


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config dataclass as plain JSON values."""
    from pydantic import TypeAdapter

    plain: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return plain


def read(path: Path, kind: type[AnyConfig]) -> AnyConfig:
    """Read a config dataclass from a JSON file. Absent fields take their defaults.

    Raises:
        InputError: the file is missing, is not JSON, or a field has an unknown name or a value that is not allowed.
    """
    return checked(kind, read_json(path, "give a run's config.json"), f"{path}: ")


def checked(kind: type[AnyConfig], settings: Any, origin: str = "") -> AnyConfig:
    """Return settings as a config dataclass; texts become paths, and lists tuples, where a field asks for them.

    Raises:
        InputError: a field has an unknown name or a value that is not allowed; the message begins with `origin`.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(settings, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = PLAINER.get(first["type"], first["msg"].removeprefix("Value error, "))  # which precedes an InputError
        raise InputError(f"{origin}{where}: {what}" if where else f"{origin}{what}") from error
