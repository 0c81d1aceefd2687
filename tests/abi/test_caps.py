import pytest

from memslotlib.abi import HostPolicy, SimVm
from memslotlib.errors import KvmError
from memslotlib.uapi import Cap

RING = 1 << 20


@pytest.mark.parametrize("spaces", [1, 2])
def test_what_the_vm_offers(spaces):
    vm = SimVm(spaces)

    assert {cap.name: vm.check_extension(cap) for cap in Cap} == {
        "USER_MEMORY": 1,
        "NR_MEMSLOTS": 32764,
        "READONLY_MEM": 1,
        "X86_SMM": spaces - 1,
        "MULTI_ADDRESS_SPACE": 0 if spaces == 1 else 2,
        "IMMEDIATE_EXIT": 1,
        "MANUAL_DIRTY_LOG_PROTECT2": 3,
        "DIRTY_LOG_RING": RING,
        "EXIT_ON_EMULATION_FAILURE": 1,
        "DISABLE_QUIRKS2": 0x3FF,
        "DIRTY_LOG_RING_ACQ_REL": RING,
        "DIRTY_LOG_RING_WITH_BITMAP": 0,
        "USER_MEMORY2": 1,
        "MEMORY_FAULT_INFO": 1,
        "MEMORY_ATTRIBUTES": 0,
        "GUEST_MEMFD": 1,
        "VM_TYPES": 1,
        "PRE_FAULT_MEMORY": 0,
        "GUEST_MEMFD_FLAGS": 3,
    }


def test_an_unknown_capability_is_absent():
    assert SimVm().check_extension(0x7FFF_FFFF) == 0


def test_quirks_are_the_hosts():
    assert SimVm(policy=HostPolicy(quirks=5)).check_extension(Cap.DISABLE_QUIRKS2) == 5


@pytest.mark.parametrize(("guest_memfd", "flags"), [(True, 1), (False, 0)])
def test_guest_memfds_are_the_hosts(guest_memfd, flags):
    vm = SimVm(policy=HostPolicy(guest_memfd=guest_memfd, guest_memfd_flags=flags))

    assert vm.check_extension(Cap.GUEST_MEMFD) is int(guest_memfd)
    assert vm.check_extension(Cap.GUEST_MEMFD_FLAGS) == flags


def refused(vm, cap, *args):
    with pytest.raises(KvmError) as error:
        vm.enable_cap(cap, *args)
    vm.check()
    return error.value.rule


@pytest.mark.parametrize(
    ("cap", "arg", "rule"),
    [
        (Cap.MANUAL_DIRTY_LOG_PROTECT2, 0, None),
        (Cap.MANUAL_DIRTY_LOG_PROTECT2, 1, None),
        (Cap.MANUAL_DIRTY_LOG_PROTECT2, 2, "manual-options"),
        (Cap.MANUAL_DIRTY_LOG_PROTECT2, 3, None),
        (Cap.MANUAL_DIRTY_LOG_PROTECT2, 4, "manual-options"),
        (Cap.MANUAL_DIRTY_LOG_PROTECT2, 7, "manual-options"),
        (Cap.EXIT_ON_EMULATION_FAILURE, 0, None),
        (Cap.EXIT_ON_EMULATION_FAILURE, 1, None),
        (Cap.EXIT_ON_EMULATION_FAILURE, 2, "emulation-options"),
        (Cap.EXIT_ON_EMULATION_FAILURE, 3, "emulation-options"),
        (Cap.DISABLE_QUIRKS2, 0x3FF, None),
        (Cap.DISABLE_QUIRKS2, 0x400, "quirks-known"),
        (Cap.DISABLE_QUIRKS2, 0x401, "quirks-known"),
        (0x7FFF_FFFF, 0, "cap-known"),
        (Cap.DIRTY_LOG_RING, 0, "ring-power-of-two"),
        (Cap.DIRTY_LOG_RING, 1, "ring-smallest"),
        (Cap.DIRTY_LOG_RING, 0x800, "ring-smallest"),
        (Cap.DIRTY_LOG_RING, 0x1000, None),
        (Cap.DIRTY_LOG_RING, 0x1800, "ring-power-of-two"),
        (Cap.DIRTY_LOG_RING, RING, None),
        (Cap.DIRTY_LOG_RING, RING + 1, "ring-power-of-two"),
        (Cap.DIRTY_LOG_RING, 2 * RING, "ring-largest"),
        (Cap.DIRTY_LOG_RING, 1 << 33, "ring-power-of-two"),
        (Cap.DIRTY_LOG_RING, 1 << 32 | 0x800, "ring-smallest"),
        (Cap.DIRTY_LOG_RING, 1 << 32 | 0x1000, None),
        (Cap.DIRTY_LOG_RING, 1 << 32 | 0x1800, "ring-power-of-two"),
        (Cap.DIRTY_LOG_RING, 1 << 32 | 2 * RING, "ring-largest"),
        (Cap.DIRTY_LOG_RING, 1 << 31, "ring-largest"),
        (Cap.DIRTY_LOG_RING_ACQ_REL, 0x1000, None),
        (Cap.DIRTY_LOG_RING_ACQ_REL, 2 * RING, "ring-largest"),
    ],
)
def test_arguments_hold_to_their_limits(cap, arg, rule):
    vm = SimVm()

    if rule is None:
        vm.enable_cap(cap, arg)
        vm.check()
    else:
        assert refused(vm, cap, arg) == rule


