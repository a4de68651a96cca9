"""Answer X-rays with OpenCV alone, which reads the ordinary file: python predict_opencv.py MODEL.onnx SIDE IMAGE..."""

import sys

import cv2

network, side = cv2.dnn.readNetFromONNX(sys.argv[1]), int(sys.argv[2])
for path in sys.argv[3:]:
    scale = next((k for k in (8, 4, 2) if min(cv2.imread(path, cv2.IMREAD_GRAYSCALE).shape) >= k * side), 1)
    if path.endswith(".png"):
        scale = 1
    grey = cv2.imread(path, getattr(cv2, f"IMREAD_REDUCED_GRAYSCALE_{scale}", cv2.IMREAD_GRAYSCALE))
    how = cv2.INTER_LINEAR if min(grey.shape) < side else cv2.INTER_AREA
    network.setInput(cv2.resize(grey, (side, side), interpolation=how)[None, :, :, None], "image")
    print(f"{network.forward('probability')[0, 0]:.6f}", path)
