"""A call of an operator as a runtime sees it before it has run anything, and what a release says to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from interchange.schemas.typetext import reader_name

Reason = Literal["", "opset", "operator", "form", "version", "dtype", "quirk", "body"]
UNKNOWN = ""  # the type of a value about which nothing is known: it stands for any


@dataclass(frozen=True)
class Call:
    """A node, as far as the choice of its kernel depends on it.

    domain: ``""`` is ONNX's own.  opsets: of all domains.
    inputs, outputs: type texts; None for one that is left out, UNKNOWN for one whose type is not known.
    node: the NodeProto, whose attributes some kernels look at; None: there are no attributes.
    types: the TypeProtos of the inputs, with their shapes, where they are known: some operators have bodies that
    depend on a rank.  fused: see `quirks.fuses`.
    """

    domain: str
    op: str
    opsets: Mapping[str, int] = field(compare=False)
    inputs: tuple[str | None, ...]
    outputs: tuple[str | None, ...]
    node: Any = field(default=None, compare=False, repr=False)
    types: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    fused: bool = False

    @property
    def title(self) -> str:
        """The operator for a reader."""
        return f"{self.domain}::{self.op}" if self.domain else self.op

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The attributes it gives, as Python values; a reference to a function's attribute has none."""
        if self.node is None:
            return {}
        from onnx import helper

        return {a.name: helper.get_attribute_value(a) for a in self.node.attribute if not a.ref_attr_name}

    def widened(self, types: Mapping[str, str]) -> Call:
        """The call with other types in place of some."""
        inputs, outputs = (
            tuple(text if text is None else types.get(text, text) for text in side)
            for side in (self.inputs, self.outputs)
        )
        return replace(self, inputs=inputs, outputs=outputs)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one release says to a call.

    reason: empty if it runs it; ``opset``: the release does not load that opset at all; ``operator``: it does not
    have the operator; ``form``: not with these inputs, types or attributes; ``version``: it has no kernel for this
    version of the operator; ``dtype``: none for these types; ``quirk``: a kernel that is there refuses the call;
    ``body``: there is no kernel, and what ONNX defines the operator by does not run either.
    found, expected: both sides, for a reader.
    """

    reason: Reason = ""
    found: str = ""
    expected: str = ""

    @property
    def ok(self) -> bool:
        """Whether the release runs it."""
        return not self.reason

    def __bool__(self) -> bool:
        return self.ok


RUNS = Verdict()


def names(texts: tuple[str | None, ...]) -> str:
    """The types of some values for a reader: ``float32, int64, –``."""
    return ", ".join("–" if t is None else reader_name(t) if t else "?" for t in texts) or "nothing"
