"""Evaluation: metrics with intervals, calibration, the operating point, robustness and shortcuts."""
