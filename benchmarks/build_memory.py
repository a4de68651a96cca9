"""Peak memory of a build, all its processes together: `python -m benchmarks.build_memory --counts 1000 20000`.

Phantoms are drawn as they are built, so no image is read twice or from a cache.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json

POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class MemoryOptions(Command):
    """Build datasets of different sizes from phantoms, and print the peak memory of each build's process tree."""

    counts: tuple[int, ...] = (500, 2000)
    """Numbers of phantoms, one build for each."""
    config: str = "phantom_224"
    """Size of the records."""
    workers: int | None = None
    """Decoding threads. Default: one per core."""
    json: Path | None = None
    """Write the figures to this file."""


@dataclass(frozen=True)
class Usage:
    """Resources that a command used."""

    megabytes: float
    """Peak memory, 10^6 bytes: the sum of the peaks of its processes, so never underestimated on Linux."""
    seconds: float
    processes: int
    """Maximum number of processes at once."""


def usage(words: Sequence[str]) -> Usage:
    """Run a command to its end; return what it and all its descendants used.

    Raises:
        InputError: it failed; the message ends with the last line of its standard error.
    """
    start = time.perf_counter()
    peak, most = 0.0, 0
    with tempfile.TemporaryFile() as errors:
        process = psutil.Popen([*words], stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None:
            tree = [process, *descendants(process)]
            peak, most = max(peak, sum(map(megabytes, tree))), max(most, len(tree))
            time.sleep(POLL_SECONDS)
        if process.returncode:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines() or ["no message"]
            raise InputError(f"{' '.join(words)} failed with exit code {process.returncode}: {lines[-1]}")
    return Usage(peak, time.perf_counter() - start, most)


def build_usage(count: int, config: str, workers: int | None = None) -> Usage:
    """Return the usage of a build of `count` phantoms, into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="pneumo-benchmarks-") as folder:
        words = [sys.executable, "-m", "pneumo_tfds", "build", "--config", config, "--count", str(count)]
        words += ["--data-dir", folder, *(() if workers is None else ("--workers", str(workers)))]
        return usage(words)


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return all running descendants of a process; none if it has ended."""
    try:
        children: list[psutil.Process] = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return children


def megabytes(process: psutil.Process) -> float:
    """Return a process's peak memory (VmHWM), or its present memory on other systems than Linux; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status")
        if status.exists():
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / 1e6
            return 0.0  # a zombie
        return float(process.memory_info().rss) / 1e6
    except (psutil.NoSuchProcess, OSError):
        return 0.0


def measure_builds(options: MemoryOptions) -> None:
    """Build and print a line for each count."""
    found = []
    for count in options.counts:
        used = build_usage(count, options.config, options.workers)
        found.append({"phantoms": count, **asdict(used)})
        print(
            f"{count:,} phantoms: peak {used.megabytes:,.0f} MB in {used.processes} processes, {used.seconds:,.0f} s",
            flush=True,
        )
    if options.json is not None:
        write_json(options.json, {"config": options.config, "builds": found})


if __name__ == "__main__":
    run(MemoryOptions, measure_builds, prog="python -m benchmarks.build_memory")