def test_a_missing_argument_is_0():
    vm = SimVm()
    vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, 3)
    vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2)

    assert vm._state.manual_protect == 0
    assert refused(vm, Cap.DIRTY_LOG_RING) == "ring-power-of-two"


def test_the_text_names_capability_and_argument():
    with pytest.raises(KvmError) as error:
        SimVm().enable_cap(Cap.DIRTY_LOG_RING, 2 * RING, 7)

    assert str(error.value) == (
        "[Errno 7] KVM_ENABLE_CAP: E2BIG (Argument list too long) cap=0xc0 args[0]=0x200000; "
        "rule ring-largest"
    )


def test_a_switch_is_taken_back_or_not():
    vm = SimVm()
    vm.enable_cap(Cap.EXIT_ON_EMULATION_FAILURE, 1)
    assert vm._state.exit_on_emulation_failure is True
    vm.enable_cap(Cap.EXIT_ON_EMULATION_FAILURE, 0)
    assert vm._state.exit_on_emulation_failure is False

    vm.enable_cap(Cap.DISABLE_QUIRKS2, 2)
    vm.enable_cap(Cap.DISABLE_QUIRKS2, 4)
    assert vm._state.quirks_disabled == 6


def test_a_new_vm_has_every_switch_off():
    state = SimVm()._state

    assert state.exit_on_emulation_failure is False
    assert (state.manual_protect, state.quirks_disabled, state.ring) == (0, 0, None)
    assert state.created_vcpu is False


def test_a_ring_may_be_exactly_as_large_as_what_it_keeps_free():
    vm = SimVm(policy=HostPolicy(ring_reserved_entries=512))

    assert refused(vm, Cap.DIRTY_LOG_RING, 0x1000) == "ring-smallest"
    vm.enable_cap(Cap.DIRTY_LOG_RING, 0x2000)
    assert vm._state.ring.soft_limit == 0


def test_a_ring_has_the_size_of_the_low_32_bits():
    vm = SimVm()
    vm.enable_cap(Cap.DIRTY_LOG_RING, 1 << 32 | 0x2000)

    assert vm._state.ring.size == 512


def test_a_ring_has_as_many_entries_as_fit():
    vm = SimVm()
    vm.enable_cap(Cap.DIRTY_LOG_RING, 0x2000)

    assert (vm._state.ring.size, vm._state.ring.soft_limit) == (512, 448)
    assert refused(vm, Cap.DIRTY_LOG_RING, 0x1000) == "ring-once"
    assert vm._state.ring.size == 512


@pytest.mark.parametrize(
    "access", [lambda vm: vm.read(0, 1), lambda vm: vm.write(0, b"!"), lambda vm: vm.fetch(0)]
)
def test_the_first_access_makes_the_vcpu(access):
    vm = SimVm()
    access(vm)

    assert refused(vm, Cap.DIRTY_LOG_RING, 0x1000) == "ring-before-vcpu"


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_guest_memfds_are_numbered_like_descriptors(flags):
    vm = SimVm()

    assert [vm.create_guest_memfd(0x1000, flags) for _ in range(3)] == [3, 4, 5]
    assert vm._state.gmem_fds[4].size_bytes == 0x1000
    assert vm._state.gmem_fds[4].flags == flags


def test_a_guest_memfd_has_no_flags_unless_asked():
    vm = SimVm()

    assert vm._state.gmem_fds[vm.create_guest_memfd(0x1000)].flags == 0


@pytest.mark.parametrize(
    ("size", "flags", "rule"),
    [
        (0, 0, "gmem-size"),
        (0x800, 0, "gmem-size"),
        (0x1001, 0, "gmem-size"),
        (1 << 63, 0, "gmem-size"),
        ((1 << 63) - 0x1000, 0, None),
        (0x1000, 4, "gmem-flags"),
        (0x1000, 7, "gmem-flags"),
        (0, 4, "gmem-flags"),
    ],
)
def test_a_guest_memfd_has_a_positive_size_and_known_flags(size, flags, rule):
    vm = SimVm()

    if rule is None:
        vm.create_guest_memfd(size, flags)
        return
    with pytest.raises(KvmError) as error:
        vm.create_guest_memfd(size, flags)
    assert str(error.value) == (
        "[Errno 22] KVM_CREATE_GUEST_MEMFD: EINVAL (Invalid argument) "
        f"size={size:#x} flags={flags:#x}; rule {rule}"
    )
    assert vm._state.gmem_fds == {}
