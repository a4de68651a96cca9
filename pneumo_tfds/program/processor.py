"""The processor: its name, and the instruction sets that decide how fast networks are computed."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from pathlib import Path

INFORMATION = Path("/proc/cpuinfo")

INSTRUCTION_SETS = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "AMX": {"amx_tile"},
    "ASIMD": {"asimd"},
    "SVE": {"sve"},
    "i8mm": {"i8mm"},
}
"""Names of instruction sets, and the flags by which Linux shows them, on x86 and on ARM (the last four lines)."""

ARM_ONLY, X86_ONLY = ("ASIMD", "SVE", "i8mm"), ("AVX2", "AVX-512", "VNNI", "AMX")


def name() -> str:
    """Return the name of the processor as its maker or the system calls it."""
    lines = [line.partition(":") for line in _information().splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in lines}
    if "model name" in facts:
        return facts["model name"]
    if "CPU part" in facts:  # ARM, by numbers
        return f"{platform.machine()}, implementer {facts.get('CPU implementer')}, part {facts['CPU part']}"
    if platform.system() == "Darwin":
        with suppress(OSError, subprocess.SubprocessError):
            ask = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(ask, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def instruction_sets() -> dict[str, bool] | None:
    """Return which of the `INSTRUCTION_SETS` of its kind the processor has; None where the system does not tell."""
    flags = set(_information().split())
    if not flags:
        return None
    other_kind = X86_ONLY if platform.machine().lower() in ("aarch64", "arm64") else ARM_ONLY
    return {name: bool(known & flags) for name, known in INSTRUCTION_SETS.items() if name not in other_kind}


def _information() -> str:
    try:
        return INFORMATION.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
