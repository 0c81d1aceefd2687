import os
from struct import pack

import pytest

from memslotlib.errors import KvmError, NotRunError
from memslotlib.host import held as holding
from memslotlib.host.arena import arena
from memslotlib.host.counters import EXITS, FIXED, Counters, Faults
from memslotlib.host.parked import reader
from memslotlib.interface import Context

from .conftest import GPA, a_scenario
from .test_race import _interprets

NAMES = ("exits", "pf_guest", "pf_emulate", "pf_spurious", "pf_fixed", "pf_taken")


class Vcpu:
    """A vCPU whose counts are a file of the kernel's form; without it the ioctl is refused."""

    def __init__(self, path):
        self.path = path

    def call(self, ioctl):
        if not self.path.exists():
            raise KvmError(f"KVM_{ioctl.name}", 25)
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def counts(self, names, values):
        """Write header, id, a descriptor for each count, and the values."""
        descriptors = 24 + 48
        values_at = descriptors + (16 + 48) * len(names)
        text = pack("<6I48x", 0, 48, len(names), 24, descriptors, values_at)
        for number, name in enumerate(names):
            text += pack("<IhHII48s", 0, 0, 1, 8 * number, 0, name.encode())
        self.path.write_bytes(text + pack(f"<{len(values)}Q", *values))


@pytest.fixture
def vcpu(tmp_path):
    return Vcpu(tmp_path / "stats")


def test_counters_are_read_by_name(vcpu):
    vcpu.counts(NAMES, (1000, 1, 2, 4, 8, 32))

    with Counters(vcpu, FIXED, EXITS) as counters:
        assert counters.read() == {FIXED: 8, EXITS: 1000}
        vcpu.counts(NAMES, (1001, 1, 2, 4, 9, 32))
        assert counters.read() == {FIXED: 9, EXITS: 1001}
    counters.close()


def test_a_counter_that_the_kernel_does_not_have_is_named_and_nothing_stays_open(vcpu, leaks):
    vcpu.counts(NAMES, (0,) * len(NAMES))
    leaks()

    with pytest.raises(NotRunError, match="does not count 'no_such'"):
        Counters(vcpu, FIXED, "no_such")
    assert leaks() == {}


def test_a_kernel_without_counters_says_so(vcpu):
    with pytest.raises(NotRunError, match="KVM_CAP_BINARY_STATS_FD"):
        Counters(vcpu, FIXED)


@pytest.mark.needs_kvm
def test_an_access_is_an_exit_that_this_kernel_counts(vm):
    try:
        counters = Counters(vm.guest().vcpu, EXITS)
    except NotRunError as error:
        pytest.skip(str(error))
    with counters:
        before = counters.read()[EXITS]
        vm.read(GPA, 8)
        assert counters.read()[EXITS] > before


def test_a_fault_that_came_to_no_end_was_tried_again(vcpu):
    vcpu.counts(NAMES, (1000, 1, 2, 4, 8, 32))
    counts = Faults(vcpu)

    assert counts.retried == 32 - (1 + 2 + 4 + 8)
    vcpu.counts(NAMES, (9, 0, 0, 0, 5, 7))
    assert counts.retried == 2
    counts.close()
    counts.close()


def test_a_kernel_that_does_not_tell_has_no_counts_and_leaves_nothing_open(vcpu, leaks):
    leaks()
    assert Faults.of(vcpu) is None

    vcpu.counts(NAMES[:-1], (0,) * 5)
    assert Faults.of(vcpu) is None
    assert leaks() == {}


@pytest.mark.needs_kvm
@pytest.mark.parametrize("update", ["move", "flags"])
def test_faults_are_tried_again_while_the_slot_is_invalid_and_not_otherwise(backend, update):
    context = Context.LONG64_CPL3
    if _interprets(context):
        pytest.skip("this host interprets long64-cpl3")
    with arena(a_scenario(update=update), context, backend) as made:
        if made.faults is None:
            pytest.skip("this kernel does not tell of its vCPUs' faults")
        with reader(made.vm, 1) as parked:
            before = made.faults.retried
            seen = holding._hold(made, parked, 0, step=0)
            retried = made.faults.retried - before

    assert seen.held
    assert (retried > 0) == seen.unmapped.stalled == (update == "move")
