"""Two models side by side: what one has that the other has not. `diff` is the entrance."""

from interchange.comparing.compare import diff
from interchange.comparing.report import Change, Detail, ModelDiff, WeightChange

__all__ = ["Change", "Detail", "ModelDiff", "WeightChange", "diff"]
