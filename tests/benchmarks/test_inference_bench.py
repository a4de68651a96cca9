"""What the inference stage measures besides images per second: latencies, file sizes, cold starts."""

from types import SimpleNamespace

import numpy as np
import pytest

from bad_inputs_files import SIDE
from benchmarks import cold_start, inference_speed, runtimes
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.measuring import harness, tensorflow_threads
from benchmarks.measuring.harness import CannotRunError, Case, Pace, measure
from benchmarks.runtimes import Runtime
from brightness_model import write_model
from export.inference.classifier import Classifier
from pneumo_tfds.program.installed import how_to_install

HALF = np.full((3, 1), 0.5, np.float32)
BATCH = np.zeros((3, 2, 2, 1), np.uint8)


def test_latencies_leave_out_the_first_call_and_sizes_are_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "model").write_bytes(bytes(2_000_000))
    call_seconds = iter([1.0, *np.arange(1, 21) / 1000])  # the first call compiles
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(inference_speed, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def answer(batch):
        clock.now += next(call_seconds)
        return HALF[:, 0] + 1e-5

    runtime = Runtime(lambda path, threads: answer, "model")
    contender = inference_speed.contender("ours: x", runtime, tmp_path, 1, BATCH, HALF)
    work = contender.start()
    assert [next(work) for _ in range(20)] == [3] * 20
    details = contender.details()
    assert [details[f"p{share} ms"] for share in (50, 95, 99)] == [10.5, 19.05, 19.81]
    assert details["MB"] == 2.0
    assert details["differs by"] == pytest.approx(1e-5, rel=0.1)


@pytest.mark.parametrize(("tolerance", "runs"), [(runtimes.EXACT, False), (runtimes.ROUNDED, True)])
def test_other_answers_than_onnxruntimes_are_told_and_not_measured(tmp_path, tolerance, runs):
    (tmp_path / "model").write_bytes(b"x")
    runtime = Runtime(lambda path, threads: lambda batch: HALF + 0.01, "model", (), tolerance)
    contender = inference_speed.contender("peer: x", runtime, tmp_path, 1, BATCH, HALF)
    (record,) = measure(Case("inference", "made up", 2, 3, 1), [contender], Pace(1, 0.001))
    assert bool(record.runs) == runs == record.rounded == (not record.note)


def test_runtimes_that_are_not_installed_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "is_installed", lambda module: False)
    for name in ("peer: LiteRT", "peer: OpenVINO float32", "peer: OpenVINO bfloat16", "peer: OpenVINO int8"):
        contender = inference_speed.contender(name, runtimes.RUNTIMES[name], tmp_path, 1, BATCH, HALF)
        assert contender.missing().endswith(how_to_install("peers"))


@pytest.mark.slow
def test_every_runtime_answers_alike(tmp_path):
    """Also those of the extra `peers`, where they are installed."""
    inference_speed.in_new_process(inference_speed.make_files, tmp_path)
    (_, base, *_) = runtimes.RUNTIMES[runtimes.BASE]
    assert np.ptp(Classifier(tmp_path / base, threads=1).predict_batch(inference_speed.images(8))["probability"]) > 0.1
    records = inference_speed.in_new_process(
        inference_speed.measure_runtimes, tmp_path, (8,), 1, Pace(1, 0.001)
    )  # compares before it measures
    assert len(records) == len(runtimes.RUNTIMES)
    for record in records:
        assert record.runs or "peers]" in record.note or "no bfloat16" in record.note


def test_a_given_file_is_measured_by_the_runtimes_of_onnx_alone(tmp_path, monkeypatch):
    path = write_model(tmp_path / "mine.onnx")
    monkeypatch.setattr(inference_speed, "in_new_process", lambda work, *given: work(*given))
    monkeypatch.setattr(inference_speed, "BATCHES", (2,))
    monkeypatch.setattr(BenchmarkOptions, "pace", lambda self, **_: Pace(1, 0.001))
    monkeypatch.setattr(inference_speed.os, "sched_setaffinity", lambda process, chosen: None)
    found = inference_speed.measure_stage(BenchmarkOptions(model=path, threads=1))
    records = {record.contender: record for record in found}
    assert set(records) == {"peer: OpenVINO", "ours: onnxruntime"}
    ours = records["ours: onnxruntime"]
    assert (ours.case.case, ours.case.image_size, ours.case.batch_size) == ("mine.onnx", SIDE, 2)
    assert ours.images_per_second > 0
    assert ours.details["differs by"] == 0
    assert records["peer: OpenVINO"].runs or "peers]" in records["peer: OpenVINO"].note


def test_size_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(bytes(1000))
    (tmp_path / "c").write_bytes(bytes(500))
    assert inference_speed.size_in_bytes(tmp_path) == 1500


def test_cold_start_times_to_the_first_line_and_reads_the_childs_own_memory():
    ballast = bytes(400_000_000)  # of this process, not of the child
    seconds, megabytes = cold_start.start_once("import time; time.sleep(0.3); print(0.5, flush=True); time.sleep(3)", 1)
    assert 0.3 <= seconds < 3
    assert 3 < megabytes < 200
    assert ballast


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "pass", "print(1); raise ValueError"])
def test_a_process_without_an_answer_is_told(code):
    with pytest.raises(CannotRunError):
        cold_start.start_once(code, 1)


