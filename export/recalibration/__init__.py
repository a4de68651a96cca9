"""Recalibration of an exported file on local images, without TensorFlow."""
