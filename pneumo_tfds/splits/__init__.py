"""Divide patients into train, validation and test, and plan the shards of a build."""
