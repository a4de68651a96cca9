"""The stages of a run, in order: train, judge, illustrate."""
