"""Every change and every refusal of the memslot ioctls: answer, text, and the state after it."""

import errno

import pytest

from memslotlib.abi import Change, HostPolicy, SimVm
from memslotlib.abi.region import classify, set_region
from memslotlib.abi.region_rules import V2, Region
from memslotlib.errors import KvmError
from memslotlib.interface import Context
from memslotlib.uapi import Cap, MemFlag

GPA, SIZE, HVA = 0x10_0000, 0x4000, 0x2000_0000_0000
PAGE = 0x1000
LOG, READONLY, GMEM = (int(flag) for flag in MemFlag)


def a_vm(**policy):
    return SimVm(2, HostPolicy(**policy))


def region(vm, slot=1, flags=0, gpa=GPA, size=SIZE, hva=HVA, **gmem):
    if gmem:
        vm.set_user_memory_region2(slot, flags, gpa, size, hva, **gmem)
    else:
        vm.set_user_memory_region(slot, flags, gpa, size, hva)
    vm.check()


def facts(vm):
    """All that a failed call must leave alone."""
    return [
        [(*slot[:6], bytes(slot.bitmap or b""), *slot[7:]) for slot in vm.slots(as_id)]
        + [vm.generation(as_id)]
        for as_id in (0, 1)
    ] + [vm._state.total_pages, {fd: dict(g.bindings) for fd, g in vm._state.gmem_fds.items()}]


def refused(vm, call, *arguments, **keywords):
    """The rule that refuses the call, which must leave everything as it was."""
    before = facts(vm)
    with pytest.raises(KvmError) as error:
        call(*arguments, **keywords)
    vm.check()
    assert facts(vm) == before
    return error.value.rule


def request(**fields):
    default = {"slot": 1, "flags": 0, "guest_phys_addr": GPA, "memory_size": SIZE}
    return Region(V2, **(default | {"userspace_addr": HVA} | fields))


class TestChanges:
    @pytest.mark.parametrize(
        ("fields", "change", "steps"),
        [
            ({}, Change.NONE, 0),
            ({"flags": LOG}, Change.FLAGS, 1),
            ({"guest_phys_addr": GPA + PAGE}, Change.MOVE, 2),
            ({"guest_phys_addr": GPA + PAGE, "flags": LOG}, Change.MOVE, 2),
            ({"memory_size": 0}, Change.DELETE, 2),
            ({"slot": 2, "guest_phys_addr": 0}, Change.CREATE, 1),
        ],
    )
    def test_what_differs_decides_the_change_and_its_swaps(self, fields, change, steps):
        vm = a_vm()
        region(vm)
        before = vm.generation(0)

        assert set_region(vm._state, request(**fields)) is change
        vm.check()
        # Two address spaces: a swap is a step of two.
        assert vm.generation(0) == before + 2 * steps
        assert vm.generation(1) == 1

    def test_a_change_has_a_name_to_print(self):
        assert [change.value for change in Change] == ["create", "delete", "move", "flags", "no-op"]

    def test_a_generation_names_its_address_space(self):
        vm = a_vm()
        assert (vm.generation(0), vm.generation(1)) == (0, 1)
        region(vm, slot=0x10001)
        assert (vm.generation(0), vm.generation(1)) == (0, 3)

    def test_one_address_space_steps_by_one(self):
        vm = SimVm()
        region(vm)
        region(vm, size=0)
        assert vm.generation() == 3

    def test_a_created_slot_is_as_asked(self):
        vm = a_vm()
        region(vm, slot=0x10007, flags=READONLY)

        assert vm.slots(1) == [(1, 7, 0x100, 4, HVA, READONLY, None, 0, 0)]
        assert vm.slots(0) == []
        assert vm._state.total_pages == 4

    def test_a_moved_slot_keeps_all_but_its_place(self):
        vm = a_vm()
        region(vm, flags=READONLY)
        region(vm, flags=READONLY, gpa=GPA + PAGE)

        assert vm.slots() == [(0, 1, 0x101, 4, HVA, READONLY, None, 0, 0)]
        assert (vm.find(0x100), vm.find(0x104).id) == (None, 1)
        assert vm._state.total_pages == 4

    def test_a_deleted_slot_is_gone(self):
        vm = a_vm()
        region(vm)
        region(vm, size=0)

        assert (vm.slots(), vm.find(0x100), vm._state.total_pages) == ([], None, 0)

    def test_classifying_changes_nothing(self):
        vm = a_vm()
        region(vm)
        before = facts(vm)

        assert classify(vm._state, request(memory_size=0), vm._state.slot(1)) is Change.DELETE
        assert facts(vm) == before

    def test_bits_of_the_last_page_of_an_absent_space_are_no_slot(self):
        assert a_vm()._state.slot(0x20001) is None


