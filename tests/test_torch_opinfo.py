"""PyTorch's own OpInfo database through the exporter: what passes, and the list of what does not, with its reason.

The list is tests/torch_opinfo_list.json; ``python tests/torch_opinfo.py --update`` writes it anew. An entry that passes
though it is listed, one that fails though it is not, and any wrong result or traceback fail these tests.
"""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra interchange[torch])")
from torch_opinfo import DTYPES, entries, known, run_entry, spread, summary  # noqa: E402

SAMPLE = 60
GOAL = 0.75  # of the float32 entries; torch.onnx passes 0.68


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", spread([n for n in entries("float32") if n not in known()["float32"]], SAMPLE))
def test_a_sample_of_the_entries_that_pass(name):
    entry = run_entry(name, "float32", samples=2)
    assert entry.result.verdict == "pass", entry.result.reason


@pytest.mark.conformance
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_whole_database_is_as_the_list_says(dtype):
    listed = known()[dtype]
    found = [run_entry(name, dtype) for name in entries(dtype)]
    print(f"{dtype}: {summary(found)}")
    verdicts = {e.name: e.result.verdict for e in found if e.result.verdict != "pass"}
    assert "wrong" not in verdicts.values()
    assert "crash" not in verdicts.values()
    assert verdicts == {name: entry["verdict"] for name, entry in listed.items()}


def test_most_of_the_database_passes_and_every_other_entry_has_a_reason():
    for dtype, listed in known().items():
        names = entries(dtype)
        assert listed.keys() <= set(names)
        assert len(listed) <= (1 - GOAL) * len(names)
        assert all(entry["reason"] for entry in listed.values())
        assert {entry["verdict"] for entry in listed.values()} <= {"refused", "skipped", "load", "run"}
