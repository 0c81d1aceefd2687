import pytest

from memslotlib.costs import alone
from memslotlib.costs.alone import (
    free_bytes,
    measure_harness,
    measure_size,
    measure_slots,
    measure_wholesale,
)
from memslotlib.costs.operations import OPERATIONS
from memslotlib.host.backend import FcntlBackend


def test_free_memory_is_what_the_kernel_says(tmp_path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       100 kB\nMemAvailable:     64 kB\n")
    assert free_bytes(path) == 65536


@pytest.mark.needs_kvm
@pytest.mark.parametrize("slot", ["newest", "oldest"])
def test_each_operation_is_timed_in_a_vm_for_each_number_of_slots(slot):
    samples = measure_slots({"counts": [1, 300], "rounds": 3, "slot": slot})

    assert set(samples) == {"1", "300"}
    for taken in samples.values():
        timed = set(OPERATIONS) - ({"create"} if slot == "oldest" else set())
        assert timed <= set(taken)
        assert all(len(values) == 3 and min(values) > 0 for values in taken.values())


@pytest.mark.needs_kvm
def test_a_size_that_does_not_fit_takes_no_part(monkeypatch):
    monkeypatch.setattr(alone, "free_bytes", lambda: 1 << 20)
    samples = measure_size({"sizes": [1 << 12, 1 << 24, 1 << 34], "rounds": 2})

    assert {name.split()[0] for name in samples} == {str(1 << 12), str(1 << 24)}
    assert {name.split()[1] for name in samples} <= {"all", "own"}


@pytest.mark.needs_kvm
def test_to_replace_all_takes_longer_than_to_replace_one():
    samples = measure_wholesale({"counts": [64], "rounds": 10})

    assert min(samples["64 all"]["ns"]) > min(samples["64 one"]["ns"])


@pytest.mark.needs_kvm
def test_the_harness_is_measured_through_every_way_that_is_here(monkeypatch):
    ways = {name for name, _ in alone._backends()}
    samples = measure_harness({"calls": 10, "rounds": 2})
    assert {name.rpartition(" ")[2] for name in samples} == ways

    monkeypatch.setattr(alone, "choose", lambda wanted: FcntlBackend())
    samples = measure_harness({"calls": 10, "rounds": 2})
    assert {name.rpartition(" ")[2] for name in samples} == {"fcntl"}
