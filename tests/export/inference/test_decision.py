"""The rule of the four answers; `tests/export/decisions.json` is answered by the page's copy of it too."""

import json
import math
from pathlib import Path

import pytest

from export.inference.decision import decide
from pneumo_tfds.program.answers import Limits

CASES = json.loads((Path(__file__).parents[1] / "decisions.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_the_table_of_cases(case):
    decision, reasons = decide(Limits(*case["limits"]), case["probability"], case["familiarity"], case.get("unfit", ()))
    assert (decision, list(reasons)) == (case["decision"], case["reasons"])


@pytest.mark.parametrize("case", [case for case in CASES if "unfit" not in case])
def test_the_report_of_a_run_counts_the_same_answers(case):
    from pipeline.evaluation.doubt import four_answers
    from pipeline.evaluation.predictions import Predictions

    familiarity = [math.nan if case["familiarity"] is None else case["familiarity"]]
    table = Predictions(["a"], ["p"], ["normal"], [0], [case["probability"]], familiarity)
    assert four_answers(table, Limits(*case["limits"])).tolist() == [case["decision"]]


@pytest.mark.parametrize(
    "limits", [(0.9, 0.1), (-0.1, 0.5), (0.5, 1.1), (math.nan, 0.5), (0.5, math.inf), (0.1, 0.9, 1.1), (0, 1, math.nan)]
)
def test_limits_out_of_order_or_range_are_refused(limits):
    with pytest.raises(ValueError, match="in 0 to 1"):
        Limits(*limits)


def test_what_is_near_a_limit():
    limits = Limits(0.2, 0.8, 0.1)
    assert limits.near(0.2001, 0.5, 1e-3)
    assert limits.near(0.7999, None, 1e-3)
    assert limits.near(0.5, 0.1001, 1e-3)
    assert not limits.near(0.5, 0.5, 1e-3)
    assert not Limits(0.2, 0.8).near(0.5, 0.0, 1e-3)
