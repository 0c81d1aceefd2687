import pytest

from memslotlib.errors import NotRunError
from memslotlib.host.counters import EXITS, FIXED, Counters

from .conftest import GPA
from .test_stats import NAMES, Vcpu


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
