"""Where the project keeps what it can find out again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `pneumo` in the user's folder for caches, `~/.cache` unless `XDG_CACHE_HOME` names another."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pneumo"
