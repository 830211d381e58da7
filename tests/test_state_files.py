"""Files of state: what goes in comes out, runs continue bit by bit, and nothing broken is believed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interchange import eager as E
from interchange.dtypes import BY_NAME
from interchange.eager import nn, optim
from interchange.eager.data import DataLoader, TensorDataset
from interchange.eager.nn import functional as F
from interchange.eager.random import Generator
from interchange.eager.state_files import _TYPES, load, read_metadata, save
from interchange.errors import FileError, InterchangeError


def code(call: Any) -> str:
    with pytest.raises(InterchangeError) as info:
        call()
    return info.value.code


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.safetensors"


class Run:
    """A training run with everything that has a state."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        data = TensorDataset(rng.standard_normal((40, 5)).astype(np.float32), rng.integers(0, 3, 40))
        self.generator = Generator(4)
        E.random.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3, generator=self.generator), nn.Linear(8, 3)
        )
        self.optimizer = optim.Adam(self.net.parameters(), lr=0.01)
        self.schedule = optim.CosineAnnealingLR(self.optimizer, 30)
        self.loader = DataLoader(data, 8, shuffle=True, seed=2)

    def parts(self) -> dict[str, Any]:
        return {
            "net": self.net,
            "optimizer": self.optimizer,
            "more": {"schedule": self.schedule, "loader": self.loader, "generator": self.generator},
            "best": 0.1,
        }

    def steps(self, count: int) -> list[float]:
        losses: list[float] = []
        while len(losses) < count:
            for x, y in self.loader:
                self.optimizer.zero_grad()
                loss = F.cross_entropy(self.net(x), y)
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                losses.append(float(loss))
                if len(losses) == count:
                    break
        return losses


def test_a_run_that_stops_and_continues_is_the_run_that_did_not(path: Path) -> None:
    straight = Run()
    whole = straight.steps(13)
    first, second = Run(), Run()
    begun = first.steps(7)  # in the middle of the second epoch
    save(first.parts(), path)
    rest = load(path, into=second.parts())
    assert begun + second.steps(6) == whole
    assert rest["best"].item() == 0.1
    assert rest["best"].dtype == np.float64
    for a, b in ((straight.net, second.net), (straight.optimizer, second.optimizer)):
        for name, value in a.state_dict().items():  # type: ignore[attr-defined]
            assert b.state_dict()[name].numpy().tobytes() == value.numpy().tobytes()  # type: ignore[attr-defined]


