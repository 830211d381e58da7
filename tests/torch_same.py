"""What every test of a PyTorch lowering asserts: exported, proven beside the module, and equal on more inputs."""

import numpy as np
import pytest

import interchange as ix

torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra interchange[torch])")


class Wrapped(torch.nn.Module):
    """A function as a module, in eval mode."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.eval()

    def forward(self, *args):
        return self.function(*args)


def exported(model, *inputs, dynamic=None, **options):
    """Export a module or a function of tensors, proven at the example and at other sizes of `dynamic`.

    dynamic: for each input in turn axis -> name (None: static); or a mapping by name, or "auto".
    """
    module = model if isinstance(model, torch.nn.Module) else Wrapped(model)
    if isinstance(dynamic, (list, tuple)):
        named = {f"args_{i}": d for i, d in enumerate(dynamic) if d}
        dynamic = named if module.__class__ is Wrapped else dict(zip(_names(module), dynamic, strict=False))
    return ix.export(module, inputs, dynamic=dynamic, **options)


def _names(module):
    import inspect

    return list(inspect.signature(module.forward).parameters)


def same(model, *inputs, dynamic=None, more=(), tolerance=None, **options):
    """`exported`, and then equal to the module on each tuple of inputs in `more` (special values, other sizes)."""
    from interchange.frontends.torch.weights import to_numpy
    from interchange.parity import compare

    loaded = exported(model, *inputs, dynamic=dynamic, tolerance=tolerance, **options)
    names = [n for n, s in loaded.inputs.items() if not s.optional]
    for given in (inputs, *more):
        tensors = [t for t in torch.utils._pytree.tree_leaves(given) if isinstance(t, torch.Tensor)]
        found = loaded.run({n: to_numpy(t) for n, t in zip(names, tensors, strict=True)})
        with torch.no_grad():
            wanted = [w for w in torch.utils._pytree.tree_leaves(model(*given)) if w is not None]
        for (name, ours), theirs in zip(found.items(), wanted, strict=False):
            array = to_numpy(theirs) if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
            assert compare(name, ours, array, tolerance).problem is None
    return loaded
