import pytest

from memslotlib.abi import HostPolicy, SimVm
from memslotlib.conformance.cases import Case, Gives, op, region

GMEM = op("create_guest_memfd", 0x1000)


def bound(flags):
    return op("set_user_memory_region2", 1, flags, 0, 0x1000, 0, 0, 0)


def a_case(*steps, address_spaces=0):
    return Case("a case", (), steps[:-1], steps[-1], Gives(), "why", address_spaces)


@pytest.mark.parametrize(
    ("steps", "binds"),
    [
        ((region(1, 4),), False),
        ((bound(0),), False),
        ((bound(3),), False),
        ((bound(4),), True),
        ((bound(5),), True),
        ((GMEM,), True),
        ((GMEM, region()), True),
        ((bound(4), region()), True),
        ((region(), op("read", 0, 1)), False),
    ],
)
def test_a_case_that_makes_or_binds_a_guest_memfd_needs_one(steps, binds):
    case = a_case(*steps)

    assert case.binds is binds
    assert case.suits(SimVm())
    assert case.suits(SimVm(policy=HostPolicy(guest_memfd=False))) is not binds


@pytest.mark.parametrize(("wanted", "suited"), [(0, [1, 2]), (1, [1]), (2, [2])])
def test_a_case_may_need_a_number_of_address_spaces(wanted, suited):
    case = a_case(region(), address_spaces=wanted)

    assert [spaces for spaces in (1, 2) if case.suits(SimVm(spaces))] == suited
