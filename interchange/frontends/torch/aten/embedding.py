"""Embeddings and bags of them, one-hot."""
