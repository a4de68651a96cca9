"""Answer X-rays with OpenCV alone, which reads the ordinary file: python predict_opencv.py MODEL.onnx SIDE IMAGE..."""

import sys
from pathlib import Path

import cv2

network, side = cv2.dnn.readNetFromONNX(sys.argv[1]), int(sys.argv[2])
for path in sys.argv[3:]:
    whole, jpeg = cv2.imread(path, cv2.IMREAD_UNCHANGED), Path(path).read_bytes()[:2] == b"\xff\xd8"
    if whole is None or whole.dtype != "uint8" or whole.shape[2:] == (4,):
        sys.exit(f"{path} is no picture of 8 bits without transparency; make it one first")
    scale = next((k for k in (8, 4, 2) if jpeg and min(whole.shape[:2]) >= k * side), 1)
    grey = cv2.imread(path, getattr(cv2, f"IMREAD_REDUCED_GRAYSCALE_{scale}", cv2.IMREAD_GRAYSCALE))
    how = cv2.INTER_LINEAR if min(grey.shape) < side else cv2.INTER_AREA
    network.setInput(cv2.resize(grey, (side, side), interpolation=how)[None, :, :, None], "image")
    print(f"{network.forward('probability')[0, 0]:.6f}", path)
