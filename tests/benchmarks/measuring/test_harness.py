import itertools
import json

import pytest

from benchmarks.measuring import harness
from benchmarks.measuring.harness import CannotRunError, Case, Contender, Pace, Record, images_per_second, measure
from pneumo_tfds.program.errors import InputError

CASE = Case("input", "nothing", 8, 4, 1)


class Clock:
    """Time that only passes when told to."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(harness, "time", clock)
    return clock


def paced(clock, seconds, images=10, first=None):
    def work():
        for number in itertools.count():
            clock.now += first if first is not None and number == 0 else seconds
            yield images

    return work


def test_first_batch_counts_neither_as_images_nor_as_time(clock):
    rate = images_per_second(paced(clock, 0.5, images=10, first=100.0)(), seconds=2.0)
    assert rate == pytest.approx(20.0)


def test_run_ends_with_the_batch_that_passes_the_time(clock):
    done = []

    def work():
        for number in range(100):
            clock.now += 1.0
            done.append(number)
            yield 1

    images_per_second(work(), seconds=2.5)
    assert done == [0, 1, 2, 3]


def test_contenders_take_turns(clock):
    order = []

    def contender(name):
        def start():
            order.append(name)
            return paced(clock, 1.0)()

        return Contender(f"ours: {name}", start)

    measure(CASE, [contender("a"), contender("b"), contender("c")], Pace(2, 2.0))
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_kept_contender_is_started_once_and_others_anew(clock):
    started = []

    def contender(name, keep):
        def start():
            started.append(name)
            return paced(clock, 1.0)()

        return Contender(name, start, keep=keep)

    records = measure(CASE, [contender("ours: kept", True), contender("peer: fresh", False)], Pace(3, 2.0))
    assert started == ["ours: kept", "peer: fresh", "peer: fresh", "peer: fresh"]
    assert [len(record.runs) for record in records] == [3, 3]


def test_generator_is_closed_after_each_run(clock):
    closed = []

    def start():
        try:
            while True:
                clock.now += 1.0
                yield 1
        finally:
            closed.append(True)

    measure(CASE, [Contender("ours: a", start)], Pace(3, 2.0))
    assert len(closed) == 3


def test_missing_peer_is_listed_with_the_extra_that_brings_it(clock):
    absent = Contender("peer: absent", paced(clock, 1.0), needs=("no_such_module",), extra="peers")
    (record,) = measure(CASE, [absent], Pace(1, 1.0))
    assert record.runs == ()
    assert "no_such_module" in record.note
    assert "peers]" in record.note


def test_missing_parent_package_is_missing_too(clock):
    assert Contender("peer: absent", paced(clock, 1.0), needs=("no_such.module",)).missing()


def test_contender_that_cannot_run_is_listed_with_its_reason(clock):
    def start():
        raise CannotRunError("this CPU only emulates it")

    records = measure(CASE, [Contender("ours: a", start), Contender("ours: b", paced(clock, 1.0))], Pace(2, 1.0))
    assert records[0].note == "this CPU only emulates it"
    assert records[0].runs == ()
    assert len(records[1].runs) == 2


@pytest.mark.parametrize("batches", [0, 1])
def test_too_few_images_to_measure_is_one_clear_error(batches):
    with pytest.raises(InputError, match="--source is too small"):
        images_per_second(iter([4] * batches), 1.0)


def test_details_are_asked_for_after_the_last_run(clock):
    calls = []

    def details():
        calls.append(clock.now)
        return {"waiting, %": 3.0}

    (record,) = measure(CASE, [Contender("ours: a", paced(clock, 1.0), details=details)], Pace(2, 2.0))
    assert record.details == {"waiting, %": 3.0}
    assert len(calls) == 1


def test_ratio_is_the_median_of_the_rounds_ratios():
    # The machine slowed down threefold in the last round: the ratio must not notice.
    ours, theirs = Record(CASE, "ours: a", (30.0, 28.0, 10.0)), Record(CASE, "peer: b", (10.0, 9.0, 3.3))
    assert ours.ratio(theirs) == pytest.approx(3.03, abs=0.01)
    assert ours.images_per_second == 28.0


def test_json_has_the_names_of_the_contract():
    record = Record(Case("train", "phantoms", 150, 32, 2, "x"), "ours: a", (1.0, 3.0, 2.0), details={"MB": 1.5})
    assert json.loads(json.dumps(record.to_json())) == {
        "stage": "train", "contender": "ours: a", "source": "phantoms", "case": "x", "image_size": 150,
        "batch_size": 32, "threads": 2, "images_per_second": 2.0, "runs": [1.0, 3.0, 2.0], "details": {"MB": 1.5},
    }  # fmt: skip


def test_json_of_what_did_not_run_has_a_reason_and_no_rate():
    value = Record(CASE, "peer: a", (), "not installed").to_json()
    assert value["reason"] == "not installed"
    assert "images_per_second" not in value
