"""Write a dataset: examples, shard files, metadata, and the summary of a finished build."""
