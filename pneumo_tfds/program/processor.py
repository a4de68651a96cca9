"""The processor of this machine: its name and its instruction sets."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

INFORMATION = Path("/proc/cpuinfo")


@cache
def _lines() -> dict[str, str]:
    """Return what Linux says of the first processor, by name; nothing on other systems."""
    if not INFORMATION.exists():
        return {}
    first = INFORMATION.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def processor_name() -> str:
    """Return the name of the processor, such as `AMD EPYC 9354`; its architecture if the system does not tell it."""
    return _lines().get("model name") or platform.processor() or platform.machine()


def instruction_sets() -> frozenset[str]:
    """Return the flags of the processor, such as `avx2` (x86) or `bf16` (Arm); none if the system tells none."""
    lines = _lines()
    return frozenset((lines.get("flags") or lines.get("Features", "")).split())
