"""Pooling: max, average, adaptive, of 1 to 3 axes, as PyTorch rounds and divides."""
