"""Triton's config.pbtxt: what of it this server does, and what it does not.

A field that is not done is told, in `TritonConfig.notes`; one that changes what a model computes is refused.
Source of the fields: Triton's model_config.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from interchange.protocol.errors import ServingError
from interchange.serving.textproto import Message, Value, Word, parse

if TYPE_CHECKING:
    from interchange.serving.served import Port, Served
    from interchange.serving.settings import ModelSettings, Settings

FILE = "config.pbtxt"
BACKENDS = ("onnxruntime", "onnx")
PLATFORMS = ("onnxruntime_onnx", "onnx_onnxv1", "onnxruntime", "onnx")
CACHED = 1024  # answers that response_cache{enable: true} keeps; the size is the server's business in Triton too
MAX_NUMBER = (1 << 63) - 1
MAX_BATCH = 1 << 20
MAX_INSTANCES = MAX_THREADS = 1024
_TRUE, _FALSE = ("true", "True", "t", "1"), ("false", "False", "f", "0")
# what would make the answers others than those the clients of the model expect
_REFUSED = {
    "sequence_batching": "this server keeps no state between requests: make the state an input and an output",
    "ensemble_scheduling": "write a pipeline: a TOML file, see docs/pipelines.md",
    "batch_input": "compute these inputs in the model",
    "batch_output": "compute these outputs in the model",
    "model_operations": "no libraries are loaded: use the operators of ONNX and ONNX Runtime",
}
_NOTES = {
    "model_warmup": "every model is tried on zeros, or on the `sample` of its settings",
    "preferred_batch_size": "the largest is the most rows of a run; smaller ones run without being waited for",
}


@dataclass(frozen=True)
class PortConfig:
    """An input or output as config.pbtxt declares it. dims: without the axis of batches where there is one."""

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class TritonConfig:
    """What a config.pbtxt says.

    settings: fields of ModelSettings by name.  filename: of the model in each version's folder.  max_batch_size: None
    where it is not said.  dynamic_batching: whether it is asked for.  inputs, outputs: as declared; they need not be.
    label_files: output -> file in the model's folder.  notes: what it says and is not done.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    filename: str = "model.onnx"
    max_batch_size: int | None = None
    dynamic_batching: bool = False
    inputs: tuple[PortConfig, ...] = ()
    outputs: tuple[PortConfig, ...] = ()
    label_files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def over(self, settings: Settings, model: str) -> ModelSettings:
        """The settings of a model: what its own say otherwise than the defaults, then this file, then the defaults."""
        own, defaults = settings.of(model), settings.defaults
        free = {n: v for n, v in self.settings.items() if getattr(own, n) == getattr(defaults, n)}
        return replace(own, **free)

    def check(self, served: Served) -> tuple[str, ...]:
        """Whether a loaded model is the one that is declared; returns what is to be noted of it.

        Raises ServingError IX664.
        """
        notes: list[str] = []
        for kind, declared, ports in (
            ("input", self.inputs, served.inputs),
            ("output", self.outputs, served.outputs),
        ):
            for port in declared:
                known = ports.get(port.name)
                if known is None:
                    raise _otherwise(f"{kind} {port.name!r}", ", ".join(ports) or f"no {kind}s")
                problem = self._disagrees(port, known)
                if problem:
                    found = f"{kind} {port.name}: {port.datatype}{list(port.dims)}: {problem}"
                    raise _otherwise(found, f"{known.datatype}{list(known.shape)}, the first axis for batches or not")
        batched = served.trial.batching
        if self.dynamic_batching and not batched:
            notes.append(f"dynamic_batching is not done: {served.trial.why}")
        return tuple(notes)

    def _disagrees(self, port: PortConfig, known: Port) -> str:
        if port.datatype != known.datatype:
            return "another datatype"
        if not known.spec.ranked:
            return ""
        batch = self.max_batch_size
        forms = [known.shape[1:]] if batch else [known.shape] if batch == 0 else [known.shape, known.shape[1:]]
        fits = any(
            len(form) == len(port.dims) and all(k in (-1, d) for k, d in zip(form, port.dims, strict=True))
            for form in forms
        )
        return "" if fits else f"other dims (max_batch_size is {'not said' if batch is None else batch})"


def read(text: str, model: str) -> TritonConfig:
    """Read the config.pbtxt of a model. Raises ServingError IX663."""
    try:
        fields = _Fields(parse(text), "")
        return _config(fields, model)
    except ValueError as error:  # ServingError is one too, but is not raised below
        raise bad_config(str(error)) from None


def bad_config(found: str, fix: str = "correct the file, or remove it: a model needs none here") -> ServingError:
    """The error for a config.pbtxt that cannot be followed."""
    return ServingError(
        "IX663",
        f"{FILE} cannot be followed",
        found=found,
        expected="a model configuration in protobuf's text format, as Triton has it, for ONNX Runtime on the CPU",
        fix=fix,
    )


