"""Cores and memory by affinity and control groups, in folders as Linux shows them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pneumo_tfds.program import cores_and_memory
from pneumo_tfds.program.cores_and_memory import (
    affinity_cores,
    available_cores,
    cores_are_limited,
    memory_limit,
    quota_cores,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Put this process on a machine of 8 cores, in the control groups that are given as a text and files."""

    def put(process, files):
        (tmp_path / "cgroup").write_text(process)
        for name, content in files.items():
            (tmp_path / "mounted" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mounted" / name).write_text(content)

    monkeypatch.setattr(cores_and_memory, "PROCESS_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores_and_memory, "MOUNTED", tmp_path / "mounted")
    monkeypatch.setattr(cores_and_memory, "affinity_cores", lambda: 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    return put


@pytest.mark.parametrize(
    ("process", "files", "quota", "cores"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, 2),  # docker --cpus 1.5
        ("0::/\n", {"cpu.max": "max 100000\n"}, None, 8),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 0.1, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 99, 8),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3, 3),  # Slurm, systemd
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2, 2),
        ("0::/of/the/host\n", {"cpu.max": "400000 100000\n"}, 4, 4),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2, 2),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None, 8),
        (
            "4:cpuset:/\n3:cpu,cpuacct:/docker/1\n0::/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "250000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            2.5,
            3,
        ),
        ("0::/\n", {"cpu.max": "what is this\n"}, None, 8),
        ("nonsense", {}, None, 8),
    ],
)
def test_quota_of_control_groups_is_found_and_rounded_up(process, files, quota, cores, groups):
    groups(process, files)
    assert (quota_cores(), available_cores(), cores_are_limited()) == (quota, cores, cores < 8)


def test_affinity_below_the_quota_counts(groups, monkeypatch):
    groups("0::/\n", {"cpu.max": "400000 100000\n"})
    monkeypatch.setattr(cores_and_memory, "affinity_cores", lambda: 1)
    assert available_cores() == 1


@pytest.mark.parametrize(
    ("process", "files", "limit"),
    [
        ("0::/a\n", {"a/memory.max": "max\n", "memory.max": "4294967296\n"}, 4 << 30),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "1073741824\n"}, 1 << 30),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_memory_limit_of_control_groups_is_found(process, files, limit, groups):
    groups(process, files)
    assert memory_limit() == limit


def test_without_control_groups_nothing_is_limited(monkeypatch, tmp_path):
    monkeypatch.setattr(cores_and_memory, "PROCESS_GROUPS", tmp_path / "none")
    assert (quota_cores(), memory_limit()) == (None, None)


def test_systems_without_affinity_count_the_cores_of_the_machine(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert affinity_cores() == os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or affinity_cores() < 2, reason="needs two cores and Linux")
def test_threads_of_onnxruntime_stay_on_the_cores_of_the_affinity():
    program = """
import os
core = max(os.sched_getaffinity(0))
os.sched_setaffinity(0, [core])
import tempfile
from pathlib import Path
from onnx import TensorProto, helper
from export.inference.inference_session import open_session
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.onnx"
    path.write_bytes(model.SerializeToString())
    before = set(os.listdir("/proc/self/task"))
    session = open_session(path)
print(set(os.listdir("/proc/self/task")) - before)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "set()\n"), ended.stderr
