"""An inference over gRPC: from a message's bytes to a call, and from its outputs to the bytes of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from interchange.dtypes import Array
from interchange.errors import InterchangeError
from interchange.protocol.datatypes import tensor_bytes
from interchange.protocol.errors import ServingError, reason_of
from interchange.serving.calls import DONE, Call
from interchange.serving.grpc.messages import message_class, read
from interchange.serving.grpc.tensors import plain, read_inputs
from interchange.serving.grpc.wire import cut, field
from interchange.serving.parameters import OUTPUT, classes_wanted, classify, known, read_options
from interchange.serving.served import Served, twice, unknown_output

if TYPE_CHECKING:
    from interchange.serving.grpc.rpc import Message, Rpc

REQUEST: Any = message_class("ModelInferRequest")
RESPONSE: Any = message_class("ModelInferResponse")
_INPUTS, _CONTENTS, _RAW_INPUTS, _RAW_OUTPUTS = 5, 5, 7, 6  # numbers of fields
_MAX_HEAD = 1 << 16  # bytes of a request without its tensors
_NONE: dict[str, int] = {}


class GrpcCall(Call):
    """A call whose answer is awaited as the bytes of a ModelInferResponse."""

    __slots__ = ("classes", "future", "id", "served")

    def __init__(self, future: asyncio.Future[bytes], served: Served, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.future, self.served = future, served
        self.id = ""
        self.classes = _NONE

    def finish(self, outputs: Sequence[Array]) -> None:
        """Write the answer."""
        if self.future.done():
            return
        served, classes = self.served, self.classes
        if classes:
            labels = served.settings.labels
            outputs = [
                classify(o, classes[n], labels, n) if n in classes else o
                for n, o in zip(self.wanted, outputs, strict=True)
            ]
        ports = served.outputs
        described = [
            (n, "BYTES" if n in classes else ports[n].datatype, o.shape)
            for n, o in zip(self.wanted, outputs, strict=True)
        ]
        parts = [_head(served.name, served.version, tuple(described))]
        if self.id:
            parts.append(RESPONSE(id=self.id).SerializeToString())  # messages one behind another are one message
        for output in outputs:
            data = tensor_bytes(output)
            parts += (field(_RAW_OUTPUTS, len(data)), data)
        self.future.set_result(b"".join(parts))

    def fail(self, error: InterchangeError) -> None:
        """Raise the error where the call is awaited."""
        if not self.future.done():
            self.future.set_exception(error)


@lru_cache(maxsize=1024)
def _head(name: str, version: str, outputs: tuple[tuple[str, str, tuple[int, ...]], ...]) -> bytes:
    """An answer without its id and its tensors."""
    answer = RESPONSE(model_name=name, model_version=version)
    for output, datatype, shape in outputs:
        answer.outputs.add(name=output, datatype=datatype, shape=shape)
    data: bytes = answer.SerializeToString()
    return data


async def infer(rpc: Rpc) -> bytes:
    """ModelInfer: the bytes of the answer. Raises InterchangeError."""
    call = begin(rpc, await rpc.only("ModelInferRequest"))
    try:
        return await call.future
    except asyncio.CancelledError:
        give_up(call)
        raise


def begin(rpc: Rpc, message: Message) -> GrpcCall:
    """Read an inference request and queue it. Raises InterchangeError: all that is wrong with it."""
    request, raws = read_request(message.data)
    message.data = b""  # what is still needed of it is in `raws`
    message.model, message.version, message.id = request.model_name, request.model_version, request.id
    rpc.check("inference", request.model_name)
    served = rpc.app.engine.choose(request.model_name, request.model_version)
    try:
        call = _read_call(rpc, served, request, raws, message.received)
        served.submit(call)
    except InterchangeError as error:
        served.statistics.failed(reason_of(error), perf_counter_ns() - message.received)
        raise
    message.call, message.model, message.version = call, served.name, served.version
    return call


def give_up(call: GrpcCall) -> None:
    """Nobody waits for the answer any more."""
    if call.state != DONE:
        call.served.cancel(call)
    if not call.future.cancel() and not call.future.cancelled():
        call.future.exception()  # looked at, so that asyncio does not complain of it


def _read_call(rpc: Rpc, served: Served, request: Any, raws: Sequence[memoryview], received: int) -> GrpcCall:
    loop = asyncio.get_running_loop()
    feeds = read_inputs(served.inputs, request.inputs, raws, rpc.app.settings.max_elements)
    priority, timeout = read_options(plain(request.parameters)) if request.parameters else (0, None)
    wanted, classes = _read_outputs(served, request.outputs) if request.outputs else (served.output_names, _NONE)
    limits = [s for s in (timeout, rpc.context.time_remaining()) if s is not None]
    deadline = loop.time() + min(limits) if limits else None
    future: asyncio.Future[bytes] = loop.create_future()
    call = GrpcCall(future, served, feeds, wanted, priority=priority, deadline=deadline, received=received)
    call.id, call.classes = request.id, classes
    call.decode_ns = perf_counter_ns() - received
    return call


def read_request(data: bytes) -> tuple[Any, list[memoryview]]:
    """A ModelInferRequest without its raw_input_contents, and these. Raises ServingError IX630, IX652."""
    head, raws = cut(data, _RAW_INPUTS, "ModelInferRequest")
    if len(head) > _MAX_HEAD:
        _check_size(head)
    return read(REQUEST, head), raws


def _check_size(head: bytes) -> None:
    """Whether it is the contents of tensors that are large: the objects of anything else are many times their bytes."""
    inputs = cut(head, _INPUTS, "ModelInferRequest")[1]
    contents = sum(len(c) for i in inputs for c in cut(bytes(i), _CONTENTS, "InferInputTensor")[1])
    if len(head) - contents > _MAX_HEAD:
        raise ServingError(
            "IX652",
            "the request is too large",
            found=f"{len(head) - contents} bytes of names, shapes and parameters",
            expected=f"at most {_MAX_HEAD}",
            fix="send less beside the tensors",
        )


def _read_outputs(served: Served, outputs: Sequence[Any]) -> tuple[tuple[str, ...], dict[str, int]]:
    """What is wanted, and how many classes of which outputs."""
    names: list[str] = []
    classes: dict[str, int] = {}
    for output in outputs:
        name = output.name
        if name in names:
            raise twice("output", name)
        if name not in served.outputs:
            raise unknown_output(name, served)
        parameters = plain(output.parameters)
        known(parameters, OUTPUT, f"output {name}")
        count = classes_wanted(parameters, name)
        if count is not None:
            classes[name] = count
        names.append(name)
    return tuple(names), classes
