"""The service with the tiny model. Needs the serve extra."""

import pytest


@pytest.fixture(scope="module")
def service(exported):
    """A client of the tiny model's app."""
    pytest.importorskip("fastapi", reason="needs the serve extra")
    from export import Classifier
    from http_service import served

    with served(Classifier(exported / "model.onnx", threads=1)) as client:
        yield client
