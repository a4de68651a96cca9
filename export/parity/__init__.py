"""Comparison of an ONNX file with the Keras model it was made from."""

from pneumo_tfds.program.libraries import prepare_tensorflow

prepare_tensorflow()
