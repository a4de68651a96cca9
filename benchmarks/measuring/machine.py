"""The machine that the figures were measured on, and the bandwidth of its memory."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psutil

from pneumo_tfds.program import processor
from pneumo_tfds.program.cores_and_memory import available_cores
from pneumo_tfds.program.installed import version_of

PACKAGES = (
    "tensorflow", "keras", "tensorflow-datasets", "numpy", "opencv-python-headless", "onnxruntime", "torch", "grain",
    "nvidia-dali-cuda120", "spdl-core", "webdataset", "albumentations", "openvino", "ai-edge-litert",
)  # fmt: skip
BANDWIDTH_BYTES = 256 * 2**20  # well beyond any cache
BANDWIDTH_PASSES = 5


def describe(threads: int) -> dict[str, Any]:
    """Return processor, cores, memory, operating system, Python and package versions, and the time, as JSON values."""
    return {
        "processor": processor.name(),
        "cores": available_cores(),
        "threads": threads,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := version_of(name))},
        "load_average": round(psutil.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def summary(machine: dict[str, Any]) -> str:
    """Return the description of the machine in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['threads']} threads for each contender; Python {machine['python']}, {versions}; "
        f"{machine['date'][:10]}, load {machine['load_average']} before the start"
    )


def write_bandwidth() -> float:
    """Return how many bytes a second one core copies from memory to memory: the best of a few passes over 256 MiB."""
    source, target = np.ones(BANDWIDTH_BYTES, np.uint8), np.zeros(BANDWIDTH_BYTES, np.uint8)
    best = 0.0
    for _ in range(BANDWIDTH_PASSES):
        start = time.perf_counter()
        np.copyto(target, source)
        best = max(best, BANDWIDTH_BYTES / (time.perf_counter() - start))
    return best
