"""The page for people at /, and the description of the protocol for programs at /openapi.json.

`assets` are the page's files, served from memory with `HEADERS`; `state` is what it shows; `openapi` describes every
path. Nothing is loaded from anywhere else: the page works offline.
"""

from __future__ import annotations

from interchange.serving.page.assets import HEADERS, assets
from interchange.serving.page.openapi import openapi
from interchange.serving.page.state import state

__all__ = ["HEADERS", "assets", "openapi", "state"]
