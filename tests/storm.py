"""Build, search, train, export, serve and watch side by side, while their processes and disks fail: `make storm`.

`python tests/storm.py --minutes 60 --seed 1`. Every job is first done undisturbed. Then each does its work again and
again in a folder of its own, while faults drawn by the seed come over it, and is started again until it ends well. What
it made must then be what the undisturbed job made, without litter; a command that ended otherwise must have been killed
or have said one line; every request must have been answered as before or refused, unless the service was disturbed just
then; and no process may be left. The search trains nothing (`helpers/stub_search.py`); the training does.

The seed fixes which faults come in which order and after what time. What they hit also depends on how busy the machine
is. Ctrl-C or SIGTERM ends the storm early, with the same checks. Folders are small file systems of their own where they
can be mounted (root), and disks fail where there is a C compiler; else these faults are left out, and it is said.
"""

import argparse
import contextlib
import ctypes
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import psutil

HELPERS = Path(__file__).parent / "helpers"
sys.path[:0] = [str(HELPERS.parents[1]), str(HELPERS)]

import bad_inputs_files  # noqa: E402
import brightness_model  # noqa: E402
import killing  # noqa: E402
import radiographs  # noqa: E402
import stub_search  # noqa: E402

ROOM = 512  # MB of a job's file system
FAULTS_A_ROUND = 8  # then a round is left alone, so that it ends
PATIENCE = 900.0  # seconds after which a process hangs, beside those in which others had the processor
SMALL = ("--image-size", "32", "--epochs", "2", "--batch-size", "16", "--resamples", "100", "--deterministic")
FAILURES = []
COUNTS = Counter()
OVER = Event()


def fail(words, shown_by):
    """Note a failure, and keep the file or folder that shows it."""
    kept = Path(os.environ["STORM"], f"{len(FAILURES)}.kept")  # outside the job's file system, which ends with us
    shutil.copytree(shown_by, kept) if shown_by.is_dir() else shutil.copyfile(shown_by, kept)
    FAILURES.append(words)
    print(f"FAILED {words}; see {kept}", flush=True)


def mount(folder, options):
    """Mount a file system in memory, or change it; say whether that may be."""
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return "STORM_MOUNTS" in os.environ and not subprocess.run(words, check=False, capture_output=True).returncode


def starved(process):
    """Give the seconds for which a process was ready to run and another one had the processor."""
    waits = []
    with contextlib.suppress(OSError):  # it has ended, or this is no Linux
        waits += [int(file.read_text().split()[1]) for file in Path(f"/proc/{process}/task").glob("*/schedstat")]
    return max(waits, default=0) / 1e9


