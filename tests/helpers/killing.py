"""Kill a command with SIGKILL at many moments of its work, and let it go on each time.

An undisturbed run is watched first: which file it writes when. Moments are then drawn from it by a seed, half of them
evenly over its time, half over what is written, so that short stages are hit too. Each is told as "so long after this
file was written", which means the same however busy the machine is and however much an earlier attempt had done.

Commands are forked from a server that has imported their libraries, and then run as `python -m` runs them: importing
TensorFlow again for each kill would take most of the time.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import re
import runpy
import signal
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import onnx

POLL_SECONDS = 0.004
PATIENCE_SECONDS = 1800
SEED, AIMED = 8, 20
START = "start"
LIBRARIES = (
    "pipeline.training.fit",
    "pipeline.stages.illustrate",
    "pipeline.stages.judge",
    "export.export_run",
    "tuning.session",
    "tf2onnx",
)
TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.partial|\.incomplete\w*|incomplete\.\w+?_")


@dataclass(frozen=True)
class Write:
    """A file that got its content, its temporary name or its final one; or the start of the process."""

    name: str
    seconds: float
    """Since the start."""


@dataclass(frozen=True, order=True)
class Moment:
    """When to kill."""

    place: int
    """Number of the undisturbed run's write that is waited for."""
    delay: float
    """Seconds after it."""


@dataclass
class Killed:
    """What came of the kills."""

    stages: Counter[str] = field(default_factory=Counter)
    """How many in each stage, by what the process had written last."""
    lives: int = 0
    """Folders that were brought to their end."""

    def __str__(self) -> str:
        stages = ", ".join(f"{stage} {count}" for stage, count in self.stages.items())
        return f"{self.stages.total()} kills in {self.lives} folders, all recovered from: {stages}"


def begin(line: Sequence[object], log: Path) -> Any:
    """Start a command, its module or script and then its arguments, in a session of its own; give its process."""
    words = [str(word) for word in line]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *LIBRARIES])
    log.unlink(missing_ok=True)  # or a process that is killed at once seems to have written what is there
    process = context.Process(target=_command, args=(words, str(log)))
    process.start()
    return process


def _command(words: list[str], log: str) -> None:
    """Be `python -m MODULE ...`, or `python SCRIPT ...`."""
    os.setsid()
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv[:] = words
    if words[0].endswith(".py"):
        runpy.run_path(words[0], run_name="__main__")
    else:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def kill(process: Any) -> bool:
    """Kill the command and what it started; say whether it was still running."""
    if process.exitcode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not got its session yet
            process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def finish(line: Sequence[object], log: Path) -> None:
    """Run a command to its end, which must be a good one."""
    process = begin(line, log)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0, log.read_text()


def watch(process: Any, folder: Path) -> Iterator[Write | None]:
    """Give what is written below a folder as it is written, and None now and then, until the process has ended."""
    begun, seen = time.monotonic(), _contents(folder)
    yield Write(START, 0.0)
    while True:
        ended = process.exitcode is not None
        found = _contents(folder)
        for path in sorted(path for path, stamp in found.items() if seen.get(path) != stamp):
            yield Write(TEMPORARY.sub(".partial", path), time.monotonic() - begun)
        seen = found
        if ended:
            return
        yield None
        assert time.monotonic() - begun < PATIENCE_SECONDS, "it never ended"
        time.sleep(POLL_SECONDS)


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    found, waiting = {}, [str(folder)] if folder.exists() else []
    while waiting:
        try:
            for entry in os.scandir(waiting.pop()):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    status = entry.stat(follow_symlinks=False)
                    found[os.path.relpath(entry.path, folder)] = (status.st_ino, status.st_mtime_ns)
        except FileNotFoundError:
            continue  # renamed or removed as we looked
    return found


def watched(line: Sequence[object], folder: Path, log: Path) -> list[Write]:
    """Run a command undisturbed; give what it wrote when, and last its end."""
    begun, process = time.monotonic(), begin(line, log)
    writes = [write for write in watch(process, folder) if write]
    assert process.exitcode == 0, log.read_text()
    return [*writes, Write("end", time.monotonic() - begun)]


