"""Use of an ONNX file without TensorFlow: the classifier, its inputs and outputs, metadata, golden examples."""
