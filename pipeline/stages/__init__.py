"""The stages of a run, in order (train, judge, examine, illustrate), and what is done with a finished run again."""
