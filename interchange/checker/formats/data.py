"""Reports as JSON: an object for one file, a list of them for several."""

from __future__ import annotations

import json
from collections.abc import Sequence

from interchange.checker.report import Report


def json_of(reports: Sequence[Report]) -> str:
    """`Report.to_dict` of each."""
    data = [r.to_dict() for r in reports]
    return json.dumps(data[0] if len(data) == 1 else data, indent=2)
