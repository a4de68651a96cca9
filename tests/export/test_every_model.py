"""Each network of the pipeline, through its own saved file, converts and answers alike."""

from collections import Counter

import onnx
import pytest

from export import convert, parity

SIDE = 80


@pytest.mark.parametrize("name", ["compact", "study", pytest.param("inception_v3", marks=pytest.mark.long)])
@pytest.mark.parametrize("temperature", [0.7])
def test_network_is_exported_exactly(name, temperature, tmp_path, pictures):
    import keras

    from pipeline.config import ModelConfig
    from pipeline.models import build, inference_model
    from pipeline.saved import save_model

    keras.utils.set_random_seed(1)
    save_model(tmp_path / "model.keras", inference_model(build(ModelConfig(model=name), SIDE), temperature))
    model = convert.load_keras(tmp_path / "model.keras")
    proto = convert.to_onnx(model, {})
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    report = parity.compare(convert.reference(model), tmp_path / "model.onnx", pictures(4, SIDE), threads=1)
    assert report.differences == []
    assert [output.name for output in proto.graph.output] == list(convert.output_names(model))
    ops = Counter(node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node)
    assert not ops.keys() & {"Shape", "Gather", "ReduceProd", "BatchNormalization", "Dropout"}
    assert ops["Transpose"] <= 2
