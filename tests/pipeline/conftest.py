"""What two runs that are the same run must have in common."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

CLOCK = ("seconds", "images_per_second", "waiting")


def state(folder):
    """Give what a checkpoint holds, its clock times left out."""
    with np.load(folder / "state.npz") as saved:
        found = {name: saved[name].tolist() for name in saved.files if name != "state"}
        told = json.loads(str(saved["state"]))
    rows = [{name: value for name, value in row.items() if name not in CLOCK} for row in told["history"]]
    return found | {"history": rows, "iterations": told["iterations"]}


def results(run):
    """Give every file of a run folder by its name, as bytes, but without clock times; not the report: it tells them."""
    found = {}
    for path in run.rglob("*"):
        name = str(path.relative_to(run))
        if not path.is_file() or name == "report.html" or any(part[0] == "." for part in Path(name).parts):
            continue
        if path.name == "state.npz":
            found[name] = state(path.parent)
        elif name.startswith("history"):
            table = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8")
            found[name] = {column: table[column].tolist() for column in table.dtype.names if column not in CLOCK}
        elif name == "lock.json":
            content = json.loads(path.read_text())
            found[name] = content["locked"], content["earlier"]
        elif name == "checklist.html":
            found[name] = re.sub(r"[\d-]{10}T[\d:+]+", "when it was locked", path.read_text(encoding="utf-8"))
        else:
            found[name] = path.read_bytes()
    return found


@pytest.fixture(name="state", scope="session")
def state_fixture():
    return state


@pytest.fixture(name="results", scope="session")
def results_fixture():
    return results