def _otherwise(found: str, expected: str) -> ServingError:
    return ServingError(
        "IX664",
        f"{FILE} declares another model than the file holds",
        found=found,
        expected=expected,
        fix=f"correct or remove the declaration in {FILE}: the model's file says it by itself",
    )


class _Fields:
    """The fields of one message, taken one by one: those that nobody takes are noted."""

    def __init__(self, message: Message, path: str, notes: list[str] | None = None) -> None:
        self._left, self._path = dict(message), path
        self.notes: list[str] = [] if notes is None else notes

    def values(self, name: str, kind: type, what: str) -> list[Any]:
        found = self._left.pop(name, [])
        for value in found:
            if type(value) is not kind:
                raise ValueError(f"{self._path}{name} is {_shown(value)}, and has to be {what}")
        return found

    def _one(self, name: str, kind: type, what: str) -> Any:
        found = self.values(name, kind, what)
        if len(found) > 1:
            raise ValueError(f"{self._path}{name} is there {len(found)} times")
        return found[0] if found else None

    def number(self, name: str, low: int = 0, high: int = MAX_NUMBER) -> int | None:
        found: int | None = self._one(name, int, "a whole number")
        return None if found is None else self._within(found, name, low, high)

    def numbers(self, name: str, low: int, high: int = MAX_NUMBER) -> list[int]:
        return [self._within(n, name, low, high) for n in self.values(name, int, "whole numbers")]

    def _within(self, number: int, name: str, low: int, high: int) -> int:
        if not low <= number <= high:
            raise ValueError(f"{self._path}{name} is {number}, and has to be from {low} to {high}")
        return number

    def text(self, name: str) -> str:
        return self._one(name, str, "a text in quotes") or ""

    def word(self, name: str) -> str:
        return self._one(name, Word, "the name of a value") or ""

    def flag(self, name: str) -> bool | None:
        value = self._left.pop(name, [])
        words = [str(v) if isinstance(v, (Word, int)) else "" for v in value]
        if len(words) > 1 or any(w not in _TRUE + _FALSE for w in words):
            raise ValueError(f"{self._path}{name} is {', '.join(map(_shown, value))}, and has to be true or false")
        return words[0] in _TRUE if words else None

    def message(self, name: str) -> _Fields | None:
        found = self._one(name, dict, "a message in braces")
        return None if found is None else _Fields(found, f"{self._path}{name}.", self.notes)

    def messages(self, name: str) -> list[_Fields]:
        found = self.values(name, dict, "messages in braces")
        return [_Fields(m, f"{self._path}{name}.", self.notes) for m in found]

    def has(self, name: str) -> bool:
        return name in self._left

    def note(self, name: str, text: str) -> None:
        self.notes.append(f"{self._path}{name}: {text}")

    def leave(self) -> None:
        """Note what nobody took."""
        for name in self._left:
            self.note(name, _NOTES.get(name, "not done by this server"))


def _shown(value: Value) -> str:
    return "a message" if isinstance(value, dict) else str(value) if isinstance(value, Word) else repr(value)[:80]


def _config(fields: _Fields, model: str) -> TritonConfig:
    for name, remedy in _REFUSED.items():
        if fields.has(name):
            raise ValueError(f"{name}: {remedy}")
    _for_onnx(fields, model)
    settings: dict[str, Any] = {}
    filename = fields.text("default_model_filename") or "model.onnx"
    plain_name(filename, "default_model_filename")
    rows = fields.number("max_batch_size", 0, MAX_BATCH)
    if rows is not None:
        settings["max_batch"] = max(rows, 1)
    if rows == 0:
        settings["batching"] = False
    inputs = tuple(_port(f) for f in fields.messages("input"))
    outputs, label_files = [], {}
    for output in fields.messages("output"):
        if label_file := output.text("label_filename"):
            plain_name(label_file, "label_filename")
        port = _port(output)
        outputs.append(port)
        if label_file:
            label_files[port.name] = label_file
    dynamic = fields.message("dynamic_batching")
    if dynamic is not None:
        _batching(dynamic, rows, settings)
    _instances(fields, settings)
    _versions(fields.message("version_policy"), settings)
    _parameters(fields, settings)
    cache = fields.message("response_cache")
    if cache is not None:
        settings["cache"] = CACHED if cache.flag("enable") else 0
        cache.leave()
    fields.leave()
    return TritonConfig(
        settings, filename, rows, dynamic is not None, inputs, tuple(outputs), label_files, tuple(fields.notes)
    )


