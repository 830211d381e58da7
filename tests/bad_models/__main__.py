"""``python -m tests.bad_models FOLDER``: writes every kind into a folder of its own, and manifest.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from . import KINDS


def write(folder: Path) -> Path:
    """Write them all; returns the manifest: per kind its path (relative), title, codes, mentions, wrong, target."""
    rows = [
        {
            "path": kind.write(folder / kind.slug).relative_to(folder).as_posix(),
            "family": kind.family,
            "title": kind.title,
            "wrong": kind.wrong,
            "codes": list(kind.codes),
            "mentions": kind.mentions,
            "target": kind.target,
        }
        for kind in KINDS
    ]
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return manifest


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.bad_models FOLDER")
    print(f"{len(KINDS)} bad models: {write(Path(sys.argv[1]))}")
