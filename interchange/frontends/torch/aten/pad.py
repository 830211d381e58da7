"""Padding: constant, reflect, replicate, circular."""
