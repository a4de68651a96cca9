"""Build, search, train, export, serve and watch side by side, while their processes and disks fail: `make storm`.

`python tests/storm.py --minutes 60 --seed 1`. Every job is first done undisturbed. Then each does its work again and
again in a folder of its own, while faults drawn by the seed come over it, and is started again until it ends well. What
it made must then be what the undisturbed job made, without litter; a command that ended otherwise must have been killed
or have said one line; every request must have been answered as before or refused, unless the service was disturbed just
then; and no process may be left. The search trains nothing (`helpers/stub_search.py`); the training does.

The seed fixes which faults come in which order and after what time. What they hit also depends on how busy the machine
is. Folders are small file systems of their own where they can be mounted (root, `unshare`), and disks fail where there
is a C compiler; else these faults are left out, and it is said.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

HELPERS = Path(__file__).parent / "helpers"
sys.path[:0] = [str(HELPERS.parents[1]), str(HELPERS)]

import bad_inputs_files  # noqa: E402
import brightness_model  # noqa: E402
import killing  # noqa: E402
import radiographs  # noqa: E402
import stub_search  # noqa: E402

JOBS = ("train", "build", "search", "export", "watch", "serve")
ROOM = 512  # MB of a job's file system
FAULTS_A_ROUND = 8  # then a round is left alone, so that it ends
LONGEST = 90.0  # seconds between two faults of a job, twice
PATIENCE = 900.0  # seconds after which a process hangs
SMALL = ("--image-size", "32", "--epochs", "2", "--batch-size", "16", "--resamples", "100", "--deterministic")


@dataclass
class Job:
    """A command that is done again and again."""

    name: str
    folder: Path
    line: Callable[[Path], Sequence[object]]
    made: Callable[[Path], dict[str, str]]
    """What must be the same in the end, by name."""
    begin: Callable[[Path], object] = lambda folder: None
    seconds: float = 30.0
    """How long it took undisturbed."""
    undisturbed: dict[str, str] = field(default_factory=dict)
    memory: bool = False
    """Whether memory was limited in this attempt."""

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def start(self) -> Any:
        self.folder.with_suffix(".log").touch()
        return killing.begin((__file__, "--as", self.folder, *self.line(self.work)), self.folder.with_suffix(".log"))


def digests(*names: str) -> Callable[[Path], dict[str, str]]:
    """Give the digests of the files of these patterns below a folder."""

    def made(folder: Path) -> dict[str, str]:
        paths = sorted({path for name in names for path in folder.glob(name) if path.is_file()})
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}

    return made


def trials(folder: Path) -> dict[str, str]:
    """Give values and score of each trial."""
    states = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("tuner/trials/trial_*/trial.json")}
    return {name: f"{state['hyperparameters']['values']} {state['score']}" for name, state in states.items()}


def answers(folder: Path) -> dict[str, str]:
    """Give the answers' names, and what they say apart from the time."""
    import pydicom

    said = {}
    for path in sorted((folder / "answers").glob("*")):
        dataset = pydicom.dcmread(path)
        lines = [
            line for line in str(dataset).splitlines() if not any(f" {kind}: " in line for kind in ("DA", "TM", "DT"))
        ]
        said[path.name] = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return said


