"""Random numbers: what they are drawn from is right, the numbers themselves cannot be PyTorch's."""
