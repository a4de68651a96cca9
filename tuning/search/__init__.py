"""The search: its plan and space, KerasTuner's oracles and loop, and the files that make it resumable."""
