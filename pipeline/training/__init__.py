"""The training loop, its step and the fastest way to compute it, training on frozen features, reference images."""
