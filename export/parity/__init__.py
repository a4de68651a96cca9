"""Comparison of an ONNX file with the Keras model it was made from."""
