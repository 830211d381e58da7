"""Data sets and batches: ``for x, y in DataLoader(TensorDataset(xs, ys), batch_size=64, shuffle=True): ...``

The order of each epoch follows from the seed and the number of the epoch alone, so that a run can be repeated, and
continued from the middle of an epoch.
"""

from __future__ import annotations

import dataclasses
import math
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from interchange.dtypes import Array
from interchange.eager.random import Generator, permutation
from interchange.eager.state import Differences, State, load_values, values_of
from interchange.eager.tensor import Buffer, Tensor, Variable, shape_text, to_array, wrap
from interchange.errors import OperatorError, user_line

T_co = TypeVar("T_co", covariant=True)


@runtime_checkable
class Dataset(Protocol[T_co]):
    """A sequence of samples: ``len(dataset)`` and ``dataset[i]``. A list is one.

    A method ``batch(indices: int64 array)`` that returns a finished batch is used instead, where there is one.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> T_co: ...


def _wrong(code: str, message: str, found: str, expected: str, fix: str) -> OperatorError:
    return OperatorError(code, message, where=user_line(), found=found, expected=expected, fix=fix)


class TensorDataset:
    """Arrays whose axis 0 counts the samples: sample i is the tuple of their entries i. They are not copied.

    Raises OperatorError IX132 when they differ in length.
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = tuple(_rows(a) for a in arrays)
        lengths = {len(a) for a in self.arrays if a.ndim}
        if not self.arrays or len(lengths) != 1 or any(a.ndim == 0 for a in self.arrays):
            raise _wrong(
                "IX132",
                "the arrays of a data set have one length",
                ", ".join(shape_text(a.shape) for a in self.arrays) or "no array",
                "at least one array, the same size of axis 0 in all",
                "check that samples and labels come from the same rows",
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(wrap(np.asarray(a[index])) for a in self.arrays)

    def batch(self, indices: Array) -> tuple[Tensor, ...]:
        """The samples at these places, stacked."""
        return tuple(wrap(a[indices]) for a in self.arrays)


def _rows(a: Any) -> Array:
    return a._data if isinstance(a, Tensor) else to_array(a)


class Subset:
    """The samples of a data set at some places."""

    def __init__(self, dataset: Dataset[Any], indices: Sequence[int] | Array) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices, np.int64)
        batch = getattr(dataset, "batch", None)
        if batch is not None:
            self.batch = lambda at: batch(self.indices[at])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


def random_split(
    dataset: Dataset[Any], lengths: Sequence[float], *, generator: Generator | None = None, seed: int = 0
) -> list[Subset]:
    """A data set split at random into parts of these lengths: counts, or shares that sum to 1.

    The samples left over by rounding shares go to the first parts, one each. Raises OperatorError IX132.
    """
    n = len(dataset)
    counts = [int(x) for x in lengths]
    if math.isclose(sum(lengths), 1) and n != 1:
        counts = [int(n * x) for x in lengths]
        for i in range(n - sum(counts)):
            counts[i % len(counts)] += 1
    if sum(counts) != n or any(c < 0 for c in counts):
        raise _wrong(
            "IX132",
            "the parts do not make up the data set",
            f"{list(lengths)} of {n} samples",
            f"counts that sum to {n}, or shares that sum to 1",
            "give the rest to one part",
        )
    order = permutation(n, generator=generator or Generator(seed)).numpy()
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(counts)[:-1])]


# -- batches -----------------------------------------------------------------------------------------------------------
def collate(samples: Sequence[Any]) -> Any:
    """Samples as a batch, nested as each of them is: tensors, arrays and numbers are stacked along a new axis 0.

    Dicts, tuples, lists and dataclasses are batched entry by entry; texts, bytes and None stay a list. Python floats
    become float32, ints int64. Raises OperatorError IX136 for samples that are not alike.
    """
    return _collate(samples, "")


def _collate(samples: Sequence[Any], place: str) -> Any:
    first = samples[0]
    if isinstance(first, (str, bytes)) or first is None:
        return list(samples)
    if isinstance(first, Mapping):
        keys = list(first)
        if any(not isinstance(s, Mapping) or set(s) != set(keys) for s in samples):
            raise _unlike(place, "different keys", "dicts with the same keys")
        return {k: _collate([s[k] for s in samples], f"{place}[{k!r}]") for k in keys}
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        names = [f.name for f in dataclasses.fields(first)]
        return type(first)(**{n: _collate([getattr(s, n) for s in samples], f"{place}.{n}") for n in names})
    if isinstance(first, (tuple, list)):
        if any(not isinstance(s, (tuple, list)) or len(s) != len(first) for s in samples):
            raise _unlike(place, "different lengths", "tuples of one length")
        entries = [_collate(list(column), f"{place}[{i}]") for i, column in enumerate(zip(*samples, strict=True))]
        return type(first)(*entries) if hasattr(first, "_fields") else type(first)(entries)
    arrays = [_rows(s) for s in samples]
    shapes = {(a.shape, a.dtype) for a in arrays}
    if len(shapes) > 1:
        raise _unlike(place, ", ".join(sorted(f"{d}{shape_text(s)}" for s, d in shapes)), "one shape and dtype")
    return wrap(np.stack(arrays))


