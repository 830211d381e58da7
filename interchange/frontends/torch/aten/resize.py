"""Interpolation and what rearranges pixels."""
