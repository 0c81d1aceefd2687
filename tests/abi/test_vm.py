from contextlib import suppress

import pytest

from memslotlib.abi import SimVm
from memslotlib.errors import KvmError
from memslotlib.interface import Vm

GPA, HVA, PAGE = 0x10_0000, 0x2000_0000_0000, 0x1000


def test_it_is_a_vm():
    vm: Vm = SimVm()
    assert {name for name in dir(Vm) if name[0] != "_"} <= set(dir(vm))


@pytest.mark.parametrize("spaces", [0, 3, -1])
def test_an_x86_vm_has_one_or_two_address_spaces(spaces):
    with pytest.raises(ValueError) as error:
        SimVm(spaces)

    assert str(error.value) == f"address_spaces is {spaces}, and an x86 VM has 1 or 2"


@pytest.mark.parametrize("size", [0, 3, 5, 16, -1])
def test_guest_accesses_have_the_sizes_of_instructions(size):
    with pytest.raises(ValueError) as error:
        SimVm().read(GPA, size)

    assert str(error.value) == f"a guest access has 1, 2, 4 or 8 bytes, not {size}"


def test_stores_too():
    with pytest.raises(ValueError) as error:
        SimVm().write(GPA, b"abc")

    assert str(error.value) == "a guest access has 1, 2, 4 or 8 bytes, not 3"


@pytest.mark.parametrize(
    "access",
    [
        lambda vm, as_id: vm.read(GPA, 1, as_id=as_id),
        lambda vm, as_id: vm.write(GPA, b"!", as_id=as_id),
        lambda vm, as_id: vm.fetch(GPA, as_id=as_id),
    ],
)
@pytest.mark.parametrize(("spaces", "as_id"), [(1, 1), (2, 2), (1, -1)])
def test_accesses_name_an_address_space_that_exists(access, spaces, as_id):
    with pytest.raises(ValueError) as error:
        access(SimVm(spaces), as_id)

    assert str(error.value) == f"as_id is {as_id}, and the VM has {spaces}"


def test_it_can_be_looked_into():
    vm = SimVm(2)
    vm.set_user_memory_region(0x10001, 0, GPA, PAGE, HVA)
    vm.set_user_memory_region(0x10002, 0, 0, PAGE, HVA)

    assert [slot.id for slot in vm.slots(1)] == [2, 1]
    assert vm.slots() == []
    assert (vm.find(0x100, 1).id, vm.find(0x101, 1), vm.find(0x100)) == (1, None, None)
    assert (vm.generation(), vm.generation(1)) == (0, 5)


def test_closing_deletes_every_slot_and_forgets_the_memory():
    with SimVm(2) as vm:
        vm.memory(HVA, 1)[0] = 7
        vm.set_user_memory_region(1, 1, GPA, PAGE, HVA)
        vm.set_user_memory_region(2, 0, 0, PAGE, HVA)
        vm.set_user_memory_region(0x10001, 2, GPA, PAGE, HVA)

    vm.check()
    assert vm.slots(0) == vm.slots(1) == []
    assert vm.memory(HVA, 1)[0] == 0
    vm.close()


def test_an_error_inside_closes_it_and_goes_on():
    vm = SimVm()
    vm.set_user_memory_region(1, 0, GPA, PAGE, HVA)

    def clash():
        with vm:
            vm.set_user_memory_region(2, 0, GPA, PAGE, HVA)

    with pytest.raises(KvmError):
        clash()
    assert vm.slots() == []


@pytest.mark.parametrize(
    ("call", "fields", "bits"),
    [
        ("set_user_memory_region", ["slot", "flags"], 32),
        ("set_user_memory_region", ["guest_phys_addr", "memory_size", "userspace_addr"], 64),
        ("set_user_memory_region2", ["slot", "flags", "guest_memfd"], 32),
        ("set_user_memory_region2", ["guest_phys_addr", "memory_size", "userspace_addr"], 64),
        ("set_user_memory_region2", ["guest_memfd_offset"], 64),
        ("create_guest_memfd", ["size", "flags"], 64),
        ("get_dirty_log", ["slot"], 32),
        ("clear_dirty_log", ["slot", "num_pages"], 32),
        ("clear_dirty_log", ["first_page"], 64),
    ],
)
@pytest.mark.parametrize("negative", [True, False])
def test_a_number_must_fit_its_field(call, fields, bits, negative):
    region = {"slot": 1, "flags": 0, "guest_phys_addr": 0, "memory_size": PAGE, "userspace_addr": 0}
    whole = {
        "set_user_memory_region": region,
        "set_user_memory_region2": region | {"guest_memfd_offset": 0, "guest_memfd": 0},
        "create_guest_memfd": {"size": PAGE, "flags": 0},
        "get_dirty_log": {"slot": 1},
        "clear_dirty_log": {"slot": 1, "first_page": 0, "num_pages": 0, "bitmap": b""},
    }[call]
    for field in fields:
        value = -1 << 16 if negative else 1 << bits
        with pytest.raises(OverflowError) as error:
            getattr(SimVm(), call)(**(whole | {field: value}))

        assert str(error.value) == f"{field} {value:#x} does not fit {bits} unsigned bits"
        with suppress(KvmError):
            # The largest number that fits may break a rule, but not its field.
            getattr(SimVm(), call)(**(whole | {field: (1 << bits) - 1}))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((-1,), "cap -0x1 does not fit 32 unsigned bits"),
        ((1 << 32,), "cap 0x100000000 does not fit 32 unsigned bits"),
        ((168, -1), "args[0] -0x1 does not fit 64 unsigned bits"),
        ((168, 0, 1 << 64), "args[1] 0x10000000000000000 does not fit 64 unsigned bits"),
    ],
)
def test_a_capability_and_its_arguments_must_fit_too(arguments, text):
    with pytest.raises(OverflowError) as error:
        SimVm().enable_cap(*arguments)

    assert str(error.value) == text
