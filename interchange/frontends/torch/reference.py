"""The source model, run on named arrays to named arrays, as it was and left as it was."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import InputKind
from torch.utils._pytree import (
    GetAttrKey,
    MappingKey,
    SequenceKey,
    tree_flatten,
    tree_flatten_with_path,
    tree_unflatten,
)

from interchange.dtypes import Array
from interchange.eager.pytree import Tree
from interchange.errors import ConvertError
from interchange.frontends import Arrays
from interchange.frontends.torch.weights import to_numpy, to_torch


def keys_of(path: Sequence[Any]) -> list[str]:
    """The keys on the way to a leaf."""
    return [_key(k) for k in path]


def _key(key: Any) -> str:
    match key:
        case SequenceKey(idx=i):
            return str(i)
        case MappingKey(key=k):
            return str(k)
        case GetAttrKey(name=name):
            return str(name)
    return str(key)


def paths_of(spec: Any, leaves: Sequence[Any]) -> list[Sequence[Any]]:
    """The path to each leaf of a nest, in PyTorch's order.

    leaves: nodes of the graph, or constants. They are put into the nest as tensors without memory, since a container
    of its own kind, such as a cache of keys and values, takes tensors only.
    """
    values = [x.meta.get("val") if isinstance(x, torch.fx.Node) else x for x in leaves]
    filled = tree_unflatten([_without_memory(v) if isinstance(v, torch.Tensor) else v for v in values], spec)
    return [path for path, _ in tree_flatten_with_path(filled)[0]]


def _without_memory(value: Any) -> Any:
    shape = [d if type(d) is int else d.node.hint or 1 for d in value.shape]
    return torch.empty(shape, dtype=value.dtype, device="meta")


def structure(leaves: Sequence[tuple[Sequence[str], Any, bool]]) -> Any:
    """How leaves are nested, as the model's metadata has it. A leaf: (path, value, whether it is a tensor)."""
    if len(leaves) == 1 and not leaves[0][0]:
        _, value, tensor = leaves[0]
        if value is None:
            return Tree("none").to_json()
        return Tree("leaf").to_json() if tensor else Tree("constant", value=value).to_json()
    groups: dict[str, list[tuple[Sequence[str], Any, bool]]] = {}
    for path, value, tensor in leaves:
        groups.setdefault(path[0], []).append((path[1:], value, tensor))
    kind = "tuple" if list(groups) == [str(i) for i in range(len(groups))] else "dict"
    return {"kind": kind, "keys": list(groups), "items": [structure(g) for g in groups.values()]}


FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, KeyError)  # of a model on some inputs


def failed(error: Exception, arrays: Arrays) -> ConvertError:
    """The error for a model that raises one itself."""
    return ConvertError(
        "IX929",
        f"the PyTorch model itself fails on these inputs: {type(error).__name__}: {error}",
        found=", ".join(f"{n}: {a.dtype}{list(a.shape)}" for n, a in arrays.items()),
        expected="a model that runs on every input that its dynamic sizes admit",
        fix="give the dimension bounds: interchange.dims.Dim(name, min=, max=)",
    )


@contextmanager
def as_captured() -> Iterator[None]:
    """How a model is run to be compared: without gradients, and without warnings of sizes the user did not ask for.

    And without the fast path of transformer layers, which is never captured: where a sequence is padded it gives zeros.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def graph_arguments(program: Any, order: Sequence[str], arrays: Mapping[str, Any]) -> list[Any]:
    """What the placeholders of a program's graph stand for when its inputs are these arrays.

    order: the names of the inputs as PyTorch flattens them. State is copied, since the graph may write into it.
    """
    names = iter(order)
    found: list[Any] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            name = next(names)
            found.append(to_torch(arrays[name]) if name in arrays else getattr(spec.arg, "value", None))
        elif spec.kind == InputKind.PARAMETER:
            found.append(program.state_dict[spec.target])
        else:
            held = program.state_dict.get(spec.target)
            found.append((program.constants[spec.target] if held is None else held).clone())
    return found


class Source:
    """Runs a model beside its export: inputs and state in, outputs, new state and changed inputs out."""

    def __init__(
        self,
        model: Any,
        arguments: Callable[[Mapping[str, Any]], tuple[list[Any], dict[str, Any]]],
        lowered: Any,
    ) -> None:
        self.model, self.arguments = model, arguments
        self.outputs, self.changed = lowered.outputs, lowered.changed
        self.state = {n: lowered.targets[n] for n in lowered.state}

    def run(self, arrays: Arrays) -> Arrays:
        """The outputs by name, in the order of the graph's. Raises ConvertError IX929 where the model itself fails."""
        tensors = {n: to_torch(a) for n, a in arrays.items()}
        args, kwargs = self.arguments(tensors)
        held = {n: self._held(target) for n, target in self.state.items()}
        before = {n: t.detach().clone() for n, t in held.items()}
        versions = self._versions()
        try:
            with as_captured():
                returned = self.model(*args, **kwargs)
            self._refuse_unknown_writes(versions, held)
            found = [_array(v) for v in tree_flatten(returned)[0] if v is not None]
            found += [to_numpy(tensors[n]) for n in self.changed]
            found += [to_numpy(t).copy() for t in held.values()]
        except FAILURES as error:
            raise failed(error, arrays) from error
        finally:
            with torch.no_grad():
                for n, t in held.items():
                    t.copy_(before[n])
        names = [*self.outputs, *self.changed.values(), *(f"{n}.next" for n in self.state)]
        return dict(zip(names, found, strict=True))

    def _versions(self) -> dict[str, tuple[Any, int]]:
        """How often each parameter and buffer was written into so far."""
        if not isinstance(self.model, torch.nn.Module):
            return {}
        tensors = (*self.model.named_parameters(), *self.model.named_buffers())
        return {n: (t, t._version) for n, t in tensors if not t.is_inference()}

    def _refuse_unknown_writes(self, versions: Mapping[str, tuple[Any, int]], held: Mapping[str, Any]) -> None:
        """Raise ConvertError IX924 where the model changes what its export would leave as it is."""
        known = {id(t) for t in held.values()}
        changed = [n for n, (t, version) in versions.items() if t._version != version and id(t) not in known]
        if changed:
            raise ConvertError(
                "IX924",
                "the model changes its state in a way that the capture does not show, and the export would not keep it",
                found=", ".join(changed),
                expected="state that is changed by operations on it: self.name.copy_(value)",
                fix="change the buffer itself, not its .data or a NumPy view of it",
            )

    def _held(self, target: str) -> Any:
        path, _, name = target.rpartition(".")
        return getattr(self.model.get_submodule(path), name)


def _array(value: Any) -> Array:
    return to_numpy(value).copy() if isinstance(value, torch.Tensor) else np.asarray(value)
