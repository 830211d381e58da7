"""`Module`: a part of a model, with its parameters, buffers and parts, found by assigning them to attributes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from interchange.dtypes import dtype_of, is_float, name_of
from interchange.eager.state import Differences, State, load_values, values_of
from interchange.eager.tensor import Buffer, Parameter, Tensor, Variable, shape_text, traces, wrap
from interchange.eager.trace import active_trace, scope, structure
from interchange.errors import InterchangeError, OperatorError, user_line

M = TypeVar("M", bound="Module")
V = TypeVar("V")
Hook = Callable[..., Any]


class MissingAttributeError(OperatorError, AttributeError):
    """IX120: a module has no attribute of this name."""


class Handle:
    """What registering a hook returns. `remove()`, a call, or the end of a ``with`` block removes the hook."""

    def __init__(self, hooks: list[Hook], hook: Hook) -> None:
        self._hooks, self._hook = hooks, hook
        hooks.append(hook)
        structure.changes += 1

    def remove(self) -> None:
        """Remove the hook; a second time does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)
            structure.changes += 1

    __call__ = remove

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def _no_forward(self: Module, *args: Any, **kwargs: Any) -> Any:
    raise OperatorError(
        "IX126",
        f"{type(self).__name__} was called, but has no forward",
        where=user_line(),
        found=f"a {type(self).__name__}",
        expected="a module with a method forward(self, ...)",
        fix="define forward; a ModuleList or ModuleDict holds modules: call those",
    )


