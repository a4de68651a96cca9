"""Whether Python finds this project's packages, whose names are common ones, or something else by their names."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from importlib.metadata import packages_distributions
from pathlib import Path

from pneumo_tfds.program.installed import record

PACKAGES = ("pipeline", "tuning", "export", "benchmarks")
HOME = Path(__file__).parents[2]


def shadowing() -> str:
    """Return one line about the first package that is not ours, naming the file and what to do; empty if all are."""
    recorded = dict(re.findall(r"^(\w+)/__init__\.py,sha256=([\w-]+)", record(), re.MULTILINE))
    for name in PACKAGES:
        spec, own = importlib.util.find_spec(name), HOME / name / "__init__.py"
        found = Path(spec.origin) if spec and spec.origin else None
        if found is None:
            return f"{own} is missing, as after another package with a folder {name} was removed; {_apart()}"
        if found.resolve() != own.resolve():
            whose = _owners(name)
            remedy = _apart() if whose else "rename it, or take its folder out of PYTHONPATH or leave it"
            return f"{found}{whose and whose + ','} hides the {name} of pneumo, {own.parent}; {remedy}"
        if name in recorded and recorded[name] != _digest(own):
            return f"{own} was overwritten{_owners(name, ' by')}; {_apart()}"
    return ""


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file as the record of an installation has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")


def _owners(name: str, before: str = ", of") -> str:
    others = sorted(set(packages_distributions().get(name, [])) - {"pneumo"})
    return f"{before} {', '.join(others)}" if others else ""


def _apart() -> str:
    return "install pneumo in a virtual environment of its own"
