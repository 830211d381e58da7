"""The values an attribute may have, where the operator's text lists them: onnx.defs does not hold them."""

from __future__ import annotations

from typing import Any


def allowed_values(domain: str, op: str, since: int, attribute: str) -> tuple[Any, ...] | None:
    """The values that version of the operator allows; None: any value of the attribute's type."""
    return None
