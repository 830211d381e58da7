"""Whatever a file holds, what reads it gives a value or an InterchangeError: nothing else, in bounded time and memory.

A short run; `make fuzz` is the long one (FUZZ_SECONDS=600). What it finds goes into tests/fuzz_finds when repaired.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import fuzzing
import onnx
import pytest
from bad_models import KINDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interchange.checker import check
from interchange.errors import FileError

FINDS = sorted((Path(__file__).parent / "fuzz_finds").glob("*.model"))
few = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
chance = st.randoms(use_true_random=False)


def holds(data: bytes, path: Path) -> None:
    """Fail if anything but a value or an InterchangeError comes out of what reads models (but for the runtime, which
    can end the process: it is tried in another one)."""
    path.write_bytes(data)
    for name, read in fuzzing.entries(path).items():
        if name != "load":
            problem = fuzzing.wrong(read)
            assert problem is None, f"{name}: {problem}"


@few
@given(chance)
def test_models_with_any_field_changed(tmp_path_factory: pytest.TempPathFactory, rnd: random.Random) -> None:
    holds(fuzzing.structured(rnd), tmp_path_factory.getbasetemp() / "fields.onnx")


@few
@given(chance)
def test_files_with_bytes_changed(tmp_path_factory: pytest.TempPathFactory, rnd: random.Random) -> None:
    holds(fuzzing.damaged(rnd), tmp_path_factory.getbasetemp() / "bytes.onnx")


@few
@given(chance)
def test_notes_of_another_form(tmp_path_factory: pytest.TempPathFactory, rnd: random.Random) -> None:
    holds(fuzzing.misnoted(rnd), tmp_path_factory.getbasetemp() / "notes.onnx")


def test_cases_in_a_process_of_their_own(tmp_path: Path) -> None:
    """With the runtime, a limit on each reading's time, and one on memory."""
    count, finds = fuzzing.fuzz(0, 300, tmp_path, count=100)
    assert finds == []
    assert count == 100


def test_what_was_found_before_stays_repaired() -> None:
    assert FINDS
    number, entry, problem = fuzzing.watch(["--files", *map(str, FINDS)])
    assert problem is None, f"{FINDS[number].name}, {entry}: {problem}"
    assert number == len(FINDS) - 1


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.conformance) for n in range(1, 6))])
def test_bad_models_too(part: int, tmp_path: Path) -> None:
    """What is wrong with them is told elsewhere; here, that nothing that reads them makes a mistake of its own."""
    mistakes = []
    for number, kind in enumerate(KINDS[part::6]):
        path = kind.write(tmp_path / str(number))
        for name, read in fuzzing.entries(path).items() if path.is_file() else ():
            if name in ("show", "interchange show", "diff", "import") and (problem := fuzzing.wrong(read)):
                mistakes.append(f"{kind.slug}, {name}: {problem}")
    assert mistakes == []


# -- the fuzzer itself -------------------------------------------------------------------------------------------------
def test_the_models_to_begin_with_are_whole() -> None:
    for data in fuzzing.seeds():
        # some are made of operators that nobody has, and say nothing of their outputs
        assert {f.code for f in check(data).errors} <= {"IX519", "IX543", "IX562"}


def test_the_fuzzer_changes_models_in_many_ways() -> None:
    rnd = random.Random(0)
    done = set()
    for _ in range(2000):
        model = onnx.ModelProto.FromString(rnd.choice(fuzzing.seeds()))
        done.add(fuzzing.mutate(model, rnd).partition(" ")[0].rstrip(":"))
    assert {"NodeProto.input", "TensorProto.dims", "AttributeProto.type", "FunctionProto.node"} <= done
    assert len(done) > 70


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda: "a value", None),
        (lambda: open("/nowhere"), "FileNotFoundError"),  # noqa: SIM115
        (lambda: [][0], "IndexError"),
    ],
)
def test_what_comes_out_is_judged(read: Callable[[], object], expected: str | None) -> None:
    problem = fuzzing.wrong(read)
    assert problem is None if expected is None else expected in str(problem)


def test_an_error_of_ours_is_no_find() -> None:
    def refuse() -> None:
        raise FileError("IX302", "this is not an ONNX model")

    assert fuzzing.wrong(refuse) is None


def test_a_process_that_ends_or_hangs_is_a_find(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "reader.py"
    monkeypatch.setattr(fuzzing, "__file__", str(program))
    lines = """print('{"case": 7, "entry": "load"}', flush=True)\n"""
    program.write_text(f"import os\n{lines}os.abort()")
    number, entry, problem = fuzzing.watch([])
    assert (number, entry) == (7, "load")
    assert "status -6" in str(problem)
    program.write_text(f"import time\n{lines}{lines}time.sleep(60)")
    monkeypatch.setattr(fuzzing, "STILL", 0.5)
    assert fuzzing.watch([]) == (7, "load", "nothing was heard for 0 seconds")
    program.write_text(f"import signal\n{lines}signal.setitimer(signal.ITIMER_PROF, 0.2)\nwhile True: pass")
    monkeypatch.setattr(fuzzing, "STILL", 60.0)
    number, entry, problem = fuzzing.watch([])
    assert (number, entry) == (7, "load")
    assert str(problem).startswith("no end after 5 seconds of work")