class Module:
    """A part of a model. A subclass makes its parts in `__init__` and uses them in `forward`.

    Parameters, Buffers and Modules that are assigned to attributes belong to the module, under the attribute's name.
    training: whether it is in training mode (`train`, `eval`).
    """

    training: bool = True
    forward: Callable[..., Any] = _no_forward
    _parameters: dict[str, Parameter]
    _buffers: dict[str, Variable]
    _modules: dict[str, Module]
    _transient: set[str]  # names of buffers that are not saved
    _pre_hooks: list[Hook]
    _hooks: list[Hook]

    def __new__(cls, *args: Any, **kwargs: Any) -> Module:
        self = super().__new__(cls)  # here, so that an __init__ that forgets super().__init__() works all the same
        self.__dict__.update(_parameters={}, _buffers={}, _modules={}, _transient=set(), _pre_hooks=[], _hooks=[])
        return self

    # -- attributes ----------------------------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if isinstance(value, (Variable, Module)):
            self._register(name, value)
        elif isinstance(before, Variable) and isinstance(value, Tensor):
            raise OperatorError(
                "IX123",
                f"{name} is a {type(before).__name__}; a plain tensor would take its place",
                where=user_line(),
                found=f"{type(self).__name__}.{name} = {name_of(value.dtype)}{shape_text(value.shape)}",
                expected=f"a new value for it, or a {type(before).__name__}",
                fix=f"write self.{name}.assign(value) to give it a new value",
            )
        elif isinstance(before, (Variable, Module)):
            self._forget(name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self._forget(name)
        object.__delattr__(self, name)

    def __getattr__(self, name: str) -> Any:
        cls = type(self)
        if name.startswith("__") or hasattr(cls, name):  # a property that failed: its own error
            return object.__getattribute__(self, name)
        near = difflib.get_close_matches(name, dir(self), 3)
        raise MissingAttributeError(
            "IX120",
            f"{cls.__name__} has no attribute {name!r}",
            where=user_line(),
            found=name,
            expected=", ".join(near) if near else "an attribute assigned in __init__",
            fix=f"did you mean {near[0]!r}?" if near else f"assign self.{name} in __init__",
        )

    def __dir__(self) -> list[str]:
        return [n for n in {*super().__dir__()} if n.isidentifier()]

    def _register(self, name: str, value: Variable | Module) -> None:
        group: dict[str, Any] = self._buffers
        if isinstance(value, Module):
            group = self._modules
        elif isinstance(value, Parameter):
            group = self._parameters
        if name not in group:
            self._forget(name)
        group[name] = value
        structure.changes += 1
        if isinstance(value, Variable) and value.name is None:
            value.name = name

    def _forget(self, name: str) -> None:
        structure.changes += 1
        for group in (self._parameters, self._buffers, self._modules):
            group.pop(name, None)
        self._transient.discard(name)

    def _add(self, name: str, value: Any, kind: type[Module | Variable]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise OperatorError(
                "IX124",
                f"{name!r} is no name for a part of a module",
                where=user_line(),
                found=repr(name),
                expected="a text that is not empty and has no dot",
                fix="choose another name; a dot separates a module from its parts",
            )
        if not isinstance(value, kind):
            raise OperatorError(
                "IX124",
                f"{name} is not a {kind.__name__}",
                where=user_line(),
                found=type(value).__name__,
                expected=f"a {kind.__name__}",
                fix=f"wrap it: {kind.__name__}(...)" if kind is not Module else "pass a module, not its class",
            )
        self._register(name, value)
        before = self.__dict__.get(name)
        if not hasattr(type(self), name) and (before is None or isinstance(before, (Variable, Module))):
            self.__dict__[name] = value  # else the name means something already: get_parameter(name) finds it

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Add a parameter under a name; None is an absent one (``bias=None``)."""
        if parameter is None:
            self._forget(name)
            self.__dict__[name] = None
        else:
            self._add(name, parameter, Parameter)

    def register_buffer(self, name: str, buffer: Any, persistent: bool = True) -> None:
        """Add a buffer (a Buffer, or what makes one; None is an absent one). persistent=False: not in `state_dict`."""
        if buffer is None:
            self._forget(name)
            self.__dict__[name] = None
            return
        self._add(name, buffer if isinstance(buffer, Variable) else Buffer(buffer), Variable)
        if not persistent:
            self._transient.add(name)

    def register_module(self, name: str, module: Module) -> None:
        """Add a part under a name."""
        self._add(name, module, Module)

    add_module = register_module

    # -- calling -------------------------------------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if traces.count or self._hooks or self._pre_hooks:
            return self._call_in_full(args, kwargs)
        try:
            return self.forward(*args, **kwargs)
        except InterchangeError as error:
            self._locate(error)
            raise

    def _call_in_full(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call with hooks, or in a trace, where nodes carry the module's path."""
        trace = active_trace()
        path = None
        if trace is not None:
            path = trace.paths.get(id(self))
            trace.modules.append((self, self.training))
        try:
            for hook in tuple(self._pre_hooks):
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
            if path is None:
                output = self.forward(*args, **kwargs)
            else:
                with scope(path):
                    output = self.forward(*args, **kwargs)
        except InterchangeError as error:
            self._locate(error)
            raise
        for hook in tuple(self._hooks):
            changed = hook(self, args, output)
            output = output if changed is None else changed
        return output

    def _locate(self, error: InterchangeError) -> None:
        """Say in which layer it happened: the innermost one."""
        if not re.search(r"(^|, )in \w+\(", error.where or ""):
            name = type(self).__name__
            place = f"{name}({self.extra_repr()})"
            error.where = f"{error.where}, in {place}" if error.where else f"in {place}"

    def register_forward_hook(self, hook: Hook) -> Handle:
        """Call ``hook(module, args, output)`` after each call; what it returns, if not None, replaces the output."""
        return Handle(self._hooks, hook)

    def register_forward_pre_hook(self, hook: Hook) -> Handle:
        """Call ``hook(module, args)`` before each call; what it returns, if not None, replaces the arguments."""
        return Handle(self._pre_hooks, hook)

    def _parts(self) -> tuple[Any, ...]:
        """What a trace of `forward` depends on besides its arguments: a compiled function compares it."""
        groups = (self._parameters, self._buffers, self._modules)
        return (*chain.from_iterable(g.values() for g in groups), *self._pre_hooks, *self._hooks)

    # -- what belongs to it --------------------------------------------------------------------------------------------
    def named_modules(self, prefix: str = "", *, remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module (path ``prefix``) and all below; a shared one once, under its first path."""
        return self._walk(prefix, set() if remove_duplicate else None, ())

    def _walk(self, path: str, seen: set[int] | None, above: tuple[int, ...]) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if id(self) in seen:
                return
            seen.add(id(self))
        elif id(self) in above:  # a module that holds one that holds it
            return
        yield path, self
        for name, child in self._modules.items():
            yield from child._walk(_join(path, name), seen, (*above, id(self)))

    def modules(self) -> Iterator[Module]:
        """This module and all below."""
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules assigned to this one; a shared one once."""
        return _once(iter(self._modules.items()))

    def children(self) -> Iterator[Module]:
        """The modules assigned to this one."""
        return (m for _, m in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter): those of this module, then those of the modules below. A shared one once, first path wins.

        Raises OperatorError IX122 for modules and parameters hidden in a plain list, tuple or dict.
        """
        self._refuse_hidden()
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Variable]]:
        """(path, buffer), in the same order."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def _named(self, group: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        modules = self.named_modules(prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        found = ((_join(path, n), v) for path, m in modules for n, v in m.__dict__[group].items())
        return _once(found) if remove_duplicate else found

    def _refuse_hidden(self) -> None:
        modules = list(self.modules())
        seen = {id(v) for m in modules for v in chain((m,), m._parameters.values(), m._buffers.values())}
        for m in modules:
            for name, value in m.__dict__.items():
                if type(value) not in (list, tuple, dict) or name in ("_hooks", "_pre_hooks"):
                    continue
                for item in value.values() if type(value) is dict else value:
                    if isinstance(item, (Module, Parameter)) and id(item) not in seen:
                        kind = "Parameter" if isinstance(item, Parameter) else "Module"
                        raise OperatorError(
                            "IX122",
                            f"{type(m).__name__}.{name} is a plain {type(value).__name__} that holds a {kind}",
                            where=user_line(),
                            found=f"a {type(item).__name__} which training, saving and exporting would not see",
                            expected=f"{kind}List or {kind}Dict" if kind == "Module" else "a ParameterList",
                            fix=f"self.{name} = nn.{kind}{'Dict' if type(value) is dict else 'List'}(...)",
                        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimiser takes."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Variable]:
        """The buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, path: str) -> Module:
        """The module at a dotted path; "" is this one. Raises OperatorError IX120."""
        module = self
        for part in path.split(".") if path else ():
            if part not in module._modules:
                return module.__getattr__(part)  # type: ignore[no-any-return]
            module = module._modules[part]
        return module

    def get_parameter(self, path: str) -> Parameter:
        """The parameter at a dotted path. Raises OperatorError IX120."""
        *parts, name = path.split(".")
        module = self.get_submodule(".".join(parts))
        return module._parameters[name] if name in module._parameters else module.__getattr__(name)

    def get_buffer(self, path: str) -> Variable:
        """The buffer at a dotted path. Raises OperatorError IX120."""
        *parts, name = path.split(".")
        module = self.get_submodule(".".join(parts))
        return module._buffers[name] if name in module._buffers else module.__getattr__(name)

    # -- state ---------------------------------------------------------------------------------------------------------
    def named_variables(self, *, remove_duplicate: bool = False) -> Iterator[tuple[str, Variable]]:
        """(path, variable) of what `state_dict` holds: parameters and persistent buffers; shared ones at every path."""
        self._refuse_hidden()
        found = (
            (_join(path, n), v)
            for path, m in self.named_modules(remove_duplicate=remove_duplicate)
            for n, v in chain(m._parameters.items(), m._buffers.items())
            if n not in m._transient
        )
        return _once(found) if remove_duplicate else found

    def state_dict(self) -> State:
        """The values of parameters and persistent buffers by path, as they are now, whatever happens later."""
        return values_of(self.named_variables())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Take over the values of `state` (tensors or arrays by path): all, or none when something does not fit.

        A shared parameter may be given under any of its paths. Returns the missing and unexpected names, which only
        strict=False allows. Raises OperatorError IX121 that lists every difference in names, shapes and dtypes.
        """
        return load_values(type(self).__name__, self.named_variables(), state, strict)

    # -- modes and changes ---------------------------------------------------------------------------------------------
    def train(self: M, mode: bool = True) -> M:
        """Training mode for this module and all below: Dropout drops, BatchNorm uses the batch's statistics."""
        for m in self.modules():
            m.training = mode
        return self

    def eval(self: M) -> M:
        """Evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Train the parameters of this module and below, or freeze them."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters (they become None)."""
        for p in self.parameters():
            if p.requires_grad:
                p.grad = None

    def apply(self: M, function: Callable[[Module], Any]) -> M:
        """Call `function` with every module below, then with this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self: M, dtype: Any) -> M:
        """Convert floating-point parameters and buffers. An optimiser is made afterwards, as its state has their dtype.

        Raises OperatorError IX124 for a dtype that is not a floating-point one.
        """
        wanted = dtype_of(dtype)
        if not is_float(wanted):
            raise OperatorError(
                "IX124",
                "parameters are floating-point numbers",
                where=user_line(),
                found=name_of(wanted),
                expected="a floating-point dtype",
                fix="convert to float32, float64, float16 or bfloat16",
            )
        for v in chain(self.parameters(), self.buffers()):
            if is_float(v.dtype):
                v._data = v._data.astype(wanted)
                if v.grad is not None:
                    v.grad = wrap(v.grad._data.astype(wanted))
        return self

    def float(self: M) -> M:
        """``to("float32")``."""
        return self.to(np.float32)

    def double(self: M) -> M:
        """``to("float64")``."""
        return self.to(np.float64)

    # -- text ----------------------------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What `repr` shows between the parentheses of a module; for subclasses to override."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._modules.items()]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        head = [extra] if extra else []
        return "\n  ".join([f"{type(self).__name__}(", *head, *lines]) + "\n)"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _once(pairs: Iterator[tuple[str, V]]) -> Iterator[tuple[str, V]]:
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


__all__ = ["Handle", "MissingAttributeError", "Module"]
