"""Answer X-rays with onnxruntime, Pillow and NumPy alone: python predict.py MODEL.any_size.onnx IMAGE..."""

import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
for path in sys.argv[2:]:
    picture = Image.open(path)
    if picture.mode.startswith("I"):
        sys.exit(f"{path} has 16 bits, which Pillow clips to 8; read it with OpenCV")
    picture.draft("L", picture.size)  # of a JPEG in colour, the luminance alone
    grey = np.asarray(picture.convert("L"))[np.newaxis, :, :, np.newaxis]
    probability = session.run(["probability"], {"image": grey, "jpeg": np.array([picture.format == "JPEG"])})[0]
    print(f"{probability[0, 0]:.6f}", path)
