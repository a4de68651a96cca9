"""Pages escape what they show, miss nothing, and stand alone."""

import base64
import sys

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError

from pneumo_tfds.program.html_page import data_uri, jpeg_uri, render


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "templates_of_a_test").mkdir()
    (tmp_path / "templates_of_a_test" / "__init__.py").touch()
    (tmp_path / "templates_of_a_test" / "a.html").write_text(
        '{% extends "page.html" %}{% block title %}T{% endblock %}{% block content %}<p>{{ name }}</p>{% endblock %}'
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "templates_of_a_test"
    sys.modules.pop("templates_of_a_test", None)


def test_values_are_escaped_and_the_style_sheet_is_inside(package):
    page = render(package, "a.html", name="<script>")
    assert "<p>&lt;script&gt;</p>" in page
    assert "<title>T</title>" in page
    assert "font-variant-numeric" in page
    assert "&#34;" not in page, "the style sheet is not escaped"


def test_missing_value_is_an_error(package):
    with pytest.raises(UndefinedError, match="name"):
        render(package, "a.html")


def test_data_uri():
    assert data_uri(b"abc", "image/jpeg") == "data:image/jpeg;base64,YWJj"


def test_jpeg_uri_holds_the_picture_in_the_quality_that_was_asked_for():
    picture = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    fine, coarse = (jpeg_uri(picture, quality).partition("data:image/jpeg;base64,")[2] for quality in (95, 5))
    found = cv2.imdecode(np.frombuffer(base64.b64decode(fine), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.abs(found.astype(int) - picture).max() <= 3
    assert len(coarse) < len(fine)