def test_a_cold_start_has_as_many_threads_as_its_title_says(tmp_path):
    told = [f"os.environ[{name!r}] == '3'" for name in tensorflow_threads.VARIABLES]
    cold_start.start_once(f"import os; assert {' and '.join(told)}; print(1)", 3)
    ours = [cold_start.code_of(name, tmp_path, 32, 3) for name in cold_start.WAYS if name.startswith("ours: ")]
    assert ours
    assert all("onnx', threads=3)" in code for code in ours)


def test_the_made_images_fit_the_model():
    images = inference_speed.images(3)
    assert images.shape == (3, inference_speed.IMAGE_SIZE, inference_speed.IMAGE_SIZE, 1)
    assert images.dtype == np.uint8


def test_each_number_of_threads_has_a_process_of_its_own_after_the_files_are_made(monkeypatch):
    apart = []

    def separate(work, folder, *rest):
        apart.append((work, *rest[:2]))
        return [f"{work.__name__}{rest[1]}"] if rest else None

    monkeypatch.setattr(inference_speed, "in_new_process", separate)
    monkeypatch.setattr(cold_start, "measure_starts", lambda folder, size, workers, starts: [f"{starts} starts"])
    records = inference_speed.measure_stage(BenchmarkOptions(quick=True, threads=2))
    sizes = inference_speed.QUICK_BATCHES
    measured = [(inference_speed.measure_runtimes, sizes, threads) for threads in (1, 2)]
    assert apart == [(inference_speed.make_files,), *measured]
    assert records == ["measure_runtimes1", "measure_runtimes2", "2 starts"]


def test_every_runtime_is_measured_on_its_own_file_at_each_batch_size(tmp_path, monkeypatch):
    import tensorflow as tf

    cores, tables, made = [], [], []

    def runtime(name):
        def load(path, threads):
            made.append((name, path.name, threads))
            return lambda batch: np.zeros(len(batch))

        return load

    def measure(case, contenders, pace):
        tables.append((case.batch_size, case.threads))
        assert [next(contender.start()) for contender in contenders] == [case.batch_size] * len(contenders)
        return [contender.name for contender in contenders]

    for each in runtimes.RUNTIMES.values():
        (tmp_path / each.file).write_bytes(b"x")
    loaded = {name: each._replace(load=runtime(name)) for name, each in runtimes.RUNTIMES.items()}
    monkeypatch.setattr(inference_speed, "RUNTIMES", loaded)
    monkeypatch.setattr(inference_speed, "measure", measure)
    monkeypatch.setattr(inference_speed.os, "sched_setaffinity", lambda process, chosen: cores.append(len(chosen)))
    for name in ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"):
        monkeypatch.setattr(tf.config.threading, name, lambda threads: cores.append(threads))
    records = inference_speed.measure_runtimes(tmp_path, (1, 3), 1, Pace(1, 0.01))
    assert tables == [(1, 1), (3, 1)]
    assert cores == [1, 1, 1]
    assert records == [*loaded] * 2
    assert [file for name, file, _ in made[1:14] if name.startswith("ours")] == list(runtimes.FILES.values())
    assert {threads for _, _, threads in made} == {1}


@pytest.mark.parametrize("load", [runtimes.tf_lite, runtimes.lite_rt])
def test_a_tensorflow_without_tf_lite_is_told(tmp_path, load):
    with pytest.raises(CannotRunError, match="no TF-Lite"):
        load(tmp_path / "model.tflite", 1)


def test_starts_take_turns_and_the_first_of_each_is_left_out(tmp_path, monkeypatch):
    started = []

    def start(code, threads):
        assert threads == 2
        started.append(next(name for name in cold_start.WAYS if code == cold_start.code_of(name, tmp_path, 32, 2)))
        first = len(started) <= len(cold_start.WAYS)
        return (100.0, 9000.0) if first else (float(len(started)), 10.0 * len(started))

    monkeypatch.setattr(cold_start, "start_once", start)
    records = cold_start.measure_starts(tmp_path, 32, 2, 2)
    assert started == list(cold_start.WAYS) * 3
    assert [record.contender for record in records] == list(cold_start.WAYS)
    # The first way starts fifth and ninth: 5 and 9 seconds, 50 and 90 MB.
    assert records[0].details == {"seconds": 7.0, "peak MB": 90}
    assert records[0].runs == (1 / 5, 1 / 9)
    assert (records[0].case.image_size, records[0].case.threads) == (32, 2)


def test_a_way_that_gives_no_answer_is_a_row_with_a_note_beside_the_others(tmp_path, monkeypatch):
    other, *rest = cold_start.WAYS
    started = []

    def start(code, threads):
        started.append(code)
        if code == cold_start.code_of(other, tmp_path, 32, 2) and len(started) > len(cold_start.WAYS):
            raise CannotRunError("the process ended without an answer")
        return 2.0, 10.0

    monkeypatch.setattr(cold_start, "start_once", start)
    failed, *records = cold_start.measure_starts(tmp_path, 32, 2, 2)
    assert (failed.contender, failed.runs, failed.note) == (other, (), "the process ended without an answer")
    assert [(record.contender, record.runs) for record in records] == [(name, (0.5, 0.5)) for name in rest]
    assert len(started) == 3 * len(cold_start.WAYS) - 1  # what failed is not started again
