"""Data sets, batches and their order."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

from interchange import eager as E
from interchange.eager.data import DataLoader, Dataset, Subset, TensorDataset, collate, random_split
from interchange.eager.random import Generator
from interchange.errors import OperatorError


def code(call: Any) -> str:
    with pytest.raises(OperatorError) as info:
        call()
    return info.value.code


def dataset(n: int = 10) -> TensorDataset:
    return TensorDataset(np.arange(n, dtype=np.float32).reshape(n, 1) * 2, np.arange(n))


def flat(lists: list[list[int]]) -> list[int]:
    return [i for items in lists for i in items]


def places(loader: DataLoader) -> list[list[int]]:
    return [y.tolist() for _, y in loader]


def test_tensor_datasets() -> None:
    data = dataset()
    assert len(data) == 10
    x, y = data[3]
    assert (x.tolist(), y.item(), x.dtype, y.dtype) == ([6.0], 3, np.float32, np.int64)
    assert isinstance(data, Dataset)
    assert isinstance([1, 2], Dataset)
    assert code(lambda: TensorDataset(np.zeros(3), np.zeros(4))) == "IX132"
    assert code(TensorDataset) == "IX132"
    assert code(lambda: TensorDataset(np.zeros(()))) == "IX132"
    with pytest.raises(IndexError):
        data[10]


def test_batches_in_order() -> None:
    assert places(DataLoader(dataset(), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert places(DataLoader(dataset(), 4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [len(DataLoader(dataset(), 4)), len(DataLoader(dataset(), 4, drop_last=True))] == [3, 2]
    x, y = next(iter(DataLoader(dataset(), 4)))
    assert (x.shape, y.shape) == ((4, 1), (4,))
    assert places(DataLoader(TensorDataset(np.zeros((0, 2)), np.zeros(0)), 4)) == []


def test_shuffled_epochs_are_complete_different_and_repeatable() -> None:
    loader = DataLoader(dataset(), 3, shuffle=True, seed=5)
    epochs = [flat(places(loader)) for _ in range(3)]
    assert all(sorted(e) == list(range(10)) for e in epochs)
    assert len({tuple(e) for e in epochs}) == 3
    assert loader.epoch == 3
    again = DataLoader(dataset(), 3, shuffle=True, generator=Generator(5))
    assert [flat(places(again)) for _ in range(3)] == epochs
    assert flat(places(DataLoader(dataset(), 3, shuffle=True, seed=6))) != epochs[0]
    assert loader.order(1).tolist() == epochs[1]


def test_a_pass_that_was_broken_off_is_not_continued_unless_loaded() -> None:
    loader = DataLoader(dataset(), 3, shuffle=True)
    first = places(loader)
    for i, _ in enumerate(loader):
        if i == 1:
            break
    state = loader.state_dict()
    assert (state["epoch"].item(), state["position"].item()) == (1, 2)
    third = places(loader)
    twin = DataLoader(dataset(), 3, shuffle=True)
    twin.load_state_dict(state)
    rest = places(twin)
    whole = DataLoader(dataset(), 3, shuffle=True)
    assert places(whole) == first
    assert places(whole)[2:] == rest
    assert places(whole) == third == places(twin)


def test_collate_follows_the_nesting_of_samples() -> None:
    class Point(NamedTuple):
        x: float
        y: int

    @dataclasses.dataclass
    class Sample:
        image: Any
        name: str

    batch = collate([{"a": (1.0, [True]), "b": Point(0.5, i)} for i in range(2)])
    assert batch["a"][0].tolist() == [1.0, 1.0]
    assert batch["a"][0].dtype == np.float32
    assert isinstance(batch["a"][1], list)
    assert batch["a"][1][0].dtype == bool
    assert isinstance(batch["b"], Point)
    assert batch["b"].y.tolist() == [0, 1]
    sample = collate([Sample(E.Tensor([i, 2.0]), f"n{i}") for i in range(3)])
    assert isinstance(sample, Sample)
    assert sample.image.shape == (3, 2)
    assert sample.name == ["n0", "n1", "n2"]
    assert collate([None, None]) == [None, None]
    for unlike in ([[1.0], [1.0, 2.0]], [{"a": 1}, {"b": 1}], [np.zeros(2), np.zeros(3)], [1, 1.5], [{"a": 1}, 3]):
        assert code(lambda: collate(unlike)) == "IX136"  # noqa: B023
    with pytest.raises(OperatorError, match=r"sample\['a'\]\[1\]"):
        collate([{"a": (1, np.zeros(2))}, {"a": (1, np.zeros(3))}])


def test_a_collate_of_ones_own_and_lists_of_samples() -> None:
    loader = DataLoader([3, 1, 2], 2, collate=sorted)
    assert list(loader) == [[1, 3], [2]]
    assert [b.tolist() for b in DataLoader([3, 1, 2], 2)] == [[3, 1], [2]]


def test_prefetching_gives_the_same_batches_and_ends_its_thread() -> None:
    plain, ahead = DataLoader(dataset(), 3, shuffle=True), DataLoader(dataset(), 3, shuffle=True, prefetch=2)
    assert [places(plain) for _ in range(2)] == [places(ahead) for _ in range(2)]
    iterator = iter(ahead)
    next(iterator)
    del iterator
    assert not [t for t in threading.enumerate() if t.name == "interchange-batches"]

    class Broken:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> int:
            if index == 3:
                raise RuntimeError("sample 3")
            return index

    broken = iter(DataLoader(Broken(), 1, prefetch=2))
    assert [next(broken).tolist() for _ in range(3)] == [[0], [1], [2]]
    with pytest.raises(RuntimeError, match="sample 3"):
        next(broken)


def test_splits() -> None:
    data = dataset()
    a, b, c = random_split(data, [0.5, 0.25, 0.25], seed=1)
    assert [len(a), len(b), len(c)] == [6, 2, 2]
    labels = [s[i][1].item() for s in (a, b, c) for i in range(len(s))]
    assert sorted(labels) == list(range(10))
    assert labels != list(range(10))
    again = random_split(data, [6, 2, 2], generator=Generator(1))
    assert [s.indices.tolist() for s in again] == [a.indices.tolist(), b.indices.tolist(), c.indices.tolist()]
    assert sorted(flat(places(DataLoader(a, 4)))) == sorted(labels[:6])
    assert places(DataLoader(Subset([(0, 5), (1, 6), (2, 7)], [2, 0]), 2)) == [[7, 5]]
    assert code(lambda: random_split(data, [5, 4])) == "IX132"
    assert code(lambda: random_split(data, [11, -1])) == "IX132"
    assert code(lambda: DataLoader(data, 0)) == "IX132"
    assert code(lambda: DataLoader(data, 1, prefetch=-1)) == "IX132"
