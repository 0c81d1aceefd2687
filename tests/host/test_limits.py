import struct

import pytest

from memslotlib.errors import KvmError
from memslotlib.host import KvmVm, limits
from memslotlib.host.limits import address_bits_of, physical_address_bits, user_address_limit

PAGE = 0x1000


def a_table(*leaves):
    """A ``struct kvm_cpuid2`` of (function, eax), with room for one entry more."""
    entries = [struct.pack("<10I", function, 0, 0, eax, *[0] * 6) for function, eax in leaves]
    return struct.pack("<2I", len(entries), 0) + b"".join(entries) + bytes(40)


def test_the_address_sizes_are_found_among_other_leaves():
    assert address_bits_of(a_table((0, 0x0D), (0x8000_0008, 0x30_3930), (7, 1))) == 0x30
    assert address_bits_of(a_table((0x8000_0008, 46))) == 46


@pytest.mark.parametrize("leaves", [(), ((0, 7), (0x8000_0007, 46))])
def test_a_table_without_address_sizes_says_how_many_leaves_it_has(leaves):
    with pytest.raises(LookupError) as error:
        address_bits_of(a_table(*leaves))

    assert str(error.value) == f"CPUID leaf 0x80000008 is not among the {len(leaves)} of KVM"


@pytest.mark.needs_kvm
def test_this_processor_has_a_width_that_x86_allows():
    assert 32 <= physical_address_bits() <= 52


@pytest.mark.parametrize(
    ("accepted", "limit"),
    [
        ((), (1 << 47) - PAGE),
        ((47,), (1 << 47) - PAGE),
        ((47, 56), (1 << 56) - PAGE),
        ((47, 56, 63), (1 << 63) - PAGE),
    ],
)
def test_userspace_ends_at_the_highest_limit_accepted(monkeypatch, accepted, limit):
    monkeypatch.setattr(limits, "_accepted", lambda end: end in {(1 << b) - PAGE for b in accepted})

    assert user_address_limit() == limit


def test_this_kernel_refuses_the_page_beyond():
    limit = user_address_limit()

    assert limits._accepted(limit)
    assert not limits._accepted(limit + PAGE)
    assert not limits._accepted(1 << 63)


@pytest.mark.needs_kvm
def test_kvm_draws_the_line_at_the_same_address():
    limit = user_address_limit()
    with KvmVm() as vm:
        vm.set_user_memory_region(1, 0, 0, PAGE, limit - PAGE)
        with pytest.raises(KvmError) as error:
            vm.set_user_memory_region(2, 0, PAGE, PAGE, limit)
    assert error.value.errno == 22
