"""`--workers N`: this process is KerasTuner's chief, and N processes of this machine try trials for it over gRPC.

The chief watches them. One that dies is started again under its name, and KerasTuner gives it back the trial it had,
which goes on from its last epoch. No worker outlives the chief: each holds the end of a pipe and ends when it breaks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pneumo_tfds.command import BAD_INPUT
from pneumo_tfds.errors import InputError
from tuning import cluster, journal
from tuning.search import Search

DEATHS = 3  # of workers in one trial before it counts as failed, and of one worker without a trial before we stop
POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0


def serve(tuner: Search, team: Team | None, on_tick: Callable[[], None] = lambda: None) -> None:
    """Be the chief until the search has ended.

    Args:
        tuner: made under the chief's environment variables.
        team: workers to start and watch; None if somebody else starts them (a cluster).
        on_tick: called a few times a second.

    Raises:
        InputError: the port is taken, or the workers cannot work.
    """
    cluster.check_port()
    failure: list[BaseException] = []

    def answer() -> None:
        try:
            tuner.search()
        except Exception as error:  # noqa: BLE001 (raised again below, in the thread that people see)
            failure.append(error)

    server = threading.Thread(target=answer, name="chief", daemon=True)
    server.start()
    try:
        if team:
            team.start()
        while server.is_alive() and not (team and team.tend(tuner)):
            on_tick()
            time.sleep(POLL_SECONDS)
    finally:
        if team:
            team.stop()
    if failure:
        raise failure[0]
    on_tick()


@dataclass
class Worker:
    """One process and its name, which it keeps when it is started again."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    """Without a trial, since it last had one."""


@dataclass
class Team:
    """The workers of this machine."""

    command: list[str]
    """What starts one."""
    count: int
    port: int
    logs: Path
    """Folder of their output."""
    gpus: int = 0
    say: Callable[[str], None] = lambda text: None
    members: list[Worker] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    """By trial."""

    def start(self) -> None:
        """Start all."""
        self.members = [Worker(f"worker{number}") for number in range(1, self.count + 1)]
        for member in self.members:
            self._start(member)

    def tend(self, tuner: Search) -> bool:
        """Start again what died; say whether all have ended well.

        Raises:
            InputError: a worker says that no trial can be trained, or dies before it gets one.
        """
        for member in self.members:
            code = member.process.poll() if member.process else 0
            if code == BAD_INPUT:
                raise InputError(self._last_words(member).partition(": ")[2] or self._last_words(member))
            if code:
                self._replace(member, code, tuner)
        return all(member.process and member.process.poll() == 0 for member in self.members)

    def stop(self) -> None:
        """End those that still run: their pipe breaks, then politely, then not."""
        running = [member.process for member in self.members if member.process and member.process.poll() is None]
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

    def _start(self, member: Worker) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{member.name}.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches the chief alone, which then ends the workers in order.
            member.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **self._environment(member)},
            )  # fmt: skip

    def _environment(self, member: Worker) -> dict[str, str]:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = str(max(1, cores // self.count))
        threads = {name: os.environ.get(name, share) for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")}
        given = cluster.environment(member.name, self.port) | threads
        if self.gpus:
            given["CUDA_VISIBLE_DEVICES"] = str(self.members.index(member) % self.gpus)
            given["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # several workers may share one
        return given

    def _replace(self, member: Worker, code: int, tuner: Search) -> None:
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        trial = tuner.oracle.ongoing_trials.get(member.name)
        if trial is None:
            member.deaths += 1
            if member.deaths >= DEATHS:
                raise InputError(
                    f"{member.name} ended {how} {DEATHS} times without a trial; its log is "
                    f"{self.logs / (member.name + '.log')}: {self._last_words(member)}"
                )
            self.say(f"{member.name} ended {how}; it is started again")
        else:
            member.deaths = 0
            self.deaths[trial.trial_id] += 1
            number = int(trial.trial_id) + 1
            if self.deaths[trial.trial_id] >= DEATHS:
                self.say(f"trial {number} has cost {DEATHS} workers; it counts as failed")
                _fail(trial, f"{DEATHS} workers in a row ended {how}", tuner)
            else:
                self.say(f"{member.name} ended {how} in trial {number}, which is given out again")
        self._start(member)

    def _last_words(self, member: Worker) -> str:
        lines = (self.logs / f"{member.name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it is empty"


def _fail(trial: Any, reason: str, tuner: Search) -> None:
    folder = Path(tuner.get_trial_dir(trial.trial_id))
    account = journal.read(folder) or journal.Journal({})
    account.outcome, account.reason = "failed", reason
    account.write(folder)
    trial.status, trial.message = "FAILED", reason
    tuner.oracle.end_trial(trial)


def command(run_dir: Path) -> list[str]:
    """Give what starts one of our own workers."""
    return [sys.executable, "-m", "tuning.worker", "--run-dir", str(run_dir)]
