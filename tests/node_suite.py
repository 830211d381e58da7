"""ONNX's node tests, built once: it takes ten seconds, and onnx refuses to build them a second time in one process."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any


@cache
def node_suite() -> dict[str, Any]:
    """Name -> test case, those with a model."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {t.name: t for t in load_model_tests(kind="node") if t.model is not None}
