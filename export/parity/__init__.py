"""Compare an ONNX file with the Keras model that it was made from."""
