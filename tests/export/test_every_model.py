"""Each network of the pipeline is saved, loaded and converted, and its file agrees with Keras."""

from collections import Counter
from typing import get_args

import onnx
import pytest

from export.graph import convert
from export.parity import comparison
from pipeline.config import ModelName
from pipeline.config.model_settings import EFFICIENTNETS

SIDE = 80


LARGE = {"inception_v3", "efficientnet_lite1"}
NAMES = [pytest.param(name, marks=[pytest.mark.long] if name in LARGE else []) for name in get_args(ModelName)]


COMMITTEES = {
    "two of a kind, mirrored": (("compact", "compact"), True),
    "one with a heat map and one without": (("compact", "study"), False),
}


def networks(*names):
    import keras

    from pipeline.config import ModelConfig
    from pipeline.networks.models import build

    keras.utils.set_random_seed(1)
    return [build(ModelConfig(model=name), SIDE) for name in names]


def exported_exactly(model, folder, images):
    """Save, load, convert and compare as `python -m export` does; return the graph's operators."""
    from pipeline.run_folder.model_file import save_model

    save_model(folder / "model.keras", model)
    loaded = convert.load_keras(folder / "model.keras")
    proto = convert.to_onnx(loaded, {})
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    report = comparison.compare(convert.reference(loaded), folder / "model.onnx", images, threads=1)
    assert report.differences == []
    assert [output.name for output in proto.graph.output] == list(convert.output_names(loaded))
    ops = Counter(node.op_type for node in onnx.load(folder / "model.onnx").graph.node)
    assert not ops.keys() & {"Shape", "Gather", "ReduceProd", "BatchNormalization", "Dropout"}
    return ops


@pytest.mark.parametrize("name", NAMES)
def test_network_is_exported_exactly(name, tmp_path, pictures):
    from pipeline.networks.inference_model import inference_model

    model = inference_model(*networks(name), temperature=0.7, bias=0.2)
    # Finding the lungs takes three more: two for the products that crop, one before its dense layers.
    most = 5 if name in EFFICIENTNETS else 2
    assert exported_exactly(model, tmp_path, pictures(4, SIDE))["Transpose"] <= most


@pytest.mark.parametrize(("names", "flips"), COMMITTEES.values(), ids=COMMITTEES)
def test_committee_is_exported_exactly_as_one_file(names, flips, tmp_path, pictures):
    from pipeline.networks.inference_model import committee, inference_model

    model = inference_model(committee(networks(*names), flips=flips), temperature=0.7, bias=0.2)
    ops = exported_exactly(model, tmp_path, pictures(4, SIDE))
    assert ops["Conv"] > 15
    assert ops["Transpose"] <= 2 * len(names) * (1 + flips)
