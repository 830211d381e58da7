"""Answers that are kept for requests that come again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from interchange.dtypes import Array, string
from interchange.errors import InterchangeError
from interchange.graph.passes.purity import Purity
from interchange.parity.compare import compare
from interchange.protocol.datatypes import tensor_bytes
from interchange.protocol.errors import ServingError, reason_of
from interchange.serving.batching import our_mistake
from interchange.serving.calls import DONE, RUNNING, Call, Relay

if TYPE_CHECKING:
    from interchange.graph.core import ModelIR, Node
    from interchange.serving.served import Served

Key = tuple[Any, ...]
_DIGEST = 20  # bytes
_OVERHEAD = 512  # bytes of an entry beside its arrays, about
_TEXT = 50  # bytes of a text beside its characters, about


class Cache:
    """The answers of one version of a model that were asked for last.

    number, size: how many are kept at most, and how many bytes of them. `held`: bytes that are kept now.
    Only whole answers count: the same inputs with other outputs wanted are another request.
    """

    def __init__(self, served: Served, number: int, size: int) -> None:
        self.statistics = served.statistics
        self.number, self.size, self.held = number, size, 0
        self._names = tuple(served.inputs)
        self._kept: OrderedDict[Key, tuple[tuple[Array, ...], int]] = OrderedDict()

    def __len__(self) -> int:
        """How many answers are kept."""
        return len(self._kept)

    def take(self, call: Call) -> Call | None:
        """A call whose answer will be kept; None for one whose answer is known: it is given in the next turn."""
        begin = perf_counter_ns()
        key = self.key(call.feeds, call.wanted)
        known = self._kept.get(key)
        if known is None:
            return _Missed(call, self, key, perf_counter_ns() - begin)
        self._kept.move_to_end(key)
        call.state, call.queued = RUNNING, begin
        asyncio.get_running_loop().call_soon(self._answer, call, known[0])
        return None

    def key(self, feeds: Mapping[str, Array], wanted: Sequence[str]) -> Key:
        """What two requests have in common when they are the same: the outputs, and the inputs to the last bit."""
        digest = blake2b(digest_size=_DIGEST)
        described: list[Any] = []
        for name in self._names:
            array = feeds.get(name)
            if array is None:  # an optional one, left out
                continue
            described += (name, array.dtype, array.shape)
            if array.dtype == string:
                digest.update(tensor_bytes(array))
            else:
                digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return (tuple(wanted), *described, digest.digest())

    def keep(self, key: Key, outputs: Sequence[Array]) -> None:
        """Keep an answer, and let go of those that were not asked for for the longest time."""
        size = _OVERHEAD + sum(_size(o) for o in outputs)
        if size > self.size or key in self._kept:
            return
        self._kept[key] = tuple(map(_own, outputs)), size
        self.held += size
        while len(self._kept) > self.number or self.held > self.size:
            self.held -= self._kept.popitem(last=False)[1][1]

    def _answer(self, call: Call, outputs: Sequence[Array]) -> None:
        if call.state == DONE:  # given up meanwhile
            return
        call.state = DONE
        try:
            call.finish(outputs)
        except Exception as error:  # a mistake in one answer does not end the loop
            told = error if isinstance(error, InterchangeError) else our_mistake(error)
            self.statistics.failed(reason_of(told), perf_counter_ns() - call.received)
            call.fail(told)
            return
        now = perf_counter_ns()
        self.statistics.cache_hits += 1
        self.statistics.cache_hit_ns += now - call.queued
        self.statistics.phases["request"].add(now - call.received)


class _Missed(Relay):
    __slots__ = ("cache", "key_of", "looked_ns")

    def __init__(self, origin: Call, cache: Cache, key: Key, looked_ns: int) -> None:
        super().__init__(origin)
        self.cache, self.key_of, self.looked_ns = cache, key, looked_ns

    def finish(self, outputs: Sequence[Array]) -> None:
        begin = perf_counter_ns()
        self.cache.keep(self.key_of, outputs)
        self.cache.statistics.cache_misses += 1
        self.cache.statistics.cache_miss_ns += self.looked_ns + perf_counter_ns() - begin
        super().finish(outputs)


def _own(output: Array) -> Array:
    """A copy that nobody can write to: the rows of one request would hold on to the whole batch."""
    kept = output.copy()
    kept.flags.writeable = False
    return kept


def _size(output: Array) -> int:
    return output.nbytes if output.dtype != string else sum(_TEXT + len(t) for t in output.flat) + output.nbytes


# -- which models ---------------------------------------------------------------------------------------------------
def open_cache(served: Served, ir: ModelIR, feeds: Mapping[str, Array]) -> Cache:
    """The cache of a version, empty. feeds: inputs that the model takes.

    Raises ServingError IX695 for a model whose answers are not the same every time.
    """
    drawn = [n for n in ir.walk() if _draws(n, ir)]
    if drawn:
        names = ", ".join(dict.fromkeys(n.op_type for n in drawn))
        raise _random(f"it draws random numbers: {names}")
    first, again = (served.model.execute(served.output_names, feeds) for _ in range(2))
    for name, a, b in zip(served.output_names, first, again, strict=True):
        different = compare(name, a, b).problem
        if different is not None:
            raise _random(f"two runs with the same inputs gave two answers: {name}: {different}")
    return Cache(served, served.settings.cache, served.settings.cache_bytes)


def _draws(node: Node, ir: ModelIR) -> bool:
    """Whether an operator draws random numbers; what it consists of is looked at by itself."""
    if node.graphs() or (node.domain, node.op_type, node.overload) in ir.functions:
        return False
    return not Purity(ir)(node) and not _idle(node)


def _idle(node: Node) -> bool:
    """Whether it is a Dropout that drops nothing: without a training_mode, which only its newer versions have."""
    if node.op_type != "Dropout" or node.domain:
        return False
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is None:
        return True
    if mode.const is not None:
        return not bool(np.any(mode.const.numpy()))
    maker = mode.producer
    value = maker.attributes.get("value") if maker is not None and maker.op_type == "Constant" else None
    return value is not None and not bool(np.any(value.value.numpy()))


def _random(found: str) -> ServingError:
    return ServingError(
        "IX695",
        "the answers of this model cannot be kept",
        found=found,
        expected="the same answer for the same inputs, every time",
        fix="set cache = 0 for this model; or export it for inference, without its random parts",
    )
