"""Running the command line in a test."""

from __future__ import annotations

import json
from typing import Any

from interchange.cli import run


class Ran:
    """One command line: its status and what it printed."""

    def __init__(self, capsys: Any, *args: str) -> None:
        capsys.readouterr()
        self.status = run(args)
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        return json.loads(self.out)
