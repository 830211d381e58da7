"""What a pipeline's file says, and whether it fits the models that are served.

    inputs = ["image"]
    outputs = {label = "post.label"}        # an output of the pipeline is one of a step: STEP.OUTPUT

    [steps.pre]
    model = "resize"                        # a served model, or another pipeline
    inputs = {raw = "image"}                # an input of the step <- an input of the pipeline

    [steps.net]
    model = "resnet"
    version = "2"                           # without one: what a request without one gets
    inputs = {x = "pre.pixels"}             # <- an output of another step

All mistakes are told at once, each with its line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from interchange.dims import Dim, DimLike
from interchange.errors import InterchangeError, ProblemsError
from interchange.protocol.errors import ServingError
from interchange.runtime.signature import Bounds, Signature, ValueSpec
from interchange.serving.configuration import lines_of

if TYPE_CHECKING:
    from interchange.serving.served import Served

STEP = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_FILE = 1 << 20  # bytes
Keys = tuple[str, ...]
Find = Callable[[str, str], "Served"]  # (model, version) -> what answers; raises ServingError IX640 to IX642


class PipelineError(ProblemsError, ServingError):
    """IX690 to IX699: a pipeline that cannot be served."""


class Source(NamedTuple):
    """Where a value comes from: an output of a step, or (step "") an input of the pipeline."""

    step: str
    name: str

    def __str__(self) -> str:
        return f"{self.step}.{self.name}" if self.step else self.name


@dataclass(frozen=True)
class Step:
    """One model of a pipeline. inputs: its input -> where that comes from."""

    name: str
    model: str
    version: str
    inputs: Mapping[str, Source]

    @property
    def needs(self) -> set[str]:
        """The steps that have to be done before it."""
        return {s.step for s in self.inputs.values() if s.step}


@dataclass(frozen=True)
class Description:
    """A pipeline's file. outputs: name -> where it comes from.  lines: of its keys."""

    name: str
    file: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, Source]
    steps: Mapping[str, Step]
    lines: Mapping[Keys, int] = field(default_factory=dict, compare=False)

    @property
    def models(self) -> set[str]:
        """The models that its steps run."""
        return {s.model for s in self.steps.values()}

    def place(self, *keys: str) -> str:
        """``classify.toml:7``, of a key or of what holds it."""
        line = next((self.lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), None)
        return self.file if line is None else f"{self.file}:{line}"


