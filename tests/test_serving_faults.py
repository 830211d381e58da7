"""What a server does when things go wrong, on a real one under load: the benchmark of faults, for a moment each."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvloop", reason="uvloop is not installed: the server needs it")

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "faults.py"


@pytest.fixture(scope="module")
def faults():
    spec = importlib.util.spec_from_file_location("faults", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["faults"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["faults"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_a_killed_worker_costs_nobody_an_answer(faults, folder):
    found = faults.kill(folder, 1.0)
    assert found["kills"]
    assert found["right"]
    assert (found["wrong"], found["wrong_hasty"], found["lost"]) == (0, 0, {})


def test_no_model_that_is_broken_or_half_copied_takes_the_place_of_a_good_one(faults, folder):
    found = faults.reload(folder, 1.0)
    assert found["right"]
    assert (found["wrong"], found["lost"], found["last_factor"]) == (0, {}, 2.0)


def test_a_full_disk_under_the_log_ends_nothing(faults, folder):
    found = faults.full_disk(folder, 0.5)
    assert found["right"]
    assert (found["wrong"], found["lost"]) == (0, {})


@pytest.mark.conformance
def test_clients_that_vanish_leave_nothing_behind(faults, folder):
    found = faults.vanishing(folder, 5.0)
    assert found["vanished"] > 100
    assert (found["wrong"], found["lost"]) == (0, {})
    assert found["mb_after"] < found["mb_before"] * 1.25


@pytest.mark.conformance
def test_a_thousand_connections_that_say_nothing_disturb_nobody(faults, folder):
    found = faults.idle(folder, 4.0)
    assert found["open_files"] > 1000
    assert (found["wrong"], found["lost"]) == (0, {})


@pytest.mark.conformance
def test_a_full_queue_answers_or_says_when_to_come_again(faults, folder):
    found = faults.full_queue(folder, 60.0)
    assert found["statuses"].keys() == {"200", "429"}
    assert found["mb_after"] < found["mb_before"] * 1.25


def test_a_server_that_is_stopped_drains_first(faults, folder):
    found = faults.restart(folder, 1.0)
    assert found["right"]
    assert (found["wrong"], found["lost"], found["exit_status"]) == (0, {}, 0)
