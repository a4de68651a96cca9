"""A run's folder on disk: file names, history, checkpoints and the saved model."""
