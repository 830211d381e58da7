"""Activations: each is one operator of ONNX where there is one, at PyTorch's definition where they differ."""