class Storm:
    """The jobs, the faults, and what went wrong."""

    def __init__(self, folder: Path, seed: int, shim: bool) -> None:
        self.folder, self.seed, self.failures, self.counts = folder, seed, list[str](), Counter[str]()
        self.faults: list[Callable[[Job, Any, random.Random], None]] = [kill, stop, clip_memory, self.second]
        if shim:
            self.faults += [lambda *given: armed("eio", *given), lambda *given: armed("clock", *given)]
        self.over = threading.Event()

    def __str__(self) -> str:
        return "; ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))

    def mount(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "tmpfs", str(folder)]
        if (
            os.geteuid() == 0
            and subprocess.run(words, check=False, capture_output=True).returncode == 0
            and fill not in self.faults
        ):
            self.faults.append(fill)

    def second(self, job: Job, process: Any, chance: random.Random) -> None:
        """Start the same command in the same folder: it waits, is refused, or finds the work done."""
        log = job.folder.with_suffix(".second.log")
        log.touch()
        other = killing.begin((__file__, "--as", job.folder, *job.line(job.work)), log)
        other.join(chance.uniform(1, job.seconds))
        if not killing.kill(other):
            self.ended_well(job, other.exitcode, log)

    def ended_well(self, job: Job, code: int | None, log: Path) -> None:
        """A command ends well, is killed, or says one line."""
        text = log.read_text(errors="replace")
        expected = code in (0, 2, -signal.SIGKILL) or (job.memory and code is not None)
        if not expected or ("Traceback" in text and not job.memory):
            kept = log.with_suffix(f".{len(self.failures)}.kept")
            shutil.copyfile(log, kept)
            self.fail(f"{job.name}: exit code {code}, see {kept}: {text[-600:]}")

    def fail(self, words: str) -> None:
        print(f"FAILED {words}", flush=True)
        self.failures.append(words)

    def round(self, job: Job, number: int) -> None:
        """Do a job once, disturbed, and compare what it made."""
        chance, faults = random.Random(f"{self.seed} {job.name} {number}"), 0
        shutil.rmtree(job.work, ignore_errors=True)
        job.begin(job.work)
        while True:
            job.memory = False
            process, deadline = job.start(), time.monotonic() + PATIENCE
            while process.exitcode is None and time.monotonic() < deadline:
                disturbed = faults < FAULTS_A_ROUND and not self.over.is_set()
                process.join(chance.expovariate(2 / min(job.seconds, LONGEST)) if disturbed else 1.0)
                if disturbed and process.exitcode is None:
                    fault = chance.choice(self.faults)
                    fault(job, process, chance)
                    faults += 1
                    self.counts["faults"] += 1
            if process.exitcode is None:
                self.fail(f"{job.name}, round {number}: hangs, see {job.folder.with_suffix('.log')}")
                killing.kill(process)
                return
            self.ended_well(job, process.exitcode, job.folder.with_suffix(".log"))
            if process.exitcode == 0:
                break
            faults += 1  # so that a command that always fails is noticed
            if faults > 6 * FAULTS_A_ROUND:
                self.fail(
                    f"{job.name}, round {number}: never ends well; {job.folder.with_suffix('.log').read_text()[-300:]}"
                )
                return
        made = job.made(job.work)
        if made != job.undisturbed:
            wrong = sorted(
                name for name in made.keys() | job.undisturbed.keys() if made.get(name) != job.undisturbed.get(name)
            )
            kept = self.folder / f"kept.{job.name}.{number}"
            shutil.copytree(job.work, kept, dirs_exist_ok=True)
            self.fail(f"{job.name}, round {number}: other than undisturbed: {wrong}, see {kept}")
        if litter := [path for path in job.work.rglob("*") if killing.TEMPORARY.search(path.name)]:
            self.fail(f"{job.name}, round {number}: litter {litter}")
        self.counts[f"{job.name} rounds"] += 1

    def again_and_again(self, job: Job) -> None:
        number = 0
        while not self.over.is_set():
            self.round(job, number)
            number += 1

    def serve(self, model: Path, images: list[bytes]) -> None:
        """Ask a service that is disturbed, and start it again when it is killed."""
        chance = random.Random(f"{self.seed} serve")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        url, known = f"http://127.0.0.1:{port}", dict[int, Any]()
        job = Job(
            "serve",
            self.folder / "serve",
            lambda _: ("export.serve", model, "--port", port, "--threads", "1"),
            digests(),
        )
        self.mount(job.folder)
        quiet = time.monotonic()
        process, due = job.start(), quiet + 30
        while not self.over.is_set():
            if process.exitcode is not None:
                self.ended_well(job, process.exitcode, job.folder.with_suffix(".log"))
                job.memory, process, quiet = False, job.start(), time.monotonic()
            if time.monotonic() > due:
                fault = chance.choice([kill, stop, clip_memory, half_a_request])
                fault(job, process, chance) if fault is not half_a_request else half_a_request(port)
                self.counts["faults"] += 1
                quiet, due = time.monotonic(), time.monotonic() + chance.uniform(1, 20)
            number, begun = chance.randrange(len(images)), time.monotonic()
            try:
                answer = httpx.post(f"{url}/v1/predict", content=images[number], timeout=60)
            except httpx.TransportError as error:
                self.counts["requests lost while the service was down"] += 1
                if begun - quiet > 60:
                    self.fail(f"serve: {error!r}, {begun - quiet:.0f} s after the last fault")
                time.sleep(0.2)
                continue
            self.counts[f"requests {answer.status_code}"] += 1
            if answer.status_code == 200:
                if known.setdefault(number, answer.json()) != answer.json():
                    self.fail(f"serve: {answer.text} instead of {known[number]}")
            elif answer.status_code not in (422, 429, 503, 507) and not job.memory:
                self.fail(f"serve: {answer.status_code} {answer.text[:200]}")
        killing.kill(process)


