"""The same with OpenVINO, beside predict.py: python predict_openvino.py MODEL.any_size.onnx IMAGE..."""

import sys

import numpy as np
import openvino
from predict import grey_of, line_of

model = openvino.Core().read_model(sys.argv[1])
metadata = {key: value.astype(str) for key, value in model.get_rt_info()["framework"].items()}
compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
for path in sys.argv[2:]:
    grey, jpeg = grey_of(path)
    found = compiled({"image": grey[None, :, :, None], "jpeg": np.array([jpeg])})
    outputs = {output.any_name: value for output, value in found.items()}
    print(line_of(metadata, outputs, grey, path))
