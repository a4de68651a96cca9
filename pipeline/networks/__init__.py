"""The networks, their pretrained weights, and batched forward passes."""
