"""Settings as JSON: what a run folder, a search and a person's own file hold, and how it is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pneumo_tfds.errors import InputError

AnyConfig = TypeVar("AnyConfig")


def to_dict(config: Any) -> dict[str, Any]:
    """Give a config dataclass as plain JSON values."""
    from pydantic import TypeAdapter

    plain: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return plain


def read(path: Path, kind: type[AnyConfig]) -> AnyConfig:
    """Read a config dataclass from a JSON file that `to_dict` or a person made; absent fields keep their defaults.

    Raises:
        InputError: the file is missing, is not JSON, or a field has an unknown name or a value that is not allowed.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        _refuse_unknown(value, kind, path)
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}" if where else f"{path}: {first['msg']}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON (line {error.lineno}: {error.msg}); give a run's config.json") from error
    except InputError:
        raise
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path} is no text of settings ({error}); give a run's config.json") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a config.json of a run") from error


def _refuse_unknown(value: Any, kind: Any, path: Path) -> None:
    from typing import get_type_hints

    if not isinstance(value, dict):
        raise InputError(f"{path}: expected an object of settings, found {type(value).__name__}")
    hints = get_type_hints(kind)
    for name, part in value.items():
        if name not in hints:
            raise InputError(f"{path}: there is no setting {name!r}; settings are {', '.join(hints)}")
        if hasattr(hints[name], "__dataclass_fields__"):
            _refuse_unknown(part, hints[name], path)
