"""Constants that leave nothing, or that no loop ends with."""

from __future__ import annotations

from interchange.checker.looks.seen import Looked, Seen, looks_at


@looks_at("Clip")
def clip(s: Seen) -> Looked:
    """A minimum above the maximum."""
    low, high = s.array(1), s.array(2)
    if low is not None and high is not None and low.size == high.size == 1 and low.item() > high.item():
        yield (
            "constant",
            s.problem(
                f"the minimum {low.item()} is above the maximum {high.item()}",
                at=1,
                found=f"{low.item()} to {high.item()}",
                expected="a minimum below the maximum",
                why="every result is the maximum",
                fix="exchange the two",
                severity="warning",
            ),
        )


@looks_at("Range")
def no_step(s: Seen) -> Looked:
    """A step of 0."""
    step = s.array(2)
    if step is not None and step.size == 1 and step.item() == 0:
        yield (
            "constant",
            s.problem(
                "a step of 0 never comes to an end",
                at=2,
                found=f"{s.name(2)} = 0",
                expected="a step above or below 0",
                why="runtimes refuse the model",
                fix=f"correct the constant {s.name(2)!r}",
            ),
        )


@looks_at("Resize")
def scale(s: Seen) -> Looked:
    """Scales above 0."""
    scales = s.array(2)
    if scales is not None and scales.dtype.kind == "f" and bool((scales <= 0).any()):
        yield (
            "constant",
            s.problem(
                f"scales of {float(scales.min())}",
                at=2,
                found=f"scales {scales.tolist()}",
                expected="scales above 0",
                why="runtimes refuse the model",
                fix=f"correct the constant {s.name(2)!r}",
            ),
        )