class TestMappings:
    """What the MMU maps: dropped by a deletion or a move, kept by every other change."""

    def mapped(self, vm):
        region(vm)
        region(vm, slot=2, gpa=0x20_0000)
        vm.memory(HVA, SIZE)
        for gpa in (GPA, GPA + 3 * PAGE, 0x20_0000):
            vm.write(gpa, b"!")
        return vm

    def gfns(self, vm):
        return sorted(gfn for _, gfn in vm._state.mmu.mapped)

    def test_a_write_maps_its_page(self):
        assert self.gfns(self.mapped(a_vm())) == [0x100, 0x103, 0x200]

    @pytest.mark.parametrize("fields", [{"size": 0}, {"gpa": GPA + PAGE}])
    def test_deleting_and_moving_drop_all_mappings(self, fields):
        vm = self.mapped(a_vm())
        region(vm, **fields)

        assert self.gfns(vm) == []

    @pytest.mark.parametrize("fields", [{"size": 0}, {"gpa": GPA + 16 * PAGE}])
    def test_without_the_quirk_only_the_slots_own(self, fields):
        vm = a_vm()
        vm.enable_cap(Cap.DISABLE_QUIRKS2, 1 << 7)
        region(self.mapped(vm), **fields)

        assert self.gfns(vm) == [0x200]

    def test_without_the_quirk_slots_below_keep_theirs(self):
        vm = a_vm()
        vm.enable_cap(Cap.DISABLE_QUIRKS2, 1 << 7)
        region(self.mapped(vm), slot=2, gpa=0x20_0000, size=0)

        assert self.gfns(vm) == [0x100, 0x103]

    def test_other_quirks_have_no_part_in_it(self):
        vm = a_vm()
        vm.enable_cap(Cap.DISABLE_QUIRKS2, 0x7F)
        region(self.mapped(vm), size=0)

        assert self.gfns(vm) == []

    def test_the_other_address_space_keeps_its_own_without_the_quirk(self):
        vm = a_vm()
        vm.enable_cap(Cap.DISABLE_QUIRKS2, 1 << 7)
        region(vm, slot=0x10001)
        self.mapped(vm)
        vm.write(GPA, b"!", as_id=1)
        region(vm, size=0)

        assert sorted(vm._state.mmu.mapped) == [(0, 0x200), (1, 0x100)]

    @pytest.mark.parametrize("fields", [{}, {"flags": LOG}, {"slot": 3, "gpa": 0}])
    def test_other_changes_drop_none(self, fields):
        vm = self.mapped(a_vm())
        region(vm, **fields)

        assert self.gfns(vm) == [0x100, 0x103, 0x200]

    def test_enabling_the_log_protects_the_slots_pages_and_no_others(self):
        vm = self.mapped(a_vm())
        region(vm, flags=LOG)
        assert vm._state.mmu.mapped == {(0, 0x100): False, (0, 0x103): False, (0, 0x200): True}

        vm.write(GPA, b"!")
        region(vm, flags=0)
        assert vm._state.mmu.mapped[0, 0x100] is True

    def test_enabling_the_log_protects_up_to_the_next_slot(self):
        vm = a_vm()
        region(vm, size=PAGE)
        region(vm, slot=2, gpa=GPA + PAGE)
        vm.memory(HVA, SIZE)
        vm.write(GPA, b"!")
        vm.write(GPA + PAGE, b"!")
        region(vm, size=PAGE, flags=LOG)

        assert vm._state.mmu.mapped == {(0, 0x100): False, (0, 0x101): True}

    def test_a_move_that_fails_late_has_dropped_them_and_swapped_twice(self):
        vm = self.mapped(a_vm())
        before = facts(vm)

        with pytest.raises(KvmError) as error:
            region(vm, gpa=1 << 48)

        assert str(error.value) == (
            "[Errno 22] KVM_SET_USER_MEMORY_REGION: EINVAL (Invalid argument) slot=0x1 flags=0x0 "
            "guest_phys_addr=0x1000000000000 memory_size=0x4000 userspace_addr=0x200000000000; "
            "rule gpa-range"
        )
        assert self.gfns(vm) == []
        assert vm.generation() == before[0].pop() + 4
        assert facts(vm)[0][:-1] == before[0]
        assert vm.read(GPA, 1).data == b"!"

    def test_a_creation_that_fails_late_has_not(self):
        vm = self.mapped(a_vm())

        assert refused(vm, region, vm, slot=5, gpa=1 << 48) == "gpa-range"
        assert self.gfns(vm) == [0x100, 0x103, 0x200]


