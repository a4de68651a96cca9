"""From a Keras model to an ONNX graph: conversion, simplification, quantization."""

from pneumo_tfds.program.libraries import prepare_tensorflow

prepare_tensorflow()
