"""What a served model takes, as its metadata says; and from what a user passes to arrays that fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from interchange.client.errors import no_protocol
from interchange.dtypes import Array
from interchange.errors import UsageError
from interchange.graph.sizes import SizeNames
from interchange.protocol.datatypes import DATATYPES, DTYPES
from interchange.runtime.inputs import Inputs
from interchange.runtime.signature import Signature, ValueSpec


class Served:
    """The inputs of a served model. Threads may share it.

    specs: by name, in order; None for a datatype that has no element type here, and whose arrays go as they are.
    known: whether the server says what the inputs are; some leave it open.
    """

    def __init__(self, metadata: Any) -> None:
        """metadata: the protocol's, of one model. Raises ClientError IX684."""
        inputs = metadata.get("inputs", []) if isinstance(metadata, dict) else None
        if not isinstance(inputs, list):
            raise no_protocol(f"{metadata!r}"[:100], "an object with a list of inputs: the model's metadata")
        self.told = [_one(entry) for entry in inputs]
        names = SizeNames({})  # an open size has no name in the protocol
        self.specs = {name: _spec(name, datatype, shape, names) for name, datatype, shape in self.told}
        self.known = bool(self.specs)
        # what may be left out is not in the protocol: the server says what is missing
        checked = {n: replace(s, optional=True) for n, s in self.specs.items() if s is not None}
        self._inputs = Inputs(Signature(checked, {}))
        self._checks = self.known and all(self.specs.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Served) and self.told == other.told

    __hash__ = None  # type: ignore[assignment]

    def arrays(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """C-contiguous arrays with a datatype of the protocol, by input name.

        Raises InputsError (as a local model does), UsageError IX688 for Python values where nobody knows their dtype.
        """
        if self._checks:
            return self._inputs.prepare((), given)
        known = {
            n: v for n, v in given.items() if self.specs.get(n) is not None or (self.known and n not in self.specs)
        }
        found = self._inputs.prepare((), known) if known else {}
        return {n: found[n] if n in found else _as_it_is(n, v) for n, v in given.items()}


def _as_it_is(name: str, value: Any) -> Array:
    array = np.asarray(value) if hasattr(value, "__array__") else None
    if array is not None and array.dtype.kind in "SU":
        array = array.astype(object)
    if array is None or array.dtype.newbyteorder("=") not in DATATYPES:
        raise UsageError(
            "IX688",
            f"nobody knows the datatype of input {name}",
            found=f"a {type(value).__name__}, and a server that does not tell what the model takes",
            expected="a numpy array of a datatype of the protocol",
            fix=f"give it one: numpy.asarray({name}, dtype='float32')",
        )
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)


def _one(entry: Any) -> tuple[str, str, tuple[int, ...]]:
    match entry:
        case {"name": str(name), "datatype": str(datatype), "shape": list(shape)} if all(type(d) is int for d in shape):
            return name, datatype, tuple(shape)
    raise no_protocol(f"{entry!r}"[:100], "name, datatype and shape of each input in the model's metadata")


def _spec(name: str, datatype: str, shape: tuple[int, ...], names: SizeNames) -> ValueSpec | None:
    """An input as the runtime has it. Without axes it may also be one whose axes nobody declared."""
    dtype = DTYPES.get(datatype)
    if dtype is None:
        return None
    dims = tuple(names.dim(None if d < 0 else d, f"{name}_{axis}") for axis, d in enumerate(shape))
    return ValueSpec(name, dtype, dims, ranked=bool(shape))