# -- the file ---------------------------------------------------------------------------------------------------------
def read(path: Path, name: str) -> Description:
    """The description in a file. Raises PipelineError IX690, with everything that has not the form of one."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1).decode()
        if len(text) > MAX_FILE:
            raise ValueError(f"more than {MAX_FILE} bytes")
        data = tomllib.loads(text)
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        line = re.search(r"\(at line (\d+), ", str(error))
        problem = _problem(
            "IX690",
            f"the file of pipeline {name} cannot be read",
            f"{path.name}:{line[1]}" if line else path.name,
            found=what or type(error).__name__,
            expected="a TOML file in UTF-8 with inputs, outputs and steps",
            fix="correct the line" if line else "correct the path in the setting `pipelines`",
        )
        raise PipelineError([problem]) from None
    return _Reading(name, path.name, data, lines_of(text)).description()


class _Reading:
    """A file as a description, and what is wrong with its form."""

    def __init__(self, name: str, file: str, data: Mapping[str, Any], lines: Mapping[Keys, int]) -> None:
        self.data, self.problems = data, list[InterchangeError]()
        self.blank = Description(name, file, (), {}, {}, lines)

    def description(self) -> Description:
        self.known(self.data, ("inputs", "outputs", "steps"))
        names = self.data.get("inputs", [])
        if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            self.form(("inputs",), names, 'a list of names: ["image"]')
            names = []
        inputs = tuple(dict.fromkeys(names))
        if len(inputs) < len(names):
            self.form(("inputs",), names, "each name once")
        steps = {}
        for step, table in self.table(("steps",), self.data.get("steps")).items():
            if not STEP.fullmatch(step):
                self.form(("steps", step), step, "a name of letters, digits, _ and - for a step")
            steps[step] = self.step(step, self.table(("steps", step), table), inputs)
        outputs = self.sources(("outputs",), self.data.get("outputs"), inputs)
        if not outputs and not self.problems:
            self.form(("outputs",), {}, 'at least one output: outputs = {label = "post.label"}')
        if self.problems:
            raise PipelineError(self.problems)
        return Description(self.blank.name, self.blank.file, inputs, outputs, steps, self.blank.lines)

    def step(self, step: str, table: Mapping[str, Any], inputs: Sequence[str]) -> Step:
        keys = ("steps", step)
        self.known(table, ("model", "version", "inputs"), keys)
        model, version = table.get("model"), table.get("version", "")
        if not isinstance(model, str) or not model:
            self.form((*keys, "model"), model, 'the name of a model: model = "resnet"')
        if type(version) not in (int, str):
            self.form((*keys, "version"), version, 'a version: version = "2"')
        return Step(step, str(model), str(version), self.sources((*keys, "inputs"), table.get("inputs", {}), inputs))

    def sources(self, keys: Keys, value: Any, inputs: Sequence[str]) -> dict[str, Source]:
        found = {}
        for name, text in self.table(keys, value).items():
            if not isinstance(text, str) or not text:
                self.form((*keys, name), text, "the name of an input of the pipeline, or STEP.OUTPUT")
                continue
            step, dot, output = text.partition(".")
            found[name] = Source(step, output) if dot and text not in inputs else Source("", text)
        return found

    def table(self, keys: Keys, value: Any) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        self.form(keys, value, "a table")
        return {}

    def known(self, table: Mapping[str, Any], names: Sequence[str], keys: Keys = ()) -> None:
        for key in table:
            if key not in names:
                close = get_close_matches(key, names, 1)
                fix = f"did you mean {close[0]}?" if close else "leave it out"
                self.form((*keys, key), key, ", ".join(names), fix)

    def form(self, keys: Keys, found: Any, expected: str, fix: str = "") -> None:
        self.problems.append(
            _problem(
                "IX690",
                f"{'.'.join(keys)} has no place in a pipeline" if fix else f"{'.'.join(keys)} is not of its form",
                self.blank.place(*keys),
                found="nothing" if found is None else repr(found)[:100],
                expected=expected,
                fix=fix or f"write {expected}",
            )
        )


def _problem(code: str, message: str, where: str, **parts: Any) -> ServingError:
    return ServingError(code, message, where=where, **parts)


# -- what it is made of -----------------------------------------------------------------------------------------------
def check(described: Description, find: Find) -> Signature:
    """The signature of a pipeline over the models that `find` gives.

    Raises PipelineError with everything that does not fit.
    """
    checking = _Checking(described, find)
    checking.steps()
    checking.wires()
    checking.cycles()
    checking.unused()
    if checking.problems:
        raise PipelineError(checking.problems)
    signature = checking.signature()
    if checking.problems:
        raise PipelineError(checking.problems)
    return signature


class _Checking:
    def __init__(self, described: Description, find: Find) -> None:
        self.described, self.find = described, find
        self.problems: list[InterchangeError] = []
        self.served: dict[str, Served] = {}  # step -> what it runs
        self.sizes = _Sizes()

    def problem(self, code: str, message: str, keys: Keys, found: str, expected: str, fix: str) -> None:
        where = self.described.place(*keys)
        self.problems.append(_problem(code, message, where, found=found, expected=expected, fix=fix))

    def steps(self) -> None:
        """Whether there is each step's model, with these inputs."""
        for step in self.described.steps.values():
            keys = ("steps", step.name, "model")
            try:
                served = self.served[step.name] = self.find(step.model, step.version)
            except ServingError as error:
                self.problem(
                    "IX691",
                    f"step {step.name}: {error.message}",
                    (*keys[:2], "version") if error.code == "IX641" else keys,
                    error.found or step.model,
                    error.expected or "a model that is served",
                    error.fix or "add it to the repository",
                )
                continue
            for name in step.inputs:
                if name not in served.inputs:
                    self.unknown(f"model {step.model} has no input {name!r}", (*keys[:2], "inputs", name), name,
                                 served.inputs)  # fmt: skip
            missing = [p for p in served.inputs.values() if p.name not in step.inputs and not p.optional]
            for port in missing:
                self.problem(
                    "IX699",
                    f"step {step.name}: input {port.name} of model {step.model} comes from nowhere",
                    (*keys[:2], "inputs"),
                    f"inputs for {', '.join(step.inputs) or 'nothing'}",
                    str(port.spec),
                    f'name where it comes from: inputs = {{{port.name} = "..."}}',
                )

    def wires(self) -> None:
        """Whether every value that is named exists, and fits where it goes."""
        outputs = self.described.outputs
        for name, source in outputs.items():
            if not source.step:
                self.unknown(f"output {name} comes from no step", ("outputs", name), str(source), self.all_outputs())
            else:
                self.output(source, ("outputs", name))
        for step in self.described.steps.values():
            for name, source in step.inputs.items():
                keys = ("steps", step.name, "inputs", name)
                if not source.step:
                    if source.name not in self.described.inputs:
                        known = (*self.described.inputs, *self.all_outputs())
                        self.unknown(f"the pipeline has no input {source.name!r}", keys, source.name, known)
                    continue
                given = self.output(source, keys)
                taken = self.served[step.name].inputs.get(name) if step.name in self.served else None
                if given is not None and taken is not None:
                    self.join(source, given.spec, step, taken.spec, keys)

    def output(self, source: Source, keys: Keys) -> Any:
        """The port of a step's output; None, with a problem noted, where there is none."""
        if source.step not in self.described.steps:
            self.unknown(f"there is no step {source.step!r}", keys, source.step, self.described.steps)
            return None
        served = self.served.get(source.step)
        if served is None:
            return None
        if source.name not in served.outputs:
            self.unknown(f"step {source.step} (model {served.name}) has no output {source.name!r}", keys, source.name,
                         served.outputs)  # fmt: skip
            return None
        return served.outputs[source.name]

    def all_outputs(self) -> list[str]:
        return [f"{step}.{name}" for step, served in self.served.items() for name in served.outputs]

    def unknown(self, message: str, keys: Keys, name: str, names: Any) -> None:
        close = get_close_matches(name, list(names), 1)
        fix = f"did you mean {close[0]}?" if close else "use one of the names that there are"
        self.problem("IX692", message, keys, name, ", ".join(names) or "none", fix)

    def join(self, source: Source, given: ValueSpec, step: Step, taken: ValueSpec, keys: Keys) -> None:
        """An output of a step goes into an input of another."""
        found, expected = f"{source.step}.{given}", f"{step.name}.{taken}"
        if given.dtype != taken.dtype:
            fix = "put a model between them that casts it, or export one of the two for the other's dtype"
            self.misfit(step, taken, "another dtype", keys, found, expected, fix)
        elif given.ranked and taken.ranked and len(given.shape) != len(taken.shape):
            fix = "put a model between them that reshapes it"
            self.misfit(step, taken, "another number of axes", keys, found, expected, fix)
        elif given.ranked and taken.ranked:
            for axis, (a, b) in enumerate(zip(given.shape, taken.shape, strict=True)):
                one, other = self.size(source.step, a), self.size(step.name, b)
                if not self.sizes.join(one, other):
                    text = f"axis {axis} is {self.sizes.text(one)} there and {self.sizes.text(other)} here"
                    fix = "export the two models for one size, or leave that size open in one of them"
                    self.misfit(step, taken, f"another shape: {text}", keys, found, expected, fix)

    def misfit(self, step: Step, taken: ValueSpec, what: str, keys: Keys, found: str, expected: str, fix: str) -> None:
        self.problem("IX693", f"step {step.name}: input {taken.name} gets {what}", keys, found, expected, fix)

    def size(self, step: str, dim: DimLike) -> _Class | int | None:
        """A size of a step, the same object for the same name; None for what is computed from others."""
        if not isinstance(dim, Dim):
            return int(dim)
        if not str(dim).isidentifier():
            return None
        low, high = self.served[step].model.dims.get(str(dim), (0, None))
        return self.sizes.named(step, str(dim), low, high)

    def cycles(self) -> None:
        """A step that needs what comes after it."""
        steps, done = self.described.steps, set[str]()
        left = {n: s.needs & steps.keys() for n, s in steps.items()}
        while ready := [n for n, needs in left.items() if needs <= done]:
            done.update(ready)
            for name in ready:
                del left[name]
        if not left:
            return
        path = [next(iter(left))]
        while path[-1] not in path[:-1]:
            path.append(next(n for n in left[path[-1]] if n in left))
        ring = path[path.index(path[-1]) :]
        self.problem(
            "IX694",
            "steps wait for each other",
            ("steps", ring[0], "inputs"),
            " <- ".join(ring),
            "steps that can be done one after another",
            "take one of these inputs from somewhere else",
        )

    def unused(self) -> None:
        """What is of no use: inputs that nothing reads, steps that no output needs."""
        read = {s for step in self.described.steps.values() for s in step.inputs.values()}
        for name in self.described.inputs:
            if Source("", name) not in read:
                self.problem(
                    "IX699",
                    f"nothing reads input {name} of the pipeline",
                    ("inputs",),
                    name,
                    "an input that a step takes",
                    "leave it out, or name it in the inputs of a step",
                )
        needed = needed_for(self.described, self.described.outputs.values())
        for step in self.described.steps:
            if step not in needed:
                self.problem(
                    "IX699",
                    f"no output of the pipeline needs step {step}",
                    ("steps", step),
                    step,
                    "a step that an output comes from, at last",
                    "leave it out, or name one of its outputs in `outputs`",
                )

    # -- what the pipeline takes and gives ----------------------------------------------------------------------------
    def signature(self) -> Signature:
        inputs = {}
        for name in self.described.inputs:
            readers = list(self.readers(name))
            for step, spec in readers[1:]:
                self.agree(name, readers[0], (step, spec))
            optional = all(spec.optional for _, spec in readers)
            step, spec = next((r for r in readers if r[1].ranked), readers[0])
            inputs[name] = (step, spec, optional)
        specs = {
            name: ValueSpec(name, spec.dtype, self.shape(step, spec, name), optional, spec.kind, spec.ranked)
            for name, (step, spec, optional) in inputs.items()
        }
        outputs = {}
        for name, source in self.described.outputs.items():
            spec = self.served[source.step].outputs[source.name].spec
            outputs[name] = ValueSpec(
                name, spec.dtype, self.shape(source.step, spec, name), False, spec.kind, spec.ranked
            )
        return Signature(specs, outputs, self.sizes.bounds())

    def readers(self, name: str) -> Iterator[tuple[str, ValueSpec]]:
        for step in self.described.steps.values():
            for taken, source in step.inputs.items():
                if source == Source("", name):
                    yield step.name, self.served[step.name].inputs[taken].spec

    def agree(self, name: str, one: tuple[str, ValueSpec], other: tuple[str, ValueSpec]) -> None:
        (step, a), (another, b) = one, other
        what = ""
        if a.dtype != b.dtype:
            what = "dtypes"
        elif a.ranked and b.ranked:
            if len(a.shape) != len(b.shape):
                what = "numbers of axes"
            else:
                pairs = zip(a.shape, b.shape, strict=True)
                joined = [self.sizes.join(self.size(step, d), self.size(another, e)) for d, e in pairs]
                what = "" if all(joined) else "sizes"
        if what:
            self.problem(
                "IX693",
                f"input {name} of the pipeline goes into inputs with two {what}",
                ("inputs",),
                f"{step}.{a}; {another}.{b}",
                "inputs that take the same",
                "make two inputs of it",
            )

    def shape(self, step: str, spec: ValueSpec, name: str) -> tuple[DimLike, ...]:
        sizes = (self.size(step, d) for d in spec.shape)
        return tuple(self.sizes.dim(s, f"{name}_{axis}") for axis, s in enumerate(sizes))