def _unlike(place: str, found: str, expected: str) -> OperatorError:
    return _wrong(
        "IX136",
        f"the samples do not make a batch at sample{place}",
        found,
        expected,
        "pad or crop the samples, or pass a collate function of your own",
    )


class DataLoader:
    """Batches of a data set.

    dataset: see `Dataset`. shuffle: another order in each epoch, a function of the epoch and the seed (of the key of
    `generator`, if given). drop_last: leave out a last batch that is smaller. collate: makes a batch of a list of
    samples. prefetch: so many batches are made ahead by a thread. `epoch` counts the passes; `state_dict` holds it and
    the place in the pass, so that after `load_state_dict` the next pass begins where the other one stood.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int = 0,
        generator: Generator | None = None,
        collate: Callable[[Sequence[Any]], Any] = collate,
        prefetch: int = 0,
    ) -> None:
        for name, value, low in (("batch_size", batch_size, 1), ("prefetch", prefetch, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise _wrong(
                    "IX132", f"{name} is a count", f"{name}={value!r}", f"at least {low}", "pass a whole number"
                )
        self.dataset, self.batch_size, self.shuffle, self.drop_last = dataset, batch_size, shuffle, drop_last
        self.collate, self.prefetch = collate, prefetch
        self._key = (generator or Generator(seed)).key._data
        self._epoch, self._position = Buffer(0, np.int64), Buffer(0, np.int64)
        self._resumed = False

    @property
    def epoch(self) -> int:
        """The number of the pass that is going on, or comes next."""
        return int(self._epoch._data)

    def __len__(self) -> int:
        """The number of batches in a pass."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def order(self, epoch: int) -> Array:
        """The places of the samples in the order of an epoch, int64."""
        n = len(self.dataset)
        if not self.shuffle:
            return np.arange(n)
        source = Generator()
        source.key._data, source.counter._data = self._key, np.array(epoch, np.uint32)
        return permutation(n, generator=source).numpy()

    def __iter__(self) -> Iterator[Any]:
        if not self._resumed and int(self._position._data):  # the pass before this one was broken off
            self._epoch._data, self._position._data = np.array(self.epoch + 1), np.array(0)
        self._resumed = False
        first = int(self._position._data)
        order = self.order(self.epoch)
        size = self.batch_size
        batches = (self._batch(order[i * size : (i + 1) * size]) for i in range(first, len(self)))
        return self._counted(_ahead(batches, self.prefetch) if self.prefetch else batches, first)

    def _counted(self, batches: Iterator[Any], first: int) -> Iterator[Any]:
        for i, batch in enumerate(batches, first + 1):
            done = i == len(self)
            self._epoch._data = np.array(self.epoch + done)
            self._position._data = np.array(0 if done else i)
            yield batch

    def _batch(self, places: Array) -> Any:
        whole = getattr(self.dataset, "batch", None)
        if whole is not None and self.collate is collate:
            return whole(places)
        return self.collate([self.dataset[int(i)] for i in places])

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """What the loader keeps."""
        yield "epoch", self._epoch
        yield "position", self._position

    def state_dict(self) -> State:
        """The epoch, and how many of its batches were given out."""
        return values_of(self.named_variables())

    def load_state_dict(self, state: Mapping[str, Any]) -> Differences:
        """Continue where `state` was taken. Raises OperatorError IX121 when it is not a loader's."""
        found = load_values("DataLoader", self.named_variables(), state)
        self._resumed = True
        return found


_END = object()


def _ahead(batches: Iterator[Any], count: int) -> Iterator[Any]:
    """The same batches, up to `count` of them made ahead by a thread, which ends when the reader does."""
    ready: queue.Queue[Any] = queue.Queue(count)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put((batch, None)):
                    return
            put((_END, None))
        except BaseException as error:  # raised again where the batch is asked for
            put((_END, error))

    thread = threading.Thread(target=work, daemon=True, name="interchange-batches")
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is _END:
                return
            yield batch
    finally:
        stopped.set()
        thread.join()


__all__ = ["DataLoader", "Dataset", "Subset", "TensorDataset", "collate", "random_split"]