def _for_onnx(fields: _Fields, model: str) -> None:
    named, backend, platform = fields.text("name"), fields.text("backend"), fields.text("platform")
    if named not in ("", model):
        raise ValueError(f"name is {named!r}, and the model's folder {model!r}")
    for field_name, value, offered in (("backend", backend, BACKENDS), ("platform", platform, PLATFORMS)):
        if value and value not in offered:
            raise ValueError(f"{field_name} is {value!r}; this server runs ONNX models: {' or '.join(offered)}")
    transactions = fields.message("model_transaction_policy")
    if transactions is not None and transactions.flag("decoupled"):
        raise ValueError("model_transaction_policy.decoupled: every request has one answer here")


def plain_name(name: str, where: str) -> None:
    """Raises ValueError for what is not the name of a file in the folder itself."""
    if not name or name.startswith(".") or any(c in name for c in "/\\\0"):
        raise ValueError(f"{where} is {name!r}, and has to be the name of a file in the model's own folder")


def _port(fields: _Fields) -> PortConfig:
    name, datatype = fields.text("name"), fields.word("data_type")
    if not name or not datatype.startswith("TYPE_"):
        raise ValueError(f"an input or output has name {name!r} and data_type {datatype or 'none'}")
    kind = datatype.removeprefix("TYPE_")
    dims = tuple(fields.numbers("dims", -1))
    if fields.word("format") not in ("", "FORMAT_NONE"):
        fields.note("format", "the model's own order of axes is used")
    for harmless in ("is_shape_tensor", "optional", "allow_ragged_batch"):
        if fields.flag(harmless):
            fields.note(harmless, "the model's file decides")
    fields.leave()
    return PortConfig(name, "BYTES" if kind == "STRING" else kind, dims)


def _batching(fields: _Fields, rows: int | None, settings: dict[str, Any]) -> None:
    preferred = fields.numbers("preferred_batch_size", 1, MAX_BATCH)
    if rows and any(p > rows for p in preferred):
        raise ValueError(f"dynamic_batching.preferred_batch_size has {max(preferred)}, above max_batch_size {rows}")
    if preferred:
        settings["max_batch"] = max(preferred)
        fields.note("preferred_batch_size", _NOTES["preferred_batch_size"])
    delay = fields.number("max_queue_delay_microseconds")
    if delay is not None:
        settings["max_delay_ms"] = delay / 1000
    if fields.flag("preserve_ordering"):
        fields.note("preserve_ordering", "each answer goes out when it is there")
    policy = fields.message("default_queue_policy")
    if policy is not None:
        if size := policy.number("max_queue_size"):
            settings["max_queue"] = size
        elif size == 0:
            policy.note("max_queue_size", "a queue without an end is not offered: max_queue of the settings holds")
        if timeout := policy.number("default_timeout_microseconds"):
            settings["timeout_ms"] = timeout / 1000
        if policy.word("timeout_action") not in ("", "REJECT"):
            policy.note("timeout_action", "what is late is refused")
        if policy.flag("allow_timeout_override") is False:
            policy.note("allow_timeout_override", "a request may always ask for less time")
        policy.leave()
    fields.leave()


def _instances(fields: _Fields, settings: dict[str, Any]) -> None:
    groups = fields.messages("instance_group")
    counts = []
    for group in groups:
        group.text("name")
        kind = group.word("kind")
        if kind not in ("", "KIND_AUTO", "KIND_CPU"):
            group.note("kind", f"{kind} runs on the CPU")
        counts.append(group.number("count", 0, MAX_INSTANCES) or 1)
        group.leave()
    if counts:
        settings["instances"] = sum(counts)
        if sum(counts) > MAX_INSTANCES:
            raise ValueError(f"instance_group has {sum(counts)} instances, and {MAX_INSTANCES} is the most")


def _versions(policy: _Fields | None, settings: dict[str, Any]) -> None:
    if policy is None:
        return
    latest, every, specific = policy.message("latest"), policy.message("all"), policy.message("specific")
    said = [m for m in (latest, every, specific) if m is not None]
    if len(said) > 1:
        raise ValueError("version_policy says more than one of latest, all and specific")
    if latest is not None:
        settings["versions"] = latest.number("num_versions", 1) or 1
    elif every is not None:
        settings["versions"] = "all"
    elif specific is not None:
        settings["versions"] = tuple(specific.numbers("versions", 1))
        if not settings["versions"]:
            raise ValueError("version_policy.specific lists no versions")
    for message in (*said, policy):
        message.leave()


def _parameters(fields: _Fields, settings: dict[str, Any]) -> None:
    for entry in fields.messages("parameters"):
        key, value = entry.text("key"), entry.message("value")
        text = value.text("string_value") if value is not None else ""
        if key != "intra_op_thread_count":
            fields.note(f"parameters[{key}]", "not done by this server")
        elif not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= MAX_THREADS):
            raise ValueError(f"parameters[{key}] is {text!r}, and has to be the text of a number up to {MAX_THREADS}")
        elif int(text):
            settings["threads"] = int(text)
