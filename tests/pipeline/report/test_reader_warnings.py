"""Sentences about a run that stand above its figures, in the report and on the terminal."""

import pytest

from pipeline.evaluation.robustness import UNCHANGED
from pipeline.report.reader_warnings import _elsewhere
from pipeline.report.terminal import about_reliance

FAR = "standard deviations away; more than 0.5 is unlike"
UNLIKE = "are unlike validation images, as they are and through known changes; nearest are validation images"


@pytest.mark.parametrize(
    ("nearest", "distance", "says"),
    [
        (
            UNCHANGED,
            0.3,
            f"are like validation images as they are (0.30 {FAR}).",
        ),
        (UNCHANGED, 0.8, f"{UNLIKE} as they are (0.80 {FAR})."),
        (
            "low gamma",
            0.54,
            f"{UNLIKE} through the change low gamma (0.54 {FAR}; validation as it is: 0.80).",
        ),
    ],
)
def test_what_other_images_resemble_is_said_once(nearest, distance, says):
    like = {"nearest": nearest, "distance": distance, "unchanged": 0.8, "alike": distance <= 0.5}
    assert _elsewhere({"resembles": like}) == [f"In exposure and sharpness these images {says}"]


@pytest.mark.parametrize(("interval", "tells"), [([-2.867, 0.32], False), ([-0.28, 0.382], True), (None, True)])
def test_an_interval_that_tells_nothing_of_what_is_left_without_lungs_is_called_so(interval, tells):
    text = about_reliance({"left": -0.438, "interval": interval})
    assert "lungs blacked out: the nearer to 0, the better" in text
    assert ("too uncertain here to tell anything" in text) != tells
