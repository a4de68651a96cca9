"""What the inference stage measures besides images per second: latencies, file sizes, cold starts."""

import time

import numpy as np
import pytest

from benchmarks import cold_start, inference
from benchmarks.harness import CannotRunError


def test_latencies_leave_out_the_first_call_and_sizes_are_of_the_file(tmp_path):
    (tmp_path / "model").write_bytes(bytes(2_000_000))
    calls = []

    def answer(batch):
        time.sleep(1.0 if not calls else 0.001)  # the first call compiles
        calls.append(len(batch))

    contender = inference._contender("ours: x", lambda: answer, tmp_path / "model", np.zeros((3, 2, 2, 1), np.uint8))
    work = contender.prepare()
    assert [work() for _ in range(20)] == [3] * 20
    details = contender.details()
    assert 1 <= details["p50 ms"] <= details["p95 ms"] <= details["p99 ms"] < 900
    assert details["MB"] == 2.0


def test_size_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(bytes(1000))
    (tmp_path / "c").write_bytes(bytes(500))
    assert inference._bytes(tmp_path) == 1500


def test_cold_start_times_to_the_first_line_and_reads_the_childs_own_memory():
    ballast = bytes(400_000_000)  # of this process, not of the child
    seconds, megabytes = cold_start.start_once("import time; time.sleep(0.3); print(0.5, flush=True); time.sleep(3)")
    assert 0.3 <= seconds < 3
    assert 3 < megabytes < 200
    assert ballast


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "pass", "print(1); raise ValueError"])
def test_a_process_without_an_answer_is_told(code):
    with pytest.raises(CannotRunError):
        cold_start.start_once(code)


def test_the_made_images_fit_the_model():
    images = inference.images(3)
    assert images.shape == (3, inference.IMAGE_SIZE, inference.IMAGE_SIZE, 1)
    assert images.dtype == np.uint8
