"""Every test starts quietly, on the CPU; the long ones run only when asked for."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests marked long too (kills, fuzzing, memory)")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="long; run with --long or make test-all")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skip)
