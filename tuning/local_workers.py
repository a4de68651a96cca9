"""`--workers N`: this process is KerasTuner's chief, and N processes of this machine train trials for it over gRPC.

The chief watches the workers. It restarts one that dies under the same name, and KerasTuner gives the worker its trial
back, which continues from its last epoch. No worker outlives the chief: each holds the end of a pipe and ends when the
pipe breaks. On a cluster the workers are started from outside. A worker that is not heard from for too long loses its
trial to the next one that asks.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pneumo_tfds.program.command import BAD_INPUT
from pneumo_tfds.program.cores_and_memory import available_cores
from pneumo_tfds.program.errors import InputError
from tuning.search import kerastuner_roles
from tuning.search.journal import Journal
from tuning.search.tuner import SearchTuner

MAXIMUM_LOSSES = 3  # of workers in one trial, then the trial fails; of one worker without a trial, then the search ends
LAST_SECONDS = 1.0  # for the answer that dismisses the last worker of a cluster to arrive, before the chief ends
POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0


def serve(
    tuner: SearchTuner,
    workers: LocalWorkers | None,
    report: Callable[[str], None],
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Be the chief until the search has ended.

    Args:
        tuner: created under the chief's environment variables.
        workers: workers to start and watch; None if they are started from outside (a cluster).
        report: called with a line about each worker that is lost.
        on_tick: called a few times a second.

    Raises:
        InputError: the port is taken, or the workers cannot work.
    """
    kerastuner_roles.check_port()
    patience, losses = kerastuner_roles.patience(kerastuner_roles.WORKER_PATIENCE), WorkerLosses(tuner, report)
    failure: list[BaseException] = []

    def answer() -> None:
        try:
            tuner.search()
        except Exception as error:  # noqa: BLE001 (raised again below, in the main thread)
            failure.append(error)

    server = threading.Thread(target=answer, name="chief", daemon=True)
    server.start()
    try:
        if workers:
            workers.start()
        # KerasTuner's own loop checks only every 20 seconds whether all workers have ended.
        while server.is_alive() and not (workers.watch(tuner, losses) if workers else tuner.oracle.all_dismissed()):
            for name, trial in tuner.oracle.reclaim(patience):
                losses.add(name, f"was not heard from for {patience:g} s", trial)
            on_tick()
            time.sleep(POLL_SECONDS)
        if not workers:
            time.sleep(LAST_SECONDS)
    finally:
        if workers:
            workers.stop()
    if failure:
        raise failure[0]
    on_tick()


@dataclass
class WorkerLosses:
    """Workers lost in each trial; a trial that costs too many counts as failed."""

    tuner: SearchTuner
    report: Callable[[str], None]
    count: Counter[str] = field(default_factory=Counter)  # by id of the trial

    def add(self, worker: str, how: str, trial: Any) -> None:
        """Record that a worker was lost, how, and in which trial (None: it had none)."""
        if trial is None:
            self.report(f"{worker} {how}")
            return
        self.count[trial.trial_id] += 1
        number = int(trial.trial_id) + 1
        if self.count[trial.trial_id] < MAXIMUM_LOSSES:
            self.report(f"{worker} {how} in trial {number}, which another attempt continues")
            return
        self.report(f"trial {number} has cost {MAXIMUM_LOSSES} workers; it counts as failed")
        folder = Path(self.tuner.get_trial_dir(trial.trial_id))
        journal = Journal.read(folder) or Journal({})
        journal.outcome, journal.reason = "failed", f"{MAXIMUM_LOSSES} workers were lost in it; the last {how}"
        journal.write(folder)
        trial.status, trial.message = "FAILED", journal.reason
        self.tuner.oracle.end_trial(trial)


@dataclass
class Worker:
    """One process and its name, which it keeps when it is restarted."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    losses_without_trial: int = 0  # since it last had a trial

    def last_line(self) -> str:
        """Return the last line of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return ["it is empty", *text.strip().splitlines()][-1]


@dataclass
class LocalWorkers:
    """The workers of this machine."""

    command: list[str]
    """What starts a worker."""
    count: int
    port: int
    logs: Path
    """Folder of their output."""
    gpus: int = 0
    """GPUs that this process sees; the workers take turns on them."""
    workers: list[Worker] = field(default_factory=list)

    def start(self) -> None:
        """Start all workers."""
        self.logs.mkdir(parents=True, exist_ok=True)
        for number in range(1, self.count + 1):
            log = self.logs / f"worker{number}.log"
            self.workers.append(Worker(log.stem, log, self._process(number, log)))

    def watch(self, tuner: SearchTuner, losses: WorkerLosses) -> bool:
        """Restart the workers that died; return whether all have ended well.

        Raises:
            InputError: a worker reports that no trial can be trained, or dies repeatedly before it gets a trial.
        """
        for number, worker in enumerate(self.workers, start=1):
            code = worker.process.poll()
            if code == BAD_INPUT:
                raise InputError(worker.last_line().partition(": ")[2] or worker.last_line())
            if code:
                _count_loss(worker, code, tuner.oracle.ongoing_trials.get(worker.name), losses)
                worker.process = self._process(number, worker.log)
        return all(worker.process.poll() == 0 for worker in self.workers)

    def stop(self) -> None:
        """End the workers that still run: break their pipe, terminate them, and kill those that remain."""
        running = [worker.process for worker in self.workers if worker.process.poll() is None]
        for process in running:
            if process.stdin:
                process.stdin.close()
            process.terminate()
        end = time.monotonic() + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _process(self, number: int, log: Path) -> subprocess.Popen[bytes]:
        share = str(max(1, available_cores() // self.count))
        threads = {name: os.environ.get(name, share) for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")}
        variables = os.environ | threads | kerastuner_roles.environment(log.stem, self.port)
        if self.gpus:  # TF_FORCE_GPU_ALLOW_GROWTH: several workers may share one GPU
            variables |= {"CUDA_VISIBLE_DEVICES": self._gpu(number), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        with log.open("ab") as output:
            # A session of its own: Ctrl-C reaches only the chief, which then ends the workers in order.
            return subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env=variables,
            )  # fmt: skip

    def _gpu(self, number: int) -> str:
        """Return the GPU of a worker, by the name that the user gave it in CUDA_VISIBLE_DEVICES, or by its index."""
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = given.split(",")[: self.gpus] if given else [str(index) for index in range(self.gpus)]
        return names[(number - 1) % len(names)].strip()


def _count_loss(worker: Worker, code: int, trial: Any, losses: WorkerLosses) -> None:
    how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    worker.losses_without_trial = 0 if trial else worker.losses_without_trial + 1
    if worker.losses_without_trial >= MAXIMUM_LOSSES:
        raise InputError(
            f"{worker.name} {how} {MAXIMUM_LOSSES} times without a trial; its log is {worker.log}: {worker.last_line()}"
        )
    losses.add(worker.name, how if trial else f"{how}; it is restarted", trial)
