"""Measure: interleaved rounds, medians, tables, charts, and what machine it was."""
