"""Proof that a model equals its source."""

from interchange.verify.compare import TOLERANCES, Difference, compare
from interchange.verify.parity import ParityReport, Trial, parity

__all__ = ["TOLERANCES", "Difference", "ParityReport", "Trial", "compare", "parity"]
