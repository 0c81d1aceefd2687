import pytest

from memslotlib.vmm.frequency import Run, runs, time_ns
from memslotlib.vmm.traces import FOLDER, Kind, manifest, read

RUNS = runs()


def run(name):
    (found,) = (one for one in RUNS if one.name == name)
    return found


def test_every_trace_is_a_run():
    assert [one.name for one in RUNS] == [row["file"] for row in manifest()]
    assert {one.is_synthetic for one in RUNS} == {True, False}


def test_a_run_is_counted():
    boot = run("q72-pc-seabios.trace")

    assert (boot.vmm, boot.scenario, boot.is_synthetic) == ("QEMU 7.2", "pc-seabios", False)
    assert boot.kinds == {Kind.CREATE: 23, Kind.DELETE: 14}
    assert (boot.updates, boot.transactions, boot.holes) == (37, 13, 4)
    # In the end there are 23 - 14 of them.
    assert 23 - 14 <= boot.most_slots < 23
    assert 0 < boot.last_hole_s < boot.seconds


def test_moments_of_an_emulated_host_are_not_to_be_told():
    for one in RUNS:
        assert one.is_timed is not one.name.startswith("amd-")


def test_the_busiest_second_is_part_of_the_run():
    for one in RUNS:
        assert 0 < one.peak_per_s <= one.transactions
        assert 0 < sum(one.busiest.values()) <= one.updates
        # A run that is over within a second is its own busiest second.
        if one.seconds < 1:
            assert one.busiest == one.kinds


def test_holes_count_only_while_vcpus_run():
    name = "q72-microvm-qboot.trace"
    assert (run(name).holes, run(name).last_hole_s) == (0, None)


def test_time_is_what_each_kind_costs():
    assert time_ns({Kind.CREATE: 2, Kind.DELETE: 1}, {Kind.CREATE: 10, Kind.DELETE: 5}) == 25


@pytest.mark.parametrize("origin", ["synthetic guest", "firmware, OS or VMM workload"])
def test_who_wrote_the_guest_is_the_manifests_word(origin):
    made = Run.of(read(FOLDER / "q72-pc-seabios.trace"), origin)
    assert made.is_synthetic is (origin == "synthetic guest")
