"""How much memory a build takes, all its processes together: `python -m benchmarks.build_memory --counts 1000 20000`.

Phantoms are drawn as they are built, so no image is read twice and none can lie in a cache.
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
    """Build datasets of more and more phantoms, and print the peak memory of each build's whole process tree."""

    counts: tuple[int, ...] = (500, 2000)
    """How many phantoms, one build for each number."""
    config: str = "phantom_224"
    """Size of the records."""
    workers: int | None = None
    """Decoding threads; one per core by default."""
    json: Path | None = None
    """Write the figures to this file."""


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    megabytes: float
    """Most memory that its processes held, 10^6 bytes: the sum of each one's own peak, so never too little on Linux."""
    seconds: float
    processes: int
    """How many there were at once, at most."""


def usage(words: Sequence[str]) -> Usage:
    """Run a command to its end, and watch it and all its descendants.

    Raises:
        InputError: it failed; with the last line it wrote to standard error.
    """
    start = time.perf_counter()
    peak, most = 0.0, 0
    with tempfile.TemporaryFile() as errors:
        process = psutil.Popen([*words], stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None:
            tree = [process, *_descendants(process)]
            peak, most = max(peak, sum(map(_megabytes, tree))), max(most, len(tree))
            time.sleep(POLL_SECONDS)
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines() or ["nothing"]
            raise InputError(f"{' '.join(words)} failed with {process.returncode} and said: {said[-1]}")
    return Usage(peak, time.perf_counter() - start, most)


def build_usage(count: int, config: str, workers: int | None = None) -> Usage:
    """The usage of a build of `count` phantoms, into a folder that is removed after it."""
    with tempfile.TemporaryDirectory(prefix="pneumo-benchmarks-") as folder:
        words = [sys.executable, "-m", "pneumo_tfds", "build", "--config", config, "--count", str(count)]
        words += ["--data-dir", folder, *(() if workers is None else ("--workers", str(workers)))]
        return usage(words)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return children


def _megabytes(process: psutil.Process) -> float:
    """A process's own peak where the kernel tells it (VmHWM), else what it holds now; 0 if it has just ended."""
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


def measure(options: MemoryOptions) -> None:
    """Build for each count and print a line for each."""
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
    run(MemoryOptions, measure, prog="python -m benchmarks.build_memory")
