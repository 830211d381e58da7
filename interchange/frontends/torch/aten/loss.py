"""Losses with their reductions, weights, ignored classes and label smoothing."""
