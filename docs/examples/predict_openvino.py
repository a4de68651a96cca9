"""The same with OpenVINO: python predict_openvino.py MODEL.any_size.onnx IMAGE..."""

import sys

import numpy as np
import openvino
from PIL import Image

model = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
for path in sys.argv[2:]:
    picture = Image.open(path)
    if picture.mode.startswith("I"):
        sys.exit(f"{path} has 16 bits, which Pillow clips to 8; read it with OpenCV")
    picture.draft("L", picture.size)
    grey = np.asarray(picture.convert("L"))[np.newaxis, :, :, np.newaxis]
    answer = model({"image": grey, "jpeg": np.array([picture.format == "JPEG"])})
    print(f"{answer['probability'][0, 0]:.6f}", path)
