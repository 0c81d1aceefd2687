import threading

import pytest

from memslotlib.costs import running
from memslotlib.costs.rounds import Spread
from memslotlib.costs.running import (
    crew,
    measure_neighbour,
    measure_pause,
    measure_refaults,
    measure_vcpus,
)
from memslotlib.errors import NotRunError
from memslotlib.host.arena import NoProgressError

pytestmark = pytest.mark.needs_kvm


def counted(measure, given):
    try:
        return measure(given)
    except NotRunError as error:
        pytest.skip(str(error))


def test_vcpus_run_in_their_turn_and_at_no_other_time():
    with crew(2, 4) as made:
        assert made.loads() == 0
        with made.running():
            assert made.loads() >= 16
        at_rest = made.loads()
        assert made.loads() == at_rest


def test_an_interrupt_in_a_turn_leaves_no_thread():
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), crew(2, 4) as made, made.running():
        raise KeyboardInterrupt
    assert threading.active_count() == before


def test_a_vcpu_that_does_not_get_on_ends_the_run(monkeypatch):
    monkeypatch.setattr(running, "WAIT_LIMIT_S", 0.05)
    with crew(1, 4) as made, pytest.raises(NoProgressError, match=r"no two rounds in 0.05 s"):
        made.settle()


def test_two_crews_at_once_have_memory_of_their_own():
    with crew(1, 4) as one, crew(1, 4) as other:
        assert one.neighbour.hva != other.neighbour.hva
        with one.running():
            pass
        with other.running():
            pass


def test_operations_are_timed_beside_vcpus_that_run_and_that_do_not():
    samples = measure_vcpus({"vcpus": [0, 1], "pages": 4, "rounds": 4})

    assert set(samples) == {"0 out", "0 running", "1 out", "1 running"}
    assert samples["1 out"]["loads"] == [0] * 4
    assert all(len(taken["delete"]) == 4 for taken in samples.values())


def test_a_paused_update_is_told_in_parts():
    samples = measure_pause({"vcpus": [1], "pages": 4, "rounds": 4})

    paused = samples["1 paused"]
    for whole, *parts in zip(
        *(paused[name] for name in ("ns", "kick", "update", "resume")), strict=True
    ):
        assert whole == sum(parts)
    assert all(out >= update for out, update in zip(paused["out"], paused["update"], strict=True))
    assert set(samples["1 plain"]) == {"ns"}


def test_delete_and_move_make_a_vcpu_fault_for_another_slot_and_no_other_ioctl_does():
    samples = counted(measure_refaults, {"pages": 256, "rounds": 5})

    def faults(name):
        return Spread.of(samples[name]["faults"]).median

    for operation in ("delete", "move"):
        assert faults(f"{operation} all") >= 256 / 16
    for operation in ("create", "flags", "no-op"):
        assert faults(f"{operation} all") < 256 / 16
    for name in samples:
        if name.endswith("own"):
            assert faults(name) < 256 / 16
        assert all(loads >= 256 for loads in samples[name]["loads"])


def test_windows_count_accesses_updates_and_faults():
    given = {"pages": [256], "intervals_us": [0, 5000], "window_us": 10_000, "rounds": 3}
    samples = counted(measure_neighbour, given)

    assert {name.split()[0] for name in samples} == set(running.UPDATES)
    for name, taken in samples.items():
        assert min(taken["ns"]) >= 10_000_000
        if name.split()[1] == "5000":
            assert max(taken["updates"]) <= 3
    assert sum(samples["none 0 256 all"]["loads"]) > 0
    assert sum(samples["move 5000 256 all"]["faults"]) > sum(samples["none 0 256 all"]["faults"])
