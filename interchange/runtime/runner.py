"""Fixed buffers: a model that is called again and again with inputs of one shape, without allocating."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from interchange.dtypes import Array
from interchange.errors import UsageError
from interchange.runtime.explain import run_error
from interchange.runtime.values import is_native

if TYPE_CHECKING:
    from interchange.runtime.model import Model


class Runner:
    """Made by `Model.bind`. Write into `inputs`, call `run`, read `outputs`; the same arrays each time.

    inputs, outputs: name -> array, which is written into (``runner.inputs["x"][:] = ...``) and never replaced.
    A runner belongs to one thread; make one for each.
    Raises UsageError IX823 for models whose values are not all tensors of numpy's own dtypes.
    """

    def __init__(self, model: Model, feeds: Mapping[str, Any]) -> None:
        import onnxruntime as ort

        specs = [*model.inputs.values(), *model.outputs.values()]
        odd = [str(s) for s in specs if s.kind != "tensor" or not is_native(s.dtype) or s.dtype == object]
        if odd:
            raise UsageError(
                "IX823",
                "this model cannot be bound to fixed buffers",
                found="; ".join(odd),
                expected="numeric tensors of numpy's own dtypes",
                fix="call model.run instead",
            )
        self._session, self._places = model.session, model._places
        self.inputs: Mapping[str, Array] = MappingProxyType({n: np.array(v) for n, v in feeds.items()})
        found = model.run(self.inputs)
        self._binding = self._session.io_binding()
        for name, array in self.inputs.items():
            self._binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        self.outputs: Mapping[str, Array] = MappingProxyType({n: np.array(v) for n, v in found.items()})
        self._buffers = (*self.inputs.values(), *self.outputs.values())  # the runtime writes to them: they must live
        for name, array in self.outputs.items():
            self._binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))

    def run(self) -> Mapping[str, Array]:
        """Compute `outputs` from what `inputs` hold now. Raises RunError IX611, also when an output's shape changes."""
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # the runtime's exceptions share no other base
            raise run_error(error, self._places, self.inputs.items()) from error
        return self.outputs
