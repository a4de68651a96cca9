"""Measuring: interleaved rounds, medians, tables, charts, and the description of the machine."""
