"""From a built dataset to batches: splits, caching, shuffling, streaming."""
