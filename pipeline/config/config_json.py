"""Settings as JSON: the format of `config.json`, of a search's files and of files that people write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import read_json
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING

AnyConfig = TypeVar("AnyConfig")

RENAMED = {
    ("augment", "erase"): "random_erasing",
    ("model", "weights"): "pretrained_weights",
    ("fit", "average"): "ema_decay",
    ("fit", "members"): "ensemble_size",
    ("evaluation", "rule"): "threshold_rule",
    ("evaluation", "under_shift"): "threshold_under_shift",
    ("evaluation", "flips"): "test_time_flip",
    ("search", "stop_hopeless"): "median_stopping",
    ("search", "confirm"): "confirm_top",
    ("search", "seeds"): "confirm_seeds",
}
"""(Group, name in runs made before the renaming) to today's name."""

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
    return checked(kind, with_current_names(read_json(path, "give a run's config.json")), f"{path}: ")


def checked(kind: type[AnyConfig], settings: Any, origin: str = "") -> AnyConfig:
    """Return settings as a config dataclass; texts become paths, and lists tuples, where a field asks for them.

    Nothing else becomes something else: 1 is no switch, and "no" is no False.

    Raises:
        InputError: a field has an unknown name or a value that is not allowed; the message begins with `origin`.
    """
    from pydantic import TypeAdapter, ValidationError

    text, adapter = json.dumps(settings, default=_plain, ensure_ascii=False), TypeAdapter(kind)
    try:
        # JSON of pydantic has no paths that are not UTF-8. So it judges the values, and Python's own gives them.
        adapter.validate_json(text.encode(errors="replace"), strict=True, extra="forbid")
        return adapter.validate_python(json.loads(text), extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = PLAINER.get(first["type"], first["msg"].removeprefix("Value error, "))  # pydantic's own prefix
        raise InputError(f"{origin}{where}: {what}" if where else f"{origin}{what}") from error


def _plain(value: Any) -> Any:
    """Return what a program gave as JSON has it: numbers and arrays of NumPy as numbers and lists, a path as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def with_current_names(settings: Any) -> Any:
    """Return settings read from JSON under today's names, so that runs made before a renaming still open.

    Those runs seeded their evaluation with the training seed. Runs that name no framing squeezed their pictures.
    """
    if not isinstance(settings, dict):
        return settings
    groups = {name: dict(group) if isinstance(group, dict) else group for name, group in settings.items()}
    if isinstance(groups.get("data"), dict):
        groups["data"].setdefault("framing", DEFAULT_FRAMING)
    old = False
    for (group, before), now in RENAMED.items():
        values = groups.get(group)
        if isinstance(values, dict) and before in values and now not in values:
            values[now] = values.pop(before)
            old = True
    if old and isinstance(groups.get("evaluation"), dict) and isinstance(groups.get("fit"), dict):
        groups["evaluation"].setdefault("evaluation_seed", groups["fit"].get("seed", 0))
    return groups
