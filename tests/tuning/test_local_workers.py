"""What the processes of `--workers` are started with."""

from __future__ import annotations

import pytest

from tuning.local_workers import LocalWorkers


@pytest.mark.parametrize(
    ("given", "gpus", "expected"),
    [
        (None, 2, ["0", "1", "0"]),
        ("2,3", 2, ["2", "3", "2"]),
        ("GPU-8a1f, 5", 2, ["GPU-8a1f", "5", "GPU-8a1f"]),
        ("4,9", 1, ["4", "4", "4"]),  # TensorFlow found one of them
        ("2,3", 0, ["2,3", "2,3", "2,3"]),
    ],
)
def test_workers_take_turns_on_the_gpus_that_the_user_allows(tmp_path, monkeypatch, given, gpus, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    workers = LocalWorkers(["sh", "-c", "echo $CUDA_VISIBLE_DEVICES"], 3, 1, tmp_path, gpus)
    workers.start()
    assert [worker.process.wait(60) for worker in workers.workers] == [0, 0, 0]
    workers.stop()
    assert [worker.last_line() for worker in workers.workers] == expected
