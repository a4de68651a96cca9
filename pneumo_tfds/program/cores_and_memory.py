"""Cores and memory that this process may use, which can be fewer than the machine has.

`taskset` and cpusets restrict the cores (the CPU affinity); containers, systemd and batch systems restrict cores and
memory by Linux control groups, version 1 or 2. Libraries obey the affinity, but seldom a quota.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROCESS_GROUPS = Path("/proc/self/cgroup")
MOUNTED = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Return how many cores this process may use, by affinity and quota; a part of a core counts as one."""
    quota = quota_cores()
    cores = affinity_cores()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def affinity_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_are_limited() -> bool:
    """Return whether this process may use fewer cores than the machine has."""
    return available_cores() < (os.cpu_count() or 1)


def quota_cores() -> float | None:
    """Return how many cores' time the control groups of this process allow, such as 1.5; None if all of it."""
    quotas = []
    for group in _groups("cpu"):
        with suppress(OSError, ValueError):
            limit, period = (group / "cpu.max").read_text(encoding="utf-8").split()  # version 2
            quotas += [int(limit) / int(period)] if limit != "max" else []
        with suppress(OSError, ValueError):
            limit = (group / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (group / "cpu.cfs_period_us").read_text(encoding="utf-8")
            quotas += [int(limit) / int(period)] if int(limit) > 0 else []  # -1: no limit
    return min((quota for quota in quotas if quota > 0), default=None)


def memory_limit() -> int | None:
    """Return the memory that the control groups of this process allow, in bytes; None if all of the machine's."""
    limits = []
    for group in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # ValueError: the word "max"
                limits.append(int((group / name).read_text(encoding="utf-8")))
    return min((limit for limit in limits if 0 < limit < 2**60), default=None)  # version 1 writes 2**63 for no limit


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and those around it, whose limits hold as well.

    In a container the path may be that of the host, which is not mounted; the last folder is then the container's own.
    """
    with suppress(OSError, UnicodeDecodeError):
        for line in PROCESS_GROUPS.read_text(encoding="utf-8").splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0":
                roots = [MOUNTED]
            elif controller in controllers.split(","):
                roots = [MOUNTED / controllers, MOUNTED / controller]
            else:
                continue
            for root in roots:
                own = root / path.lstrip("/")
                yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))