class TestRefusals:
    def test_the_text_names_every_field_of_the_first_ioctl(self):
        with pytest.raises(KvmError) as error:
            a_vm().set_user_memory_region(1, 8, GPA, SIZE, HVA)

        assert str(error.value) == (
            "[Errno 22] KVM_SET_USER_MEMORY_REGION: EINVAL (Invalid argument) slot=0x1 flags=0x8 "
            "guest_phys_addr=0x100000 memory_size=0x4000 userspace_addr=0x200000000000; "
            "rule v1-flags"
        )

    def test_the_text_names_every_field_of_the_second(self):
        with pytest.raises(KvmError) as error:
            a_vm().set_user_memory_region2(1, 4, GPA, SIZE, HVA, 0x3000, 77)

        assert str(error.value) == (
            "[Errno 9] KVM_SET_USER_MEMORY_REGION2: EBADF (Bad file descriptor) slot=0x1 flags=0x4 "
            "guest_phys_addr=0x100000 memory_size=0x4000 userspace_addr=0x200000000000 "
            "guest_memfd_offset=0x3000 guest_memfd=0x4d; rule gmem-open"
        )

    def test_what_the_second_is_not_given_is_0(self):
        with pytest.raises(KvmError) as error:
            a_vm().set_user_memory_region2(1, 4, GPA, SIZE, HVA)

        assert str(error.value).endswith("guest_memfd_offset=0x0 guest_memfd=0x0; rule gmem-file")

    @pytest.mark.parametrize(
        ("fields", "rule"),
        [
            ({"slot": 32763}, None),
            ({"slot": 32764}, "slot-id"),
            ({"slot": 0xFFFF}, "slot-id"),
            ({"slot": 1 << 16 | 32763}, None),
            ({"slot": 2 << 16}, "as-id"),
            ({"size": SIZE + 1}, "size-aligned"),
            ({"size": SIZE - 1}, "size-aligned"),
            ({"size": 0x800}, "size-aligned"),
            ({"gpa": GPA + 1}, "gpa-aligned"),
            ({"gpa": GPA + 0x800}, "gpa-aligned"),
            ({"hva": HVA + 1}, "hva-aligned"),
            ({"hva": HVA + 0x800}, "hva-aligned"),
            ({"hva": 0x7FFF_FFFF_F000 - SIZE}, None),
            ({"hva": 0x7FFF_FFFF_F000 - SIZE + PAGE}, "hva-range"),
            ({"gpa": (1 << 64) - SIZE}, "gpa-wraps"),
            ({"gpa": (1 << 64) - SIZE - PAGE}, "gpa-range"),
            ({"gpa": (1 << 48) - SIZE}, None),
            ({"gpa": (1 << 48) - SIZE + PAGE}, "gpa-range"),
            ({"size": ((1 << 31) - 1) * PAGE}, None),
            ({"size": (1 << 31) * PAGE}, "page-limit"),
            ({"flags": READONLY | LOG}, None),
            ({"flags": GMEM}, "v1-flags"),
            ({"flags": 1 << 16}, "v1-flags"),
            ({"size": 0}, "delete-absent"),
            ({"gpa": 0}, None),
        ],
    )
    def test_limits_hold_to_the_page(self, fields, rule):
        vm = a_vm()

        if rule is None:
            region(vm, **fields)
        else:
            assert refused(vm, region, vm, **fields) == rule

    @pytest.mark.parametrize(
        ("flags", "rule"), [(1 << 3, "flags"), (GMEM | LOG, "flags"), (GMEM | READONLY, "flags")]
    )
    def test_flags_of_the_second_ioctl(self, flags, rule):
        vm = a_vm()
        fd = vm.create_guest_memfd(SIZE)

        assert refused(vm, region, vm, flags=flags, guest_memfd=fd) == rule

    @pytest.mark.parametrize("flags", [GMEM, GMEM | LOG])
    def test_a_vm_without_guest_memfd_refuses_the_flag(self, flags):
        vm = a_vm(guest_memfd=False)

        assert refused(vm, region, vm, flags=flags, guest_memfd=3) == "flags"

    @pytest.mark.parametrize("bits", [36, 46])
    def test_the_mmu_may_map_less(self, bits):
        vm = a_vm(max_gpa_bits=bits)

        region(vm, gpa=(1 << bits) - SIZE)
        assert refused(vm, region, vm, slot=2, gpa=1 << bits) == "gpa-range"

    def test_userspace_may_end_elsewhere(self):
        vm = a_vm(user_address_limit=1 << 40)

        region(vm, hva=(1 << 40) - SIZE)
        assert refused(vm, region, vm, slot=2, hva=(1 << 40) - SIZE + PAGE) == "hva-range"

    @pytest.mark.parametrize(
        ("fields", "rule"),
        [
            ({"hva": HVA + PAGE}, "hva-fixed"),
            ({"size": SIZE + PAGE}, "size-fixed"),
            ({"size": PAGE}, "size-fixed"),
            ({"flags": READONLY}, "readonly-fixed"),
            ({"flags": READONLY | LOG}, "readonly-fixed"),
            ({"gpa": 0x20_0000, "hva": HVA + PAGE}, "hva-fixed"),
            ({"gpa": 0x20_0000}, "overlap"),
            ({"gpa": 0x20_0000 + 3 * PAGE}, "overlap"),
            ({"gpa": 0x20_0000 - SIZE + PAGE}, "overlap"),
        ],
    )
    def test_an_existing_slot_keeps_its_shape(self, fields, rule):
        vm = a_vm()
        region(vm)
        region(vm, slot=2, gpa=0x20_0000)

        assert refused(vm, region, vm, **fields) == rule

    def test_a_failed_move_with_a_log_keeps_the_bits(self):
        vm = a_vm()
        vm.memory(HVA, SIZE)
        region(vm, flags=LOG)
        region(vm, slot=2, gpa=0x20_0000)
        vm.write(GPA + PAGE, b"!", context=Context.REAL16)

        assert refused(vm, region, vm, gpa=0x20_0000) == "overlap"
        assert vm.get_dirty_log(1) == b"\2" + bytes(7)


