"""Repairs of what a check finds, without a change of what a model computes: `fix`."""

from interchange.checker.fixes.engine import Fixed, fix, fixable

__all__ = ["Fixed", "fix", "fixable"]
