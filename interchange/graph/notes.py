"""What interchange notes in a model's metadata: JSON under ``interchange.NAME``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def read_note(metadata: Mapping[str, str], name: str, default: Any) -> Any:
    """The note ``interchange.NAME``, or `default` where there is none. Raises ValueError for text that is not JSON."""
    text = metadata.get(f"interchange.{name}")
    return default if text is None else json.loads(text)
