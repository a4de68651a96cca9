"""Devices, precision and machines: where a training step runs, and in which arithmetic."""
