"""Conversion of a TensorFlow function to an ONNX graph, for scoring and for export."""
