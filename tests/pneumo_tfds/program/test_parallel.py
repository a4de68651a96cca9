"""Threads: in order, bounded, and honest about errors."""

from __future__ import annotations

import threading
import time

import cv2
import pytest

from pneumo_tfds.program.parallel import ITEMS_AHEAD, ordered_map


@pytest.mark.parametrize("workers", [0, 1, 3, None])
def test_order_is_kept(workers):
    def slow_when_even(item):
        time.sleep(0.002 if item % 2 == 0 else 0)
        return item * item

    assert list(ordered_map(slow_when_even, range(50), workers)) == [item * item for item in range(50)]


def test_only_a_window_is_worked_ahead():
    started, lock = 0, threading.Lock()

    def count(item):
        nonlocal started
        with lock:
            started += 1
        return item

    results = ordered_map(count, iter(range(10_000)), 2)
    next(results)
    time.sleep(0.1)
    assert started <= 2 * ITEMS_AHEAD + 1
    results.close()


def test_errors_arrive_in_their_turn():
    def fail_at_seven(item):
        if item == 7:
            raise ValueError("seven")
        return item

    results = ordered_map(fail_at_seven, range(20), 2)
    with pytest.raises(ValueError, match="seven"):
        list(results)


def test_opencv_keeps_to_one_thread_only_meanwhile():
    before = cv2.getNumThreads()
    results = ordered_map(lambda item: cv2.getNumThreads(), range(100), 2)
    assert next(results) == 1
    results.close()
    assert cv2.getNumThreads() == before
