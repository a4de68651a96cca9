"""The search itself: plan, space, oracles, trials, and the files that make it resumable."""
