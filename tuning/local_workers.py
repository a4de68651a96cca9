"""`--workers N`: this process is KerasTuner's chief, and N processes of this machine try trials for it over gRPC.

The chief watches them. One that dies is started again under its name, and KerasTuner gives it back the trial it had,
which goes on from its last epoch. No worker outlives the chief: each holds the end of a pipe and ends when it breaks.
On a cluster somebody else starts the workers. One that is not heard of for too long, here or there, loses its trial to
the next that asks.
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

from pneumo_tfds.program.command import BAD_INPUT
from pneumo_tfds.program.errors import InputError
from tuning.search import journal, kerastuner_roles
from tuning.search.tuner import Search

DEATHS = 3  # of workers in one trial before it counts as failed, and of one worker without a trial before we stop
LAST_SECONDS = 1.0  # between the answer that sends the last worker home and our end
POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0


def serve(
    tuner: Search,
    team: Team | None,
    on_tick: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Be the chief until the search has ended.

    Args:
        tuner: made under the chief's environment variables.
        team: workers to start and watch; None if somebody else starts them (a cluster).
        on_tick: called a few times a second.
        say: told what happens to workers.

    Raises:
        InputError: the port is taken, or the workers cannot work.
    """
    kerastuner_roles.check_port()
    patience, deaths = kerastuner_roles.patience(kerastuner_roles.WORKER_PATIENCE), Deaths(tuner, say)
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
        # KerasTuner's own loop looks only every 20 seconds whether all have gone home.
        while server.is_alive() and not (team.tend(tuner, deaths) if team else tuner.oracle.deserted()):
            for name, trial in tuner.oracle.lost(patience):
                deaths.lost(name, f"was not heard of for {patience:g} s", trial)
            on_tick()
            time.sleep(POLL_SECONDS)
        if not team:
            time.sleep(LAST_SECONDS)
    finally:
        if team:
            team.stop()
    if failure:
        raise failure[0]
    on_tick()


@dataclass
class Deaths:
    """Of workers in each trial: one that costs too many counts as failed."""

    tuner: Search
    say: Callable[[str], None]
    count: Counter[str] = field(default_factory=Counter)
    """By trial."""

    def lost(self, worker: str, how: str, trial: Any) -> None:
        """Note that a worker is gone, how, and in which trial (None: it had none)."""
        if trial is None:
            self.say(f"{worker} {how}")
            return
        self.count[trial.trial_id] += 1
        number = int(trial.trial_id) + 1
        if self.count[trial.trial_id] < DEATHS:
            self.say(f"{worker} {how} in trial {number}, which is given out again")
            return
        self.say(f"trial {number} has cost {DEATHS} workers; it counts as failed")
        folder = Path(self.tuner.get_trial_dir(trial.trial_id))
        account = journal.read(folder) or journal.Journal({})
        account.outcome, account.reason = "failed", f"{DEATHS} workers were lost in it; the last {how}"
        account.write(folder)
        trial.status, trial.message = "FAILED", account.reason
        self.tuner.oracle.end_trial(trial)


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
    members: list[Worker] = field(default_factory=list)

    def start(self) -> None:
        """Start all."""
        self.members = [Worker(f"worker{number}") for number in range(1, self.count + 1)]
        for member in self.members:
            self._start(member)

    def tend(self, tuner: Search, deaths: Deaths) -> bool:
        """Start again what died; say whether all have ended well.

        Raises:
            InputError: a worker says that no trial can be trained, or dies before it gets one.
        """
        for member in self.members:
            code = member.process.poll() if member.process else 0
            if code == BAD_INPUT:
                raise InputError(self._last_words(member).partition(": ")[2] or self._last_words(member))
            if code:
                self._replace(member, code, tuner.oracle.ongoing_trials.get(member.name), deaths)
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
        given = kerastuner_roles.environment(member.name, self.port) | threads
        if self.gpus:
            given["CUDA_VISIBLE_DEVICES"] = str(self.members.index(member) % self.gpus)
            given["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # several workers may share one
        return given

    def _replace(self, member: Worker, code: int, trial: Any, deaths: Deaths) -> None:
        how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        member.deaths = 0 if trial else member.deaths + 1
        if member.deaths >= DEATHS:
            raise InputError(
                f"{member.name} {how} {DEATHS} times without a trial; its log is "
                f"{self.logs / (member.name + '.log')}: {self._last_words(member)}"
            )
        deaths.lost(member.name, how if trial else f"{how}; it is started again", trial)
        self._start(member)

    def _last_words(self, member: Worker) -> str:
        lines = (self.logs / f"{member.name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it is empty"


def command(run_dir: Path) -> list[str]:
    """Give what starts one of our own workers."""
    return [sys.executable, "-m", "tuning.worker", "--run-dir", str(run_dir)]