def moments(writes: Sequence[Write], count: int, generator: random.Random, stage: Callable[[str], str]) -> list[Moment]:
    """Draw moments, in the order of the work: half evenly over time, half evenly over stages and the writes in them."""
    drawn = []
    stages: dict[str, list[int]] = {}
    for place, write in enumerate(writes[:-1]):
        stages.setdefault(stage(write.name), []).append(place)
    turn = itertools.cycle(stages.values())
    for number in range(count):
        if number % 2:
            place, part = generator.choice(next(turn)), generator.random()
            drawn.append(Moment(place, part * (writes[place + 1].seconds - writes[place].seconds)))
        else:
            when = generator.uniform(0, writes[-1].seconds)
            place = max(number for number, write in enumerate(writes[:-1]) if write.seconds <= when)
            drawn.append(Moment(place, when - writes[place].seconds))
    return sorted(drawn)


def killed_at(moment: Moment, writes: Sequence[Write], line: Sequence[object], folder: Path, log: Path) -> str | None:
    """Run a command until a moment and kill it; give what it wrote last, or None if it came to its end before."""
    awaited = writes[moment.place].name
    later = {write.name for write in writes[moment.place + 1 :]} - {w.name for w in writes[: moment.place + 1]}
    process, last, due = begin(line, log), START, float("inf")
    for write in watch(process, folder):
        now = time.monotonic()
        if write:
            last = write.name
            if write.name == awaited:
                due = min(due, now + moment.delay)
            elif write.name in later:  # an earlier attempt had written what is awaited
                due = now
        if now >= due and kill(process):
            return last
    process.join()
    assert process.exitcode == 0, log.read_text()
    return None


def again_and_again(
    line: Callable[[Path], Sequence[object]],
    place: Callable[[int], Path],
    writes: Sequence[Write],
    count: int,
    *,
    stage: Callable[[str], str],
    needed: frozenset[str],
    after_kill: Callable[[Path], None],
    at_end: Callable[[Path], None],
) -> Killed:
    """Kill a command at moments drawn by `SEED`, letting it go on in the same folder until it ends, then in a new one.

    Args:
        line: the command line that begins in a folder or goes on there.
        place: makes the folder of a life, counted from 0.
        writes: of the undisturbed run.
        count: how many moments to draw.
        stage: of a file that was written.
        needed: stages that have to be among those killed in. One that was over before the kill came is aimed at again,
            up to `AIMED` times.
        after_kill: looks at the folder that a killed process left.
        at_end: looks at the folder of a process that ended well.
    """
    generator = random.Random(SEED)
    came, waiting = Killed(), moments(writes, count, generator, stage)
    while waiting:
        folder = place(came.lives)
        log = folder.with_name(f"{folder.name}.log")
        alive = True
        while waiting and alive:
            last = killed_at(waiting[0], writes, line(folder), folder, log)
            if last is None:
                alive = False  # quicker than the kill, which comes a little earlier in the next life
                waiting[0] = Moment(waiting[0].place * 9 // 10, waiting[0].delay / 2)
            else:
                waiting.pop(0)
                came.stages[stage(last)] += 1
                print(f"kill {came.stages.total()}, life {came.lives}: after {last}", flush=True)
                after_kill(folder)
        if alive:
            finish(line(folder), log)
        at_end(folder)
        came.lives += 1
        missed = needed - came.stages.keys()
        if not waiting and missed and came.stages.total() < count + AIMED:
            waiting = [_moment_in(min(missed), writes, stage, generator.random())]
    assert needed <= came.stages.keys()
    return came


def _moment_in(wanted: str, writes: Sequence[Write], stage: Callable[[str], str], part: float) -> Moment:
    """A moment between two writes: where that stage wrote nothing for longest."""
    places = (place for place, write in enumerate(writes[:-1]) if stage(write.name) == wanted)
    wait, place = max((writes[place + 1].seconds - writes[place].seconds, place) for place in places)
    return Moment(place, part * wait)


def whole(path: Path) -> bool:
    """Say whether a file of ours can be read to its end."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8")) is not None
    if path.suffix in (".npz", ".keras"):
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    if path.suffix == ".png":
        return cv2.imread(str(path)) is not None
    if path.suffix == ".onnx":
        onnx.checker.check_model(onnx.load(path))
    if path.suffix == ".html":
        return path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    if path.suffix == ".csv":
        return path.read_text(encoding="utf-8").endswith("\n")
    return True


def contents(folder: Path) -> dict[str, Path]:
    """Give the files below a folder that have their final names, by these."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if not any(part[0] == "." for part in Path(name).parts)}