class TestGuestMemfd:
    def bound(self, size=2 * SIZE):
        vm = a_vm()
        fd = vm.create_guest_memfd(size)
        region(vm, flags=GMEM, guest_memfd=fd, guest_memfd_offset=0)
        return vm, fd

    def test_a_bound_slot_says_where(self):
        vm, fd = self.bound()
        region(vm, slot=2, gpa=0, flags=GMEM, guest_memfd=fd, guest_memfd_offset=SIZE)

        assert [slot[7:] for slot in vm.slots()] == [(fd, 4), (fd, 0)]
        assert vm._state.gmem_fds[fd].bindings == {(0, 1): range(4), (0, 2): range(4, 8)}

    def test_a_deletion_unbinds(self):
        vm, fd = self.bound()
        region(vm, size=0)

        assert vm._state.gmem_fds[fd].bindings == {}
        region(vm, slot=9, flags=GMEM, guest_memfd=fd, guest_memfd_offset=SIZE)

    @pytest.mark.parametrize(
        ("offset", "rule"),
        [
            (0, "gmem-bound"),
            (SIZE - PAGE, "gmem-bound"),
            (SIZE, None),
            (SIZE + PAGE, "gmem-range"),
            (SIZE + 0x800, "gmem-offset"),
            ((1 << 64) - SIZE, "gmem-offset"),
            ((1 << 64) - SIZE - PAGE, "gmem-range"),
        ],
    )
    def test_ranges_hold_to_the_page(self, offset, rule):
        vm, fd = self.bound()
        arguments = {"flags": GMEM, "guest_memfd": fd, "guest_memfd_offset": offset}

        if rule is None:
            region(vm, slot=2, gpa=0, **arguments)
        else:
            assert refused(vm, region, vm, slot=2, gpa=0, **arguments) == rule

    def test_a_range_before_a_bound_one_is_free(self):
        vm = a_vm()
        fd = vm.create_guest_memfd(2 * SIZE)
        region(vm, flags=GMEM, guest_memfd=fd, guest_memfd_offset=SIZE)
        region(vm, slot=2, gpa=0, flags=GMEM, guest_memfd=fd, guest_memfd_offset=0)

        bad = {"flags": GMEM, "guest_memfd": fd, "guest_memfd_offset": PAGE}
        assert refused(vm, region, vm, slot=3, gpa=0x50_0000, **bad) == "gmem-bound"

    @pytest.mark.parametrize(
        ("fd", "rule"), [(0, "gmem-file"), (2, "gmem-file"), (4, "gmem-open"), (99, "gmem-open")]
    )
    def test_the_descriptor_must_be_one(self, fd, rule):
        vm, _ = self.bound()

        assert refused(vm, region, vm, slot=2, gpa=0, flags=GMEM, guest_memfd=fd) == rule

    @pytest.mark.parametrize("gpa", [GPA, 0x50_0000])
    def test_a_bound_slot_never_changes(self, gpa):
        vm, fd = self.bound()
        again = {"flags": GMEM, "guest_memfd": fd, "guest_memfd_offset": 0}

        assert refused(vm, region, vm, gpa=gpa, **again) == "gmem-immutable"
        assert refused(vm, region, vm, gpa=gpa, flags=0) == "gmem-fixed"
        assert refused(vm, region, vm, gpa=gpa, flags=LOG) == "gmem-fixed"

    def test_a_plain_slot_cannot_be_bound_later(self):
        vm = a_vm()
        fd = vm.create_guest_memfd(SIZE)
        region(vm)

        later = {"flags": GMEM, "guest_memfd": fd, "guest_memfd_offset": 0}
        assert refused(vm, region, vm, **later) == "gmem-immutable"

    def test_without_the_flag_the_fields_mean_nothing(self):
        vm = a_vm()
        region(vm, guest_memfd=99, guest_memfd_offset=0x5123)

        assert vm.slots()[0][7:] == (0, 0)


def test_the_errno_is_an_oserrors():
    with pytest.raises(OSError) as error:
        a_vm().set_user_memory_region(1, 0, GPA, 0, HVA)

    assert error.value.errno == errno.EINVAL
