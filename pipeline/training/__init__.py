"""The training loop, the training step, and training on frozen features."""
