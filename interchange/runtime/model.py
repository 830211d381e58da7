"""A model in production: loaded safely, its inputs validated, run by ONNX Runtime."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import numpy as np

from interchange.dims import Dim, Guard, evaluate, symbols
from interchange.dtypes import Array
from interchange.errors import FileError, InterchangeError, UsageError
from interchange.graph import files, opening
from interchange.graph.core import ModelIR
from interchange.runtime.errors import LoadError
from interchange.runtime.explain import load_error, places_of, run_error
from interchange.runtime.inputs import Inputs
from interchange.runtime.signature import Bounds, ValueSpec, names_of, read_signature
from interchange.runtime.values import from_ort, is_native, to_ort

if TYPE_CHECKING:
    import onnx

    from interchange.runtime.runner import Runner

_BY_PATH_ABOVE = 1 << 26  # bytes; larger models are read by the runtime itself, smaller ones are handed over
MAX_THREADS = 1024  # for one call; the runtime starts as many as it is told, if it takes minutes
PROVIDERS = ("CPUExecutionProvider",)


def load(
    source: str | os.PathLike[str] | bytes,
    *,
    check: bool = True,
    threads: int | None = None,
    warm_up: bool = False,
    optimize: bool = True,
    allow_unranked: bool = False,
    trust_links: bool = False,
    options: Mapping[str, str] | None = None,
) -> Model:
    """Load a model file (or its bytes) into the runtime, on the CPU.

    check: look for everything that is wrong with the model first, and refuse it with all of it.
    threads: how many threads one call may use; None leaves it to the runtime (one for each core), 1 starts none.
    warm_up: run it once, so that the first real call is not slower (`Model.warm_up`).
    optimize: let the runtime fuse and reorder nodes.  allow_unranked: accept inputs without a declared number of axes;
    the runtime may end the whole process when it is fed a rank it does not expect.
    trust_links: see `interchange.graph.external.Folder`.  options: session entries of the runtime, by its own names.

    Raises FileError (not a model, its data files), CheckError with the first finding's code, LoadError IX620 to IX624.
    """
    while True:
        before = opening.identity(source)
        try:
            model = _load(source, check, threads, optimize, allow_unranked, trust_links, options or {})
        except InterchangeError:
            if opening.identity(source) == before:
                raise
        else:
            if opening.identity(source) == before:
                break
        # somebody saved another model meanwhile: what was checked may not be what was loaded
    if warm_up:
        model.warm_up()
    return model


def _load(
    source: str | os.PathLike[str] | bytes,
    check: bool,
    threads: int | None,
    optimize: bool,
    allow_unranked: bool,
    trust_links: bool,
    options: Mapping[str, str],
) -> Model:
    written = opening.read(source)
    if check:
        from interchange.checker import check as find

        find(written, trust_links=trust_links).raise_if_errors()  # here: the runtime reads it in this process too
    ir = files.from_written(written, trust_links=trust_links)
    where = "the bytes" if isinstance(source, bytes) else str(source)
    unranked = [v.name for v in ir.graph.inputs if v.dtype is not None and v.shape is None]
    if unranked and not allow_unranked:
        raise LoadError(
            "IX625",
            "an input has no declared number of axes",
            where=where,
            found=f"input {', '.join(unranked)} without a shape",
            expected="a shape, its sizes may be open",
            fix="declare the shape in the file, or load with allow_unranked=True if you know that what you feed fits",
        )
    by_path = any(t.external_data for t in _initializers(written.proto.graph))
    session = _session(source, ir, written.proto, where, by_path, threads, optimize, options)
    return Model(source, ir, session)


def _session(
    source: str | os.PathLike[str] | bytes,
    ir: ModelIR,
    proto: onnx.ModelProto,
    where: str,
    by_path: bool,
    threads: int | None,
    optimize: bool,
    options: Mapping[str, str],
) -> Any:
    import onnxruntime as ort

    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= MAX_THREADS):
        raise UsageError(
            "IX820",
            "this cannot be a number of threads",
            found=f"threads={threads!r}",
            expected=f"1 to {MAX_THREADS}, or None",
            fix="write threads=1, or None for one on each core",
        )
    settings = ort.SessionOptions()
    settings.log_severity_level = 4  # what goes wrong is raised, and raised once
    if threads is not None:
        settings.intra_op_num_threads = threads
    levels = ort.GraphOptimizationLevel
    settings.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    try:
        for key, value in options.items():
            settings.add_session_config_entry(key, value)
        if not isinstance(source, bytes):
            by_path = by_path or os.path.getsize(source) > _BY_PATH_ABOVE
            source = os.fspath(source) if by_path else Path(source).read_bytes()
        return ort.InferenceSession(source, settings, providers=list(PROVIDERS))
    except Exception as error:  # the runtime's exceptions share no other base
        raise load_error(error, ir, proto, where) from error


def open_draft(ir: ModelIR, draft: files.Draft, data: bytes, *, light: bool) -> Any:
    """ONNX Runtime's session of a model that is not in its place yet. data: what `Draft.write` returned.

    light: only to see that it loads. The runtime optimises nothing and makes no copies of the weights, which it
    otherwise does to be fast.  Raises LoadError IX620 to IX624.
    """
    options = {"session.disable_prepacking": "1"} if light else {}
    if draft.folder is not None:
        options["session.model_external_initializers_file_folder_path"] = str(draft.folder)
    where = "the model" if draft.path is None else str(draft.path)
    return _session(data, ir, draft.proto, where, False, None, not light, options)


def _initializers(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _initializers(inner)


class Model:
    """A loaded model. Any number of threads may call `run` at once.

    inputs, outputs: name -> `ValueSpec`, in signature order.  state: an input that keeps state (of a training step, a
    train-mode export) -> the output with its next value.  dims: the admissible (min, max) of each named size.
    guards: conditions on sizes, enforced.  opsets: domain -> version.  metadata: the file's own key-value texts.
    evidence: the parity report of the export, as plain data, or None.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, ir: ModelIR, session: Any = None) -> None:
        """Made by `load`.  session: of ONNX Runtime; None: made of `source` when it is needed."""
        signature = read_signature(ir)
        self.inputs: dict[str, ValueSpec] = signature.inputs
        self.outputs: dict[str, ValueSpec] = signature.outputs
        self.state: dict[str, str] = signature.state
        self.dims: Bounds = signature.dims
        self.guards: tuple[Guard, ...] = signature.guards
        self.evidence: dict[str, Any] | None = signature.evidence
        self.metadata: dict[str, str] = dict(ir.metadata)
        self.opsets: dict[str, int] = dict(ir.opsets)
        self.ir_version, self.doc, self.name = ir.ir_version, ir.doc, ir.graph.name
        self._source, self._identity = source, opening.identity(source)
        if session is not None:
            self.session = session
        self._inputs = Inputs(signature)
        self._options: Any = None  # of the runs inside of `within`
        self._places = places_of(ir)
        tensors = [s for s in (*self.inputs.values(), *self.outputs.values()) if s.kind == "tensor"]
        self._native = all(is_native(s.dtype) for s in tensors)
        self._names = list(self.outputs)

    @cached_property
    def session(self) -> Any:
        """ONNX Runtime's session. Raises FileError IX301 when it is needed for the first time and the file has gone."""
        self._require_unchanged()
        return load(self._source, check=False).session

    def run(self, *args: Any, outputs: Sequence[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        """Compute the outputs: a dict from name to array, in signature order.

        Inputs come by position, by name, or as one mapping from name to value (needed for an input named "outputs").
        A value is a numpy array, anything that numpy reads without a copy (``__array__``, DLPack), or Python numbers
        in nested lists. A dtype is never changed silently; Python numbers take the input's. State inputs may be left
        out: the file's values are used then.
        outputs: names of the ones wanted; the others may not be computed.

        Raises InputsError, with all problems at once: IX601 an input is missing, IX602 no input of that name, IX603
        another dtype, IX604 another shape, IX605 sizes that disagree, IX606 a size out of bounds, IX607 a guard,
        IX608 no array, IX610 too many; UsageError IX821 no output of that name; RunError IX611.
        """
        feeds = self.prepare(*args, **kwargs)
        names = self._names if outputs is None else self._wanted(outputs)
        if not names:  # the runtime takes that for all
            return {}
        return dict(zip(names, self.execute(names, feeds), strict=True))

    def prepare(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What `run` would feed for these inputs: C-contiguous arrays by name, all of them checked; runs nothing.

        Raises InputsError as `run` does.
        """
        return self._inputs.prepare(args, kwargs)

    def execute(self, names: Sequence[str], feeds: Mapping[str, Any], options: Any = None) -> list[Any]:
        """Run feeds that `prepare` gave, as they are. names: the outputs wanted, one at least.

        options: RunOptions of ONNX Runtime; another thread ends the run with ``options.terminate = True``.
        Raises RunError IX611.
        """
        session = self.session
        if options is None:
            options = self._options
        try:
            if self._native:
                found: list[Any] = session.run(names, feeds, options)
                return found
            values = {n: to_ort(v) for n, v in feeds.items()}
            return [from_ort(v) for v in session.run_with_ort_values(names, values, options)]
        except Exception as error:  # the runtime's exceptions share no other base
            raise run_error(error, self._places, feeds.items()) from error

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Runs of the model inside of the block end with RunError IX611 when all of them together take longer."""
        from onnxruntime import RunOptions

        options = RunOptions()
        timer = Timer(seconds, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        self._options = options
        try:
            yield
        finally:
            timer.cancel()
            self._options = None

    def _wanted(self, names: Sequence[str]) -> list[str]:
        names = [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
        for name in names:
            if name not in self.outputs:
                close = get_close_matches(str(name), self._names, 1)
                raise UsageError(
                    "IX821",
                    f"the model has no output {name!r}",
                    found=repr(name),
                    expected=names_of(self.outputs.values()),
                    fix=f"did you mean {close[0]}?" if close else "use the names of the model's outputs",
                )
        return names

    def bind(self, *args: Any, **kwargs: Any) -> Runner:
        """A `Runner` for inputs of these shapes: fixed buffers, for many calls of one small model."""
        from interchange.runtime.runner import Runner

        return Runner(self, self.prepare(*args, **kwargs))

    def warm_up(self, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
        """Run once on zeros, at `sizes` (name -> value; the rest: the least admissible). Returns the sizes used.

        Raises UsageError IX822 when none are found that satisfy the guards (name them then), or for no size of it.
        """
        chosen = self._some_sizes(self._own_sizes(sizes or {}))
        self.run(self.zeros(chosen))
        return chosen

    def zeros(self, sizes: Mapping[str, int]) -> dict[str, Array]:
        """Zeros (or empty texts) for each input that must be given, at these sizes.

        Raises UsageError IX822 when one of the model's sizes is missing, or none of it.
        """
        missing = self.dims.keys() - self._own_sizes(sizes).keys()
        if missing:
            raise self._bad_sizes("a size is missing", ", ".join(sorted(missing)))
        arrays: dict[str, Array] = {}
        for spec in self.inputs.values():
            if not spec.optional and spec.kind == "tensor":
                shape = tuple(evaluate(d, sizes) for d in spec.shape)
                arrays[spec.name] = np.full(shape, "", object) if spec.dtype == object else np.zeros(shape, spec.dtype)
        return arrays

    def _some_sizes(self, given: Mapping[str, int]) -> dict[str, int]:
        free = [n for n in self.dims if n not in given]
        low = [max(self.dims[n][0], 1) for n in free]
        steps = itertools.product(range(65 if len(free) < 2 else 9), repeat=len(free))
        for offsets in itertools.islice(steps, 10_000):
            sizes = {**given, **{n: base + k for n, base, k in zip(free, low, offsets, strict=True)}}
            if self._admits(sizes):
                return sizes
        found = "; ".join(str(g.condition) for g in self.guards) or "no guards"
        raise self._bad_sizes("no small sizes were found at which the model may run", found)

    def _own_sizes(self, sizes: Mapping[str, int]) -> Mapping[str, int]:
        if not isinstance(sizes, Mapping):
            raise self._bad_sizes("the sizes have no names", repr(sizes))
        for name, size in sizes.items():
            if name not in self.dims or not isinstance(size, (int, np.integer)):
                raise self._bad_sizes("this is no size of the model", f"{name} = {size!r}")
        return sizes

    def _bad_sizes(self, message: str, found: str) -> UsageError:
        return UsageError(
            "IX822",
            message,
            found=found,
            expected=f"a whole number for {', '.join(self.dims)}" if self.dims else "no sizes: all of them are fixed",
            fix=f"name them: {{{', '.join(f'{n!r}: ...' for n in self.dims)}}}",
        )

    def _admits(self, sizes: Mapping[str, int]) -> bool:
        for name, size in sizes.items():
            low, high = self.dims.get(name, (0, None))
            if size < low or (high is not None and size > high):
                return False
        inside = (g.condition for g in self.guards if symbols(g.condition.expr).keys() <= sizes.keys())
        dims = (d for s in self.inputs.values() for d in s.shape if isinstance(d, Dim))
        return all(c.at(sizes) for c in inside) and all(evaluate(d, sizes) >= 0 for d in dims)

    @property
    def source(self) -> str | os.PathLike[str] | bytes:
        """What it was loaded from: the path, or the bytes."""
        return self._source

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the model, unchanged, to a file; returns the files written.

        Raises FileError IX301 when the file it was loaded from is gone or another one: it is read again for this.
        """
        self._require_unchanged()
        return files.save(files.load(self._source), path)

    def _require_unchanged(self) -> None:
        if opening.identity(self._source) != self._identity:
            raise FileError(
                "IX301",
                "the file of this model has changed since it was loaded",
                where=str(self._source),
                found="no file, or another model",
                expected="the file that it was loaded from",
                fix="use the model before its file is replaced, or load the file again",
            )

    def __repr__(self) -> str:
        inputs = ", ".join(str(s) for s in self.inputs.values() if not s.optional)
        return f"<Model {self.name!r}: ({inputs}) -> ({', '.join(map(str, self.outputs.values()))})>"
