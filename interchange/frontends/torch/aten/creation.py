"""Tensors made of nothing: zeros, full, arange, eye, linspace, and their _like forms."""
