"""Reductions: sum, mean, var, extremes, all and any, with PyTorch's dtypes and its NaN."""