class Job:
    """A command that is done again and again in a folder of its own."""

    seconds, endless = 20.0, False  # how long it takes undisturbed; whether it never ends by itself

    def __init__(self, folder, words, files=(), begin=None):
        """Keep the words of the command for its folder, patterns of what it makes there, and what lies there before."""
        self.folder, self.work, self.log = folder, folder / "work", Path(f"{folder}.log")
        self.words, self.files, self.begin = words, files, begin
        self.memory, self.disturbed = False, 0.0  # whether memory is limited now; when the last fault came
        self.faults = [self.kill, self.stop, self.clip_memory, self.do_it_twice]
        folder.mkdir()
        if mount(folder, f"size={ROOM}m"):
            self.faults.append(self.fill)
        if "LD_PRELOAD" in os.environ:
            self.faults.append(self.break_disk_or_clock)

    def undisturbed(self):
        """Do the work once; keep what it made and how long it took."""
        begun = time.monotonic()
        assert self.do(0), self.log.read_text()
        self.seconds, self.known = max(3.0, time.monotonic() - begun), self.made()
        print(f"{self.folder.name}: {self.seconds:.0f} s, {len(self.known)} artefacts", flush=True)

    def again_and_again(self, seed):
        """Do the work under faults, and compare what it made, until all is over."""
        number = 0
        while not OVER.is_set():
            self.chance = random.Random(f"{seed} {self.folder.name} {number}")
            if self.do(FAULTS_A_ROUND):
                made, told = self.made(), re.search("[1-9]\\d* dead letter", self.log.read_text())
                wrong = [name for name in made | self.known if made.get(name) != self.known.get(name)]
                if wrong and not told:  # an image over which export.watch was killed three times is told of
                    fail(f"{self.work}, round {number}: other than undisturbed: {wrong}", self.work)
                if litter := [path for path in self.work.rglob("*") if killing.TEMPORARY.search(path.name)]:
                    fail(f"round {number}: litter {litter}", self.work)
                COUNTS[f"{self.folder.name} rounds{' with a dead letter' * bool(told)}"] += 1
            number += 1

    def made(self):
        """Give the digests of what was made; DICOM answers without their times."""
        said = {path: path.read_bytes() for pattern in self.files for path in self.work.glob(pattern) if path.is_file()}
        said |= {path: re.sub(rb"\d{6,}", b"", data) for path, data in said.items() if path.suffix == ".dcm"}
        return {str(path.relative_to(self.work)): hashlib.sha256(data).hexdigest() for path, data in said.items()}

    def do(self, most):
        """Start the command again until it ends well, under so many faults; say whether it did."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.begin, self.work) if self.begin else self.work.mkdir()
        self.start()
        faults = 0
        while faults <= 6 * most:
            alone = faults >= most or OVER.is_set()
            self.process.join(1.0 if alone else self.chance.expovariate(1 / min(self.seconds / 2, 45)))
            if self.process.exitcode is not None:
                self.ended_well(self.process.exitcode, self.log)
                if self.process.exitcode == 0:
                    return True
                faults += 1  # so that a command that always fails is noticed
                self.start()
            elif not alone:
                self.chance.choice(self.faults)()
                self.disturbed = time.monotonic()
                faults += 1
                COUNTS["faults"] += 1
            elif self.endless or time.monotonic() > self.disturbed + PATIENCE + starved(self.process.pid):
                break
        self.kill()
        if not (self.endless or self.memory):  # CPython waits for ever for a thread that got no memory to start
            fail(f"{self.work}: hangs, or never ends well", self.log)
        return False

    def start(self):
        self.memory, self.disturbed = False, time.monotonic()
        self.process = killing.begin(self.words(self.work), self.log)

    def ended_well(self, code, log):
        """A command ends well, is killed, or says one line; 255 is where two threads ask multiprocessing at once."""
        text = log.read_text(errors="replace") if log.exists() else ""
        if not self.memory and (code not in (0, 2, -signal.SIGKILL, 255) or "Traceback" in text):
            fail(f"exit code {code}: {text[-600:]}", log)

    def kill(self):
        killing.kill(self.process)

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGSTOP)
            time.sleep(self.chance.uniform(0.1, 3))
            os.killpg(self.process.pid, signal.SIGCONT)

    def clip_memory(self):
        """Leave the process a few more megabytes than it has."""
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            self.memory = True
            size = psutil.Process(self.process.pid).memory_info().vms + (self.chance.randrange(1, 200) << 20)
            resource.prlimit(self.process.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

    def do_it_twice(self):
        """Start the same command in the same folder: it waits, is refused, or finds the work done."""
        log = Path(f"{self.folder}.second.log")
        other = killing.begin(self.words(self.work), log)
        other.join(self.chance.uniform(1, self.seconds))
        if not killing.kill(other):
            self.ended_well(other.exitcode, log)

    def fill(self):
        """Let the file system be full for a while."""
        used = shutil.disk_usage(self.folder).used >> 10
        for size in (used + self.chance.choice((0, 4, 40)), ROOM << 10):
            mount(self.folder, f"remount,size={max(size, 4)}k")
            time.sleep(self.chance.uniform(0.1, 3))

    def break_disk_or_clock(self):
        """Let writes fail or be slow, or the clock be a day ahead, for a while; see `helpers/failing_disk.c`."""
        flag = self.chance.choice((self.folder / "eio", self.folder / "slow", self.folder.parent / "clock"))
        flag.touch()
        time.sleep(self.chance.uniform(0.05, 2))
        flag.unlink(missing_ok=True)


class Service(Job):
    """The HTTP service, which is asked all the time."""

    endless = True

    def __init__(self, folder, model):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        super().__init__(folder, lambda _: ("export.serve", model, "--port", self.port, "--threads", "1"))
        self.faults = [self.kill, self.stop, self.clip_memory, self.half_a_request]

    def half_a_request(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf")

    def ask(self):
        """Send images until all is over; an answer is the one that was given before, or says why there is none."""
        known, images = {}, [path.read_bytes() for path in sorted((self.folder.parent / "xrays").rglob("*.jpeg"))]
        while not OVER.is_set():
            image, begun = random.choice(images), time.monotonic()
            try:
                answer = httpx.post(f"http://127.0.0.1:{self.port}/v1/predict", content=image, timeout=60)
            except httpx.TransportError as error:
                COUNTS["requests lost while the service was down"] += 1
                if begun - self.disturbed > 60:
                    fail(f"serve: {error!r}, {begun - self.disturbed:.0f} s after the last fault", self.log)
                time.sleep(0.2)
            else:
                COUNTS[f"requests {answer.status_code}"] += 1
                right = answer.status_code in (422, 429, 503, 507) or self.memory
                if answer.status_code == 200:
                    right = known.setdefault(image, answer.json()) == answer.json()
                if not right:
                    fail(f"serve: {answer.status_code} {answer.text[:200]}, before {known.get(image)}", self.log)


def jobs(folder):
    """Make what the jobs read, and the jobs, each of which has been done once."""
    from pneumo_tfds.prepared import prepare

    source, dataset = bad_inputs_files.Stock(folder)("xrays"), prepare(None, 32, folder / "data", phantoms=60)
    bright, dicoms, trained = folder / "bright.onnx", folder / "dicoms", folder / "trained"
    brightness_model.write_model(bright, heatmap=True)
    dicoms.mkdir()
    for number in range(16):
        (dicoms / f"{number}.dcm").write_bytes(radiographs.radiograph(number))

    def train(work):
        resume = ("--resume",) if (work / "run/config.json").exists() else ()
        return "pipeline.train", "--run-dir", work / "run", "--model", "compact", "--dataset", dataset, *SMALL, *resume

    build = ("pneumo_tfds", "build", "--source", source, "--config", "gray_64", "--data-dir")
    search = (stub_search.__file__, "--seconds", "0.3")
    watch = ("export.watch", bright, "--source", dicoms, "--every", "0.1", "--once", "--threads", "1", "--out")
    names = ("model.keras", "model*.onnx", "golden.npz", "metrics.json", "predictions.csv", "parity.json")
    files = [f"run/{name}" for name in names]
    made = [
        Job(folder / "train", train, files),
        Job(folder / "build", lambda work: (*build, work), ["pneumo_tfds/gray_64/1.1.0/*"]),
        Job(folder / "search", lambda work: (*search, work), ["*/trials/*/trial.json"]),
        Job(folder / "export", lambda work: ("export", work / "run", "--fp16", "--threads", "1"), files, trained),
        Job(folder / "watch", lambda work: (*watch, work / "a", "--journal", work / "watch.sqlite"), ["a/*"]),
    ]
    for job in made:
        job.undisturbed()
        if not trained.exists():  # it was the training
            shutil.copytree(job.work, trained, ignore=shutil.ignore_patterns("*.onnx", "golden.npz", "parity.json"))
    return [*made, Service(folder / "serve", bright)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/storm"), help="emptied first")
    parser.add_argument("--only", nargs="+", help="the jobs that are disturbed")
    given = parser.parse_args()
    folder = given.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ |= {"STORM": str(folder), "PYTHONPATH": os.pathsep.join(sys.path[:2]), "CUDA_VISIBLE_DEVICES": "-1"}
    os.environ |= {"XDG_CACHE_HOME": f"{folder}/cache", "TFDS_DATA_DIR": f"{folder}/tfds"}
    if not ctypes.CDLL(None).unshare(0x20000):  # CLONE_NEWNS: mounts end with this process
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        os.environ["STORM_MOUNTS"] = "own"
    if compiler := shutil.which("gcc"):
        library = folder / "failing_disk.so"
        subprocess.run([compiler, "-shared", "-fPIC", HELPERS / "failing_disk.c", "-o", library, "-ldl"], check=True)
        os.environ["LD_PRELOAD"] = str(library)  # of what is started from here on
    every = [job for job in jobs(folder) if job.folder.name in (given.only or job.folder.name)]
    print(f"seed {given.seed}; faults: {sorted({fault.__name__ for job in every for fault in job.faults})}", flush=True)
    begun, end = time.monotonic(), time.monotonic() + 60 * given.minutes
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(2 * len(every)) as pool:
        going = [pool.submit(job.again_and_again, given.seed) for job in every]
        going += [pool.submit(job.ask) for job in every if isinstance(job, Service)]
        with contextlib.suppress(KeyboardInterrupt):
            while (left := end - time.monotonic()) > 0 and not any(each.done() for each in going):
                time.sleep(min(60, left))
                print(f"{left / 60:.0f} minutes left; {dict(COUNTS)}", flush=True)
        minutes = (time.monotonic() - begun) / 60
        OVER.set()
    for each in going:
        each.result()
    for process in psutil.process_iter(["environ"]):
        ours = (process.info["environ"] or {}).get("STORM") == str(folder)
        if ours and os.getsid(process.pid) != os.getsid(0):  # each command has a session of its own
            fail(f"a process is left: {process}", folder / "train.log")
    print(f"{dict(COUNTS)}\n{len(FAILURES)} failures in {minutes:.0f} minutes, seed {given.seed}")
    return min(len(FAILURES), 1)


if __name__ == "__main__":
    sys.exit(main())
