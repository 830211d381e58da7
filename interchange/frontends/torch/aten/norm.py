"""Normalisations: batch, layer, group, instance, RMS, local response."""