def kill(job: Job, process: Any, chance: random.Random) -> None:
    killing.kill(process)


def stop(job: Job, process: Any, chance: random.Random) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(chance.uniform(0.1, 3))
        os.killpg(process.pid, signal.SIGCONT)


def clip_memory(job: Job, process: Any, chance: random.Random) -> None:
    """Leave a process a few more megabytes than it has."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        job.memory = True
        size = psutil.Process(process.pid).memory_info().vms + (chance.randrange(1, 200) << 20)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def fill(job: Job, process: Any, chance: random.Random) -> None:
    """Let the file system of a job be full for a while."""
    free = os.statvfs(job.folder)
    used = (free.f_blocks - free.f_bfree) * free.f_frsize >> 10
    for size in (used + chance.choice((0, 4, 40)), ROOM << 10):
        subprocess.run(
            ["mount", "-o", f"remount,size={max(size, 4)}k", str(job.folder)], check=False, capture_output=True
        )
        time.sleep(chance.uniform(0.1, 3))


def armed(what: str, job: Job, process: Any, chance: random.Random) -> None:
    """Let writes fail, or the clock jump, for a while."""
    flag = job.folder / what
    flag.touch()
    time.sleep(chance.uniform(0.05, 2))
    flag.unlink()


def half_a_request(port: int) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf")


def jobs(place: Path, source: Path, dataset: Path, dicoms: Path, bright: Path, trained: Path) -> list[Job]:
    def train(work: Path) -> Sequence[object]:
        resume = ("--resume",) if (work / "run/config.json").exists() else ()
        return "pipeline.train", "--run-dir", work / "run", "--model", "compact", "--dataset", dataset, *SMALL, *resume

    def copied(work: Path) -> None:
        for name in ("model.keras", "config.json", "metrics.json"):
            (work / "run").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(trained / name, work / "run" / name)

    def build(work: Path) -> Sequence[object]:
        return "pneumo_tfds", "build", "--source", source, "--config", "gray_64", "--data-dir", work

    def watch(work: Path) -> Sequence[object]:
        where = ("--out", work / "answers", "--journal", work / "watch.sqlite", "--every", "0.1")
        return "export.watch", bright, "--source", dicoms, *where, "--once", "--threads", "1"

    files = ("model.keras", "model*.onnx", "golden.npz", "metrics.json", "predictions.csv", "lock.json", "parity.json")
    return [
        Job("train", place / "train", train, digests(*(f"run/{name}" for name in files if name != "lock.json"))),
        Job("build", place / "build", build, digests("pneumo_tfds/gray_64/1.1.0/*")),
        Job("search", place / "search", lambda work: (stub_search.__file__, work, "--seconds", "0.3"), trials),
        Job("export", place / "export", lambda work: ("export", work / "run", "--fp16", "--threads", "1"),
            digests(*(f"run/{name}" for name in files)), copied),
        Job("watch", place / "watch", watch, answers, lambda work: work.mkdir(parents=True)),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/storm"), help="emptied first")
    parser.add_argument("--again", action="store_true", help="keep what was done undisturbed in the folder before")
    parser.add_argument("--only", nargs="+", default=JOBS, choices=JOBS)
    given = parser.parse_args()
    if os.geteuid() == 0 and "STORM_MOUNTS" not in os.environ:
        os.environ["STORM_MOUNTS"] = "own"
        if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0:
            os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    folder = given.folder.resolve()
    for each in list(folder.iterdir()) if folder.exists() else ():
        if not (given.again and each.name in ("calm", "data", "xrays", "bright.onnx")):
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    library, flags = folder / "failing_disk.so", ("-shared", "-fPIC", "-O1")
    shim = (
        bool(shutil.which("gcc"))
        and not subprocess.run(
            ["gcc", *flags, HELPERS / "failing_disk.c", "-o", library, "-ldl"], check=False
        ).returncode
    )
    os.environ.update(
        XDG_CACHE_HOME=str(folder / "cache"),
        TFDS_DATA_DIR=str(folder / "tfds"),
        TMPDIR="/tmp",
        PYTHONPATH=os.pathsep.join(sys.path[:2]),
        TF_CPP_MIN_LOG_LEVEL="3",
        CUDA_VISIBLE_DEVICES="-1",
    )
    if shim:
        os.environ["LD_PRELOAD"] = str(library)  # of what is started from here on
    from pneumo_tfds.prepared import prepare

    stock = bad_inputs_files.Stock(folder)
    source, dataset = stock("xrays"), prepare(None, 32, folder / "data", phantoms=60)
    images = [path.read_bytes() for path in sorted(source.rglob("*.jpeg"))]
    bright = brightness_model.write_model(folder / "bright.onnx", heatmap=True)
    for number in range(16):
        path = folder / f"dicoms/{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(radiographs.radiograph(number))
    storm = Storm(folder, given.seed, shim)
    calm = jobs(folder / "calm", source, dataset, folder / "dicoms", bright, folder / "calm/train/work/run")
    wild = jobs(folder / "wild", source, dataset, folder / "dicoms", bright, folder / "calm/train/work/run")
    for job, later in zip(calm, wild, strict=True):
        job.folder.mkdir(parents=True, exist_ok=True)
        took = job.folder / "seconds.json"
        if not took.exists():
            job.begin(job.work)
            begun = time.monotonic()
            killing.finish((__file__, "--as", job.folder, *job.line(job.work)), job.folder.with_suffix(".log"))
            took.write_text(json.dumps(time.monotonic() - begun))
        later.seconds, later.undisturbed = max(3.0, json.loads(took.read_text())), job.made(job.work)
        assert later.undisturbed, f"{job.name} made nothing"
        storm.mount(later.folder)
        print(f"{job.name}: {later.seconds:.0f} s, {len(later.undisturbed)} artefacts", flush=True)
    print(
        f"seed {given.seed}; disks that fail and clocks that jump: {shim}; full disks: {fill in storm.faults}",
        flush=True,
    )
    threads = [threading.Thread(target=storm.again_and_again, args=[job]) for job in wild if job.name in given.only]
    if "serve" in given.only:
        threads.append(threading.Thread(target=storm.serve, args=[bright, images]))
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60 * given.minutes
    while time.monotonic() < end:
        storm.over.wait(60)
        print(f"{(end - time.monotonic()) / 60:.0f} minutes left; {storm}", flush=True)
    storm.over.set()
    for thread in threads:
        thread.join()
    left = [
        each
        for each in psutil.process_iter(["cmdline"])
        if str(folder / "wild") in " ".join(each.info["cmdline"] or ())
    ]
    if left:
        storm.fail(f"processes left: {left}")
    print(storm)
    print(f"{len(storm.failures)} failures in {given.minutes:.0f} minutes, seed {given.seed}")
    return min(len(storm.failures), 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        place = Path(sys.argv[2])
        os.environ.update(STORM_EIO=str(place / "eio"), STORM_CLOCK=str(place / "clock"))
        sys.argv[:] = sys.argv[3:]
        if sys.argv[0].endswith(".py"):
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.exit(main())
