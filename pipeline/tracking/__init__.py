"""Observers of a training or a search: TensorBoard, MLflow, Weights & Biases, or a class of the user's."""
