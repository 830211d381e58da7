"""Convolutions of 1 to 3 axes, transposed and grouped, as PyTorch pads them."""
