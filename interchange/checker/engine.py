"""`check`: reads a model as it is written, and asks every rule."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from interchange.checker.report import Report
from interchange.graph import files
from interchange.graph.core import ModelIR

if TYPE_CHECKING:
    import onnx


def check(
    model: str | os.PathLike[str] | bytes | ModelIR | onnx.ModelProto,
    *,
    target: str | None = None,
    select: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
) -> Report:
    """Look for everything that is wrong with a model."""
    if isinstance(model, (str, bytes, os.PathLike)):
        files.read(model)
    return Report(str(model) if isinstance(model, (str, os.PathLike)) else "the model")