def needed_for(described: Description, sources: Any) -> set[str]:
    """The steps that values come from, with all that these need."""
    needed: set[str] = set()
    left = {s.step for s in sources}
    while left:
        step = left.pop()
        if step in described.steps and step not in needed:
            needed.add(step)
            left |= described.steps[step].needs
    return needed


# -- sizes ------------------------------------------------------------------------------------------------------------
class _Class:
    """A size that several names of several models mean."""

    __slots__ = ("high", "low", "name", "size", "to")

    def __init__(self, name: str, low: int, high: int | None) -> None:
        self.name, self.low, self.high = name, low, high
        self.size: int | None = None
        self.to: _Class | None = None  # the one it was joined with

    def root(self) -> _Class:
        found = self
        while found.to is not None:
            found = found.to
        return found


class _Sizes:
    """Which sizes of the steps are one size, because the output of one step is the input of another."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], _Class] = {}
        self.dims: dict[_Class, Dim] = {}
        self.extra: dict[str, Dim] = {}

    def named(self, step: str, name: str, low: int, high: int | None) -> _Class:
        return self.known.setdefault((step, name), _Class(name, low, high)).root()

    def join(self, a: _Class | int | None, b: _Class | int | None) -> bool:
        """Make two sizes one; False where they cannot be. None: it depends on the data, nothing is said against it."""
        if a is None or b is None:
            return True
        if isinstance(a, int):
            return a == b if isinstance(b, int) else self._fix(b.root(), a)
        if isinstance(b, int):
            return self._fix(a.root(), b)
        one, other = a.root(), b.root()
        if one is other:
            return True
        low = max(one.low, other.low)
        high = min([h for h in (one.high, other.high) if h is not None], default=None)
        fixed = {s for s in (one.size, other.size) if s is not None}
        if len(fixed) > 1 or any(s < low or (high is not None and s > high) for s in (low, *fixed)):
            return False
        other.to, one.low, one.high, one.size = one, low, high, next(iter(fixed), None)
        return True

    def _fix(self, known: _Class, size: int) -> bool:
        if known.size not in (None, size) or size < known.low or (known.high is not None and size > known.high):
            return False
        known.size = size
        return True

    def text(self, size: _Class | int | None) -> str:
        if not isinstance(size, _Class):
            return str(size)
        known = size.root()
        if known.size is not None:
            return str(known.size)
        return f"{known.low} to {known.high}" if known.high is not None else f"{known.low} or more"

    def dim(self, size: _Class | int | None, otherwise: str) -> DimLike:
        """As a size of the pipeline's signature: a number, or a name of its own."""
        if isinstance(size, int):
            return size
        if size is None:
            name = self._free(re.sub(r"\W", "_", otherwise))
            return self.extra.setdefault(name, Dim(name, min=0))
        known = size.root()
        if known.size is not None:
            return known.size
        if known not in self.dims:
            self.dims[known] = Dim(self._free(known.name), min=known.low, max=known.high)
        return self.dims[known]

    def _free(self, name: str) -> str:
        used = {str(d) for d in self.dims.values()} | self.extra.keys()
        name = name if name.isidentifier() else f"_{name}"
        return next(n for n in (name, *(f"{name}_{k}" for k in range(2, len(used) + 3))) if n not in used)

    def bounds(self) -> Bounds:
        """The admissible sizes of the names in the signature."""
        found = {str(d): (c.low, c.high) for c, d in self.dims.items()}
        return found | dict.fromkeys(self.extra, (0, None))
