"""Scaled dot-product attention, of any rank, with masks, causal, grouped."""
