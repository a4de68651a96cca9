"""Which settings hold a path, so that it is neither shown nor handed on: it may name a person."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath

from pipeline.config import RunConfig

PATHS = {  # names of the settings that hold a path, or several
    setting.name
    for section in vars(RunConfig()).values()
    for setting in dataclasses.fields(section)
    if "Path" in str(setting.type)
}
NO_FILES = ("auto", "imagenet", "none")


def is_path(name: str, value: str) -> bool:
    """Return whether the value of a setting, as text, is a path or a list of paths."""
    if name == "layout":
        return value.endswith(".toml")  # else it is the name of a known data set
    return PurePath(value).is_absolute() or name in PATHS or (name == "pretrained_weights" and value not in NO_FILES)
