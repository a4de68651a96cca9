"""Requests that share a batch: those that fail, that are cancelled, and that wait when the service stops."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from export.serve.batching import Batcher, BatchLimits


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as pool:
        yield pool


class Gate:
    """A model that returns ten times the item once the gate is open, and fails on a negative one."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, items):
        self.entered.set()
        assert self.open.wait(30)
        if min(items) < 0:
            raise ValueError(f"no answer for {min(items)}")
        return [10 * item for item in items]


async def inside(gate):
    """Wait until the model works."""
    await asyncio.get_running_loop().run_in_executor(None, gate.entered.wait, 30)


def test_waiting_requests_are_cancelled_when_the_service_stops(executor):
    """One item is with the model and two wait: all three are cancelled."""
    gate = Gate()

    async def work():
        async with Batcher(gate, BatchLimits(largest=1, wait=0.0), executor) as batcher:
            asked = [asyncio.create_task(batcher.submit(item)) for item in (1, 2, 3)]
            await inside(gate)
            assert batcher.waiting == 2
        gate.open.set()
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)

    assert [type(answer) for answer in asyncio.run(work())] == [asyncio.CancelledError] * 3


def test_a_cancelled_request_does_not_affect_the_others(executor):
    gate, sizes = Gate(), []

    async def work():
        async with Batcher(gate, BatchLimits(largest=3, wait=5.0), executor, sizes.append) as batcher:
            asked = [asyncio.create_task(batcher.submit(item)) for item in (1, 2, 3)]
            await inside(gate)
            asked[1].cancel()
            await asyncio.sleep(0)
            gate.open.set()
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)

    first, left, third = asyncio.run(work())
    assert (first, third) == (10, 30)
    assert isinstance(left, asyncio.CancelledError)
    assert sizes == [3]


def test_an_error_reaches_the_waiting_requests_of_its_batch_and_no_later_one(executor):
    gate = Gate()

    async def work():
        async with Batcher(gate, BatchLimits(largest=3, wait=5.0), executor) as batcher:
            asked = [asyncio.create_task(batcher.submit(item)) for item in (1, -2, 3)]
            await inside(gate)
            asked[0].cancel()
            await asyncio.sleep(0)
            gate.open.set()
            answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)
            later = await asyncio.wait_for(asyncio.gather(*(batcher.submit(item) for item in (4, 5, 6))), 30)
            return answers, later

    (left, *failed), later = asyncio.run(work())
    assert isinstance(left, asyncio.CancelledError)
    assert [str(error) for error in failed] == ["no answer for -2"] * 2
    assert later == [40, 50, 60]


def test_a_batch_ends_when_it_is_full_or_its_time_is_over(executor):
    """Of seven that wait together four and then three are answered; a last one is answered alone."""
    sizes, gate = [], Gate()
    gate.open.set()

    async def work():
        async with Batcher(gate, BatchLimits(largest=4, wait=0.05), executor, sizes.append) as batcher:
            answers = await asyncio.gather(*(batcher.submit(item) for item in range(7)))
            return [*answers, await batcher.submit(7)]

    assert asyncio.run(work()) == [10 * item for item in range(8)]
    assert sizes == [4, 3, 1]


def test_a_batch_does_not_wait_when_nothing_is_coming(executor):
    """The first item would wait for a minute; the second shares its call, as it is there already."""
    sizes, gate, coming = [], Gate(), [False]
    gate.open.set()

    async def work():
        async with Batcher(
            gate, BatchLimits(largest=4, wait=60.0), executor, sizes.append, lambda: coming[0]
        ) as batcher:
            await asyncio.wait_for(asyncio.gather(batcher.submit(1), batcher.submit(2)), 30)
            coming[0] = True
            waits = asyncio.create_task(batcher.submit(3))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waits, 0.05)

    asyncio.run(work())
    assert sizes == [2]


def test_a_batcher_that_was_never_started_can_be_closed(executor):
    async def work():
        await Batcher(Gate(), BatchLimits(), executor).__aexit__(None, None, None)

    asyncio.run(work())
