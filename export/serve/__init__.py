"""The HTTP service: `python -m export.serve MODEL.onnx`."""