def test_every_dtype_of_the_format_comes_back(path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {}
    for name in _TYPES:
        raw = rng.integers(0, 2 if name == "bool" else 100, (2, 3))
        tensors[name] = raw.astype(BY_NAME[name])
    tensors["empty"] = np.zeros((0, 4), np.float32)
    tensors["scalar"] = np.array(3, np.int16)
    tensors["strided"] = np.arange(12.0).reshape(3, 4).T
    tensors["big-endian"] = np.arange(3, dtype=">f4")
    save(tensors, path)
    found = load(path)
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype.newbyteorder("="), name
        assert found[name].shape == value.shape
        assert found[name].tolist() == value.tolist(), name
    assert code(lambda: save({"a": np.array(["text"], object)}, path)) == "IX343"
    assert code(lambda: save({"a": np.zeros(2, np.complex128)}, path)) == "IX343"
    assert load(path).keys() == found.keys()


def test_files_are_those_of_the_safetensors_package(path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    net = nn.Linear(3, 2)
    save(net, path, metadata={"made": "here", "epoch": "3"})
    theirs = load_file(path)
    assert {n: v.tolist() for n, v in theirs.items()} == {n: v.tolist() for n, v in net.state_dict().items()}
    assert read_metadata(path) == {"made": "here", "epoch": "3"}
    save_file({"weight": theirs["weight"] * 2, "bias": theirs["bias"]}, path)
    load(path, into=net)
    assert (net.weight.numpy() == theirs["weight"] * 2).all()
    assert read_metadata(path) == {}


def test_the_same_state_gives_the_same_bytes_and_aligned_ones(path: Path) -> None:
    state = {"a": np.zeros(3, np.int8), "b": np.zeros(2, np.float64), "c": True}
    save(state, path, metadata={"z": "1", "a": "2"})
    first = path.read_bytes()
    save(dict(reversed(state.items())), path, metadata={"a": "2", "z": "1"})
    assert path.read_bytes() == first
    length = int.from_bytes(first[:8], "little")
    assert length % 8 == 0
    header = json.loads(first[8 : 8 + length])
    assert header["b"]["data_offsets"] == [0, 16]  # the widest first


def test_a_shared_parameter_is_written_once(path: Path) -> None:
    net = nn.Module()
    net.a, net.b = nn.Linear(2, 2), nn.Linear(2, 2)
    net.b.weight = net.a.weight
    save(net, path)
    assert sorted(load(path)) == ["a.bias", "a.weight", "b.bias"]
    net.a.weight.assign(net.a.weight * 2)
    load(path, into=net)
    assert net.b.weight is net.a.weight


def test_nothing_changes_when_something_does_not_fit(path: Path) -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 3)
    save({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}, path)
    before = a.weight.tolist()
    assert code(lambda: load(path, into={"a": a, "b": b})) == "IX121"
    assert a.weight.tolist() == before
    assert code(lambda: load(path, into={"a": a})) == "IX121"
    assert a.weight.tolist() == before
    load(path, into={"a": a}, strict=False)
    assert a.weight.tolist() != before
    assert code(lambda: load(path, into=a)) == "IX121"


def test_what_cannot_be_kept(path: Path) -> None:
    for state in (
        {"a": "text"},
        {"a": None},
        {1: np.zeros(1)},
        {"": np.zeros(1)},
        {"a.b": 1, "a": {"b": 2}},
        {"__metadata__": 1},
        np.zeros(3),
    ):
        assert code(lambda: save(state, path)) == "IX343"  # type: ignore[arg-type]  # noqa: B023
    assert code(lambda: save({"a": 1}, path, metadata={"a": 1})) == "IX343"  # type: ignore[dict-item]
    assert not path.exists()


def test_files_that_are_not_there_or_cannot_be(tmp_path: Path) -> None:
    assert code(lambda: load(tmp_path / "nothing")) == "IX344"
    assert code(lambda: load(tmp_path)) == "IX344"
    assert code(lambda: save({"a": 1}, tmp_path / "no" / "folder")) == "IX342"
    assert code(lambda: save({"a": 1}, tmp_path)) == "IX342"
    (tmp_path / "empty").write_bytes(b"")
    assert code(lambda: load(tmp_path / "empty")) == "IX341"


def test_a_failed_save_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save({"a": 1}, path)
    before = path.read_bytes()
    for name in ("open", "write", "fsync", "replace"):
        with monkeypatch.context() as patch:

            def fail(*args: Any, **kwargs: Any) -> Any:
                raise OSError(28, "No space left on device")

            patch.setattr(os, name, fail)
            assert code(lambda: save({"a": np.zeros(1000)}, path)) == "IX342"
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]


def file_of(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


F4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"1234567",
        file_of({}, length=2**63),
        file_of({}, length=100),
        file_of(b"[]"),
        file_of(b"{"),
        file_of(b"\xff\xff"),
        file_of(b"[" * 200_000),
        file_of({"a": F4}),
        file_of({"a": F4}, b"12345"),
        file_of({"a": {**F4, "data_offsets": [1, 5]}}, b"12345"),
        file_of({"a": {**F4, "data_offsets": [4, 0]}}, b"1234"),
        file_of({"a": {**F4, "data_offsets": [-4, 0]}}, b""),
        file_of({"a": {**F4, "data_offsets": [0.0, 4.0]}}, b"1234"),
        file_of({"a": {**F4, "data_offsets": [0, 4, 8]}}, b"1234"),
        file_of({"a": {**F4, "shape": [2]}}, b"1234"),
        file_of({"a": {**F4, "shape": [-1]}}, b"1234"),
        file_of({"a": {**F4, "shape": [True]}}, b"1234"),
        file_of({"a": {**F4, "shape": [2**62, 2**62, 0]}}, b"1234"),
        file_of({"a": {**F4, "shape": "1"}}, b"1234"),
        file_of({"a": {**F4, "dtype": "F31"}}, b"1234"),
        file_of({"a": {**F4, "dtype": ["F32"]}}, b"1234"),
        file_of({"a": {"dtype": "F32", "shape": [1]}}, b"1234"),
        file_of({"a": 3}, b"1234"),
        file_of({"a": F4, "b": F4}, b"1234"),
        file_of({"a": F4, "b": {**F4, "data_offsets": [8, 12]}}, b"123456789012"),
        file_of({"a": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\x01\x02"),
        file_of({"__metadata__": {"a": 1}}),
        file_of({"__metadata__": []}),
    ],
)
def test_broken_and_hostile_files_are_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(FileError) as info:
        load(path)
    assert info.value.code == "IX341"


def test_every_cut_of_a_file_is_noticed(path: Path) -> None:
    save({"a": np.arange(5.0), "b": {"c": 1}}, path)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert code(lambda: load(path)) == "IX341"
