"""Several models under their names, and the exchange of one while requests are answered."""

import gc
import shutil
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from brightness_model import write_model
from export import Classifier
from pneumo_tfds.program.errors import InputError

pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("httpx", reason="needs httpx")


@pytest.fixture
def copied(exported, tmp_path):
    """A model file and its golden file, which may be changed."""
    for name in ("model.onnx", "golden.npz"):
        shutil.copy(exported / name, tmp_path / name)
    return tmp_path / "model.onnx"


def exchange(client):
    """Exchange all models and wait for the end of it."""
    models, done = client.app.state.models, threading.Event()

    async def work():
        await models.exchange()
        done.set()

    models._loop.call_soon_threadsafe(models._start, work)
    assert done.wait(60)


def counts(client):
    lines = (line for line in client.get("/metrics").text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_files_have_names_and_the_first_one_is_the_default(tmp_path):
    from export.serve.served_models import models_by_name

    assert models_by_name(["a/first.onnx", "b=b/model.onnx"]) == {
        "first": Path("a/first.onnx"),
        "b": Path("b/model.onnx"),
    }
    assert list(models_by_name(["a/mein modell.onnx"])) == ["mein_modell"], "a name is part of addresses"
    (tmp_path / "a=b.onnx").touch()
    assert list(models_by_name([str(tmp_path / "a=b.onnx")])) == ["a_b"], "a file that is there is a file"
    with pytest.raises(InputError, match=r"would both be named model; name them, as in first=b/model\.onnx"):
        models_by_name(["a/model.onnx", "b/model.onnx"])
    with pytest.raises(InputError, match="no model was given"):
        models_by_name([])


def test_two_models_answer_side_by_side(exported, four_way, jpegs):
    from http_service import served

    body = next(jpegs.rglob("*.jpeg")).read_bytes()
    both = {name: Classifier(run / "model.onnx", threads=1) for name, run in (("a", exported), ("b", four_way))}
    with served(both) as client:
        assert client.get("/v1/models").json() == {"models": ["a", "b"]}
        for query, name in (("", "a"), ("?model=a", "a"), ("?model=b", "b")):
            answer = client.post(f"/v1/predict{query}", content=body).json()
            assert answer["probability"] == pytest.approx(both[name].predict_bytes(body).probability, abs=1e-6)
        assert client.get("/v1/model?model=b").json()["version"] == 2
        found = counts(client)
    assert found['pneumo_probability_count{model="a"}'] == 2
    assert found['pneumo_probability_count{model="b"}'] == 1


def test_a_model_is_exchanged_under_load_without_a_lost_request(copied, four_way, jpegs):
    from http_service import served

    bodies = [file.read_bytes() for file in sorted(jpegs.rglob("*.jpeg"))[:4]]
    with served(Classifier(copied, threads=1)) as client, ThreadPoolExecutor(4) as clients:
        old, new = (
            [Classifier(path, threads=1).predict_bytes(body).probability for body in bodies]
            for path in (copied, four_way / "model.onnx")
        )
        end = threading.Event()

        def ask(number):
            answers = []
            while not end.is_set() or len(answers) < 3:
                answers.append(client.post("/v1/predict", content=bodies[number]))
            return answers

        asked = [clients.submit(ask, number) for number in range(4)]
        (copied.parent / "golden.npz").unlink()
        shutil.copy(four_way / "model.onnx", copied)
        exchange(client)
        exchange(client)
        end.set()
        found = [one.result() for one in asked]
        after = [client.post("/v1/predict", content=body).json()["probability"] for body in bodies]
        assert counts(client)['pneumo_model_exchanges_total{model="model",result="done"}'] == 2
    assert {answer.status_code for answers in found for answer in answers} == {200}
    for place, answers in enumerate(found):
        either = [pytest.approx(old[place], abs=1e-6), pytest.approx(new[place], abs=1e-6)]
        assert all(answer.json()["probability"] in either for answer in answers)
    np.testing.assert_allclose(after, new, atol=1e-6)


def test_a_model_that_was_exchanged_is_freed_without_waiting_for_the_garbage_collector(copied):
    from http_service import served

    classifiers = [Classifier(copied, threads=1)]
    session = weakref.ref(classifiers[0].session)
    gc.disable()
    try:
        with served(classifiers.pop()) as client:
            exchange(client)
            until = time.monotonic() + 60
            while session() is not None:
                assert time.monotonic() < until
                client.get("/healthz")
    finally:
        gc.enable()


def test_a_request_that_was_begun_is_answered_by_the_old_model(copied, four_way, jpegs, monkeypatch):
    """It has been decoded for the old one and waits for it while the new one is taken."""
    from http_service import served

    body = next(jpegs.rglob("*.jpeg")).read_bytes()
    classifier, inside, gate = Classifier(copied, threads=1), threading.Event(), threading.Event()
    expected, predict = classifier.predict_bytes(body).probability, classifier.predict

    def slowly(*arguments):
        inside.set()
        assert gate.wait(30)
        return predict(*arguments)

    monkeypatch.setattr(classifier, "predict", slowly)
    with served(classifier) as client, ThreadPoolExecutor(1) as clients:
        asked = clients.submit(partial(client.post, "/v1/predict", content=body))
        assert inside.wait(30)
        (copied.parent / "golden.npz").unlink()
        shutil.copy(four_way / "model.onnx", copied)
        exchange(client)
        later = client.post("/v1/predict", content=body).json()["probability"]
        gate.set()
        assert asked.result().json()["probability"] == pytest.approx(expected, abs=1e-6)
    assert later != pytest.approx(expected, abs=1e-6)


def test_a_damaged_or_wrong_file_is_not_taken(copied, four_way, jpegs, caplog):
    from http_service import served

    body = next(jpegs.rglob("*.jpeg")).read_bytes()
    with served(Classifier(copied, threads=1)) as client:
        before = client.post("/v1/predict", content=body).json()
        whole = copied.read_bytes()
        copied.write_bytes(whole[: len(whole) // 2])
        exchange(client)
        shutil.copy(four_way / "model.onnx", copied)  # while golden.npz is that of the other model
        exchange(client)
        assert client.post("/v1/predict", content=body).json() == before
        assert counts(client)['pneumo_model_exchanges_total{model="model",result="refused"}'] == 2
    assert "model goes on with the old file" in caplog.text
    assert "does not answer as" in caplog.text


def test_the_alarm_rises_while_answers_differ_from_the_reference_and_falls_with_another_file(tmp_path):
    """Of made images the probability follows the brightness, so darker ones are another population."""
    import json

    from export.inference.answer_reference import brightness_of, distribution, reference_of
    from http_service import served

    random = np.random.default_rng(0)
    side = Classifier(write_model(tmp_path / "plain.onnx")).image_size

    def images(count, middle):
        return random.normal(middle, 12, (count, 1, 1, 1)).clip(0, 255).astype(np.uint8).repeat(side, 1).repeat(side, 2)

    plain = Classifier(tmp_path / "plain.onnx")
    usual = images(300, 128)
    answers = plain.predict(usual)
    reference = reference_of(
        plain.metadata.limits,
        [one.probability for one in answers],
        [one.familiarity for one in answers],
    ) | {"brightness": distribution(brightness_of(usual))}
    path = write_model(tmp_path / "model.onnx", reference=json.dumps(reference))

    def ask(client, pixels):
        tensor = {"name": "image", "datatype": "UINT8", "shape": list(pixels.shape), "data": pixels.ravel().tolist()}
        assert client.post("/v2/models/model/infer", json={"inputs": [tensor]}).status_code == 200

    def alarms(client):
        found = counts(client)
        names = ("probability", "familiarity", "brightness", "refusals")
        return [found[f'pneumo_drift_alarm{{model="model",quantity="{name}"}}'] for name in names]

    with served(Classifier(path, threads=1)) as client:
        assert alarms(client) == [0, 0, 0, 0]
        for _ in range(4):
            ask(client, images(64, 128))
        assert alarms(client) == [0, 0, 0, 0], "such images as those of the reference"
        for _ in range(20):
            ask(client, images(50, 40))
        assert alarms(client) == [1, 1, 1, 1], "the last thousand are dark"
        exchange(client)
        assert alarms(client) == [1, 1, 1, 1], "the file is the same, and so are its last answers"
        write_model(path, reference=json.dumps(reference), threshold="0.51")
        exchange(client)
        assert alarms(client) == [0, 0, 0, 0], "the new file has not answered yet"
        ask(client, images(19, 40))
        assert alarms(client) == [0, 0, 0, 0], "too few answers to tell drift from chance"
        ask(client, images(1, 40))
        assert alarms(client) == [1, 1, 1, 1]


@pytest.mark.parametrize("address", ["/readyz", "/v2/health/ready", "/v2/models/model/ready"])
def test_a_model_that_is_asked_whether_it_is_ready_is_in_use_so_that_an_exchange_waits(address, exported, monkeypatch):
    from export.serve.served_models import Loaded
    from http_service import served

    unused = []

    async def ask(self, pixels, reasons):
        unused.append(self._unused.is_set())
        return await asked(self, pixels, reasons)

    asked = Loaded.ask
    monkeypatch.setattr(Loaded, "ask", ask)
    with served(Classifier(exported / "model.onnx", threads=1)) as client:
        assert client.get(address).status_code == 200
    assert unused == [False]


def test_a_damaged_reference_is_refused_before_anything_is_served_and_in_an_exchange(tmp_path, caplog):
    from export.serve.service import create_app
    from http_service import served

    damaged = write_model(tmp_path / "damaged.onnx", reference='{"answers": 3}')
    with pytest.raises(InputError, match=r"damaged\.onnx has a damaged reference; export the run again"):
        create_app({"m": Classifier(damaged)})
    with served(Classifier(write_model(tmp_path / "m.onnx"), threads=1)) as client:
        shutil.copy(damaged, tmp_path / "m.onnx")
        exchange(client)
        assert client.get("/readyz").status_code == 200
        assert counts(client)['pneumo_model_exchanges_total{model="model",result="refused"}'] == 1
    assert "has a damaged reference" in caplog.text
