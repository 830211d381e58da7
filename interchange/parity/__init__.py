"""Proof that a model equals its source."""

from interchange.parity.compare import TOLERANCES, Difference, compare
from interchange.parity.report import ParityReport, Trial, parity

__all__ = ["TOLERANCES", "Difference", "ParityReport", "Trial", "compare", "parity"]
