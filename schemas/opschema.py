"""What an operator is: the data classes of the registry.

A schema answers two questions for every caller (eager call, traced node, checked file): which element types follow
from the inputs' (`bind_types`), and which attributes a call really has (`check_attributes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interchange.dtypes import DType, name_of
from interchange.schemas import attributes as _attributes
from interchange.schemas import binding as _binding
from interchange.schemas.typetext import plain

UNBOUNDED = 2**31 - 1
"""`max_inputs` or `max_outputs` of an operator that takes or gives any number."""

Doc = str | Callable[[], str]
"""A documentation text, or what reads it: the shipped texts stay on disk until one is asked for."""


def _read(doc: Doc) -> str:
    return doc if isinstance(doc, str) else doc()


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """One attribute of an operator.

    type: ``int``, ``float``, ``string``, ``tensor``, ``graph``, ``sparse_tensor``, ``type_proto`` or a plural of those.
    default: the value of a call that does not give it, as Python value (a tensor as `np.ndarray`); None: there is none.
    allowed: the values it may have (a plural: each of its elements); None: any value of its type.
    """

    name: str
    type: str
    required: bool = False
    default: Any = None
    allowed: tuple[Any, ...] | None = None
    documentation: Doc = field(default="", repr=False)

    @property
    def doc(self) -> str:
        """What it means, in Markdown; empty if nobody wrote it down."""
        return _read(self.documentation)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the documentation, as plain data."""
        allowed = None if self.allowed is None else list(self.allowed)
        return {
            "name": self.name,
            "type": self.type,
            "required": self.required,
            "default": _jsonable(self.default),
            "allowed": allowed,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Formal:
    """One formal input or output.

    type: a type variable of the schema (``T``) or the text of one ONNX type (``tensor(int64)``).
    option: ``single`` (must be there), ``optional``, or ``variadic`` (the last one, any number of times).
    homogeneous: whether all values of a variadic one have the same type.  min_arity: fewest values of a variadic one.
    """

    name: str
    type: str
    option: str = "single"
    homogeneous: bool = True
    min_arity: int = 1
    documentation: Doc = field(default="", repr=False)

    @property
    def doc(self) -> str:
        """What it is, in Markdown; empty if nobody wrote it down."""
        return _read(self.documentation)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the documentation, as plain data."""
        return {
            "name": self.name,
            "type": self.type,
            "option": self.option,
            "homogeneous": self.homogeneous,
            "min_arity": self.min_arity,
        }


@dataclass(frozen=True, slots=True, eq=False)
class OpSchema:
    """One version of an operator: what may go in, what comes out.

    domain: ``""`` is ONNX's own (written ai.onnx).  since: the opset in which this version came.
    type_constraints: type variable -> the ONNX type texts it may stand for.
    has_function: ONNX gives a body made of other operators. ONNX Runtime does not say so of its own operators.
    max_inputs, max_outputs: UNBOUNDED if the last one is variadic.
    """

    domain: str
    name: str
    since: int
    inputs: tuple[Formal, ...]
    outputs: tuple[Formal, ...]
    attributes: Mapping[str, Attribute]
    type_constraints: Mapping[str, tuple[str, ...]]
    deprecated: bool = False
    has_function: bool = False
    min_inputs: int = 0
    max_inputs: int = 0
    min_outputs: int = 0
    max_outputs: int = 0
    documentation: Doc = field(default="", repr=False)

    @property
    def doc(self) -> str:
        """The operator's documentation, in Markdown; empty if nobody wrote it down."""
        return _read(self.documentation)

    @property
    def title(self) -> str:
        """The operator and its version for a reader: ``Conv-22``, ``com.microsoft::Gelu-1``."""
        prefix = f"{self.domain}::" if self.domain else ""
        return f"{prefix}{self.name}-{self.since}"

    def bind_types(self, dtypes: Sequence[DType | None]) -> tuple[DType | None, ...]:
        """The outputs' dtypes which follow from the dtypes of a call's inputs (None: an optional input left out).

        One entry for each formal output, the last standing for all values of a variadic one; None for an output
        whose dtype does not follow from the inputs (Cast) and for one that is no tensor.

        Raises SchemaError: IX404 for too few or too many inputs, IX405 for a dtype the operator does not take.
        """
        return _binding.bind_types(self, dtypes)

    def bind_type_texts(self, types: Sequence[str | None]) -> tuple[str | None, ...]:
        """`bind_types` for values of any ONNX type, given and returned as texts: ``seq(tensor(float))``."""
        return _binding.bind_type_texts(self, types)

    def check_attributes(self, attrs: Mapping[str, object]) -> dict[str, Any]:
        """The attributes of a call: `attrs` checked and normalised, with the defaults filled in.

        Sequences become tuples, numpy scalars Python numbers, a dtype its ONNX number (``to=np.float32``), a flag
        given as bool an int. A None means that the attribute is not given. Names without a value stay out.

        Raises SchemaError: IX406 unknown attribute, IX407 a required one is missing, IX408 wrong type,
        IX409 a value that the operator does not allow.
        """
        return _attributes.check_attributes(self, attrs)

    def signature(self) -> str:
        """One line for a reader: ``Relu-14(X: T) -> (Y: T)  where T: float32, ...``."""
        inputs = ", ".join(formal_text(f) for f in self.inputs)
        outputs = ", ".join(formal_text(f) for f in self.outputs)
        attributes = ", ".join(attribute_text(a) for a in self.attributes.values())
        call = f"{inputs}; {attributes}" if attributes else inputs
        used = ", ".join(f"{name} in {{{plain(texts)}}}" for name, texts in self.type_constraints.items())
        where = f"  where {used}" if used else ""
        mark = "  [deprecated]" if self.deprecated else ""
        return f"{self.title}({call}) -> ({outputs}){where}{mark}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the documentation, as plain data."""
        return {
            "domain": self.domain,
            "name": self.name,
            "since": self.since,
            "deprecated": self.deprecated,
            "has_function": self.has_function,
            "inputs": [f.to_dict() for f in self.inputs],
            "outputs": [f.to_dict() for f in self.outputs],
            "attributes": [a.to_dict() for a in self.attributes.values()],
            "type_constraints": {name: list(texts) for name, texts in self.type_constraints.items()},
            "min_inputs": self.min_inputs,
            "max_inputs": self.max_inputs,
            "min_outputs": self.min_outputs,
            "max_outputs": self.max_outputs,
        }


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"dtype": name_of(value.dtype), "value": value.tolist()}
    return list(value) if isinstance(value, tuple) else value


def formal_text(formal: Formal) -> str:
    """``X: T``, ``B?: T`` if optional, ``inputs...: T`` if variadic."""
    type_ = formal.type if "(" not in formal.type else plain([formal.type])
    mark = {"single": "", "optional": "?", "variadic": "..."}[formal.option]
    return f"{formal.name}{mark}: {type_}"


def attribute_text(attribute: Attribute) -> str:
    """``axis: int`` if required, ``axis: int = 0``, ``axes?: ints`` if it may be left out."""
    if attribute.required:
        return f"{attribute.name}: {attribute.type}"
    default = attribute_value(attribute)
    return (
        f"{attribute.name}?: {attribute.type}" if default is None else f"{attribute.name}: {attribute.type} = {default}"
    )


def attribute_value(attribute: Attribute) -> str | None:
    """The default as Python text, None if there is none."""
    default = attribute.default
    if default is None:
        return None
    shown = default.tolist() if isinstance(default, np.ndarray) else default
    return repr(list(shown) if isinstance(shown, tuple) else shown)
