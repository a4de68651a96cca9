"""From a Keras model to an ONNX graph: conversion, simplification, quantization."""
