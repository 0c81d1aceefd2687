import errno

import pytest

from memslotlib.abi import HostPolicy, SimVm
from memslotlib.errors import KvmError
from memslotlib.uapi import PAGE_SIZE


@pytest.fixture
def vm():
    with SimVm(policy=HostPolicy(guest_memfd_flags=3)) as made:
        yield made


def test_descriptors_follow_the_three_that_every_process_has(vm):
    assert [vm.create_guest_memfd(PAGE_SIZE) for _ in range(3)] == [3, 4, 5]


@pytest.mark.parametrize("size", [PAGE_SIZE, (1 << 63) - PAGE_SIZE])
def test_the_smallest_and_the_largest_size_are_taken(vm, size):
    assert vm.create_guest_memfd(size) == 3


@pytest.mark.parametrize("size", [0, 1, PAGE_SIZE - 1, PAGE_SIZE + 1, 1 << 63])
def test_a_size_that_is_zero_ragged_or_negative_is_refused(vm, size):
    with pytest.raises(KvmError) as caught:
        vm.create_guest_memfd(size)

    assert (caught.value.errno, caught.value.rule) == (errno.EINVAL, "gmem-size")
    assert caught.value.ioctl == "KVM_CREATE_GUEST_MEMFD"
    assert caught.value.fields == {"size": size, "flags": 0}
    assert vm.create_guest_memfd(PAGE_SIZE) == 3


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_the_flags_of_the_kernel_are_taken(vm, flags):
    assert vm.create_guest_memfd(PAGE_SIZE, flags) == 3


@pytest.mark.parametrize("flags", [4, 5, 1 << 63])
def test_any_other_flag_is_refused_before_the_size_is_looked_at(vm, flags):
    with pytest.raises(KvmError) as caught:
        vm.create_guest_memfd(0, flags)

    assert (caught.value.errno, caught.value.rule) == (errno.EINVAL, "gmem-flags")
