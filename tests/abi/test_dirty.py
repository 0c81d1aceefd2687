"""Dirty bitmaps and rings beyond the table of cases: limits, texts, mappings, address spaces."""

import pytest

from memslotlib.abi import HostPolicy, SimVm
from memslotlib.errors import KvmError
from memslotlib.interface import FETCH_STUB, Context
from memslotlib.uapi import Cap, MemFlag

GPA, HVA, PAGE = 0x10_0000, 0x2000_0000_0000, 0x1000
LOG = int(MemFlag.LOG_DIRTY_PAGES)
PAGES = 130
SIZE = PAGES * PAGE
NATIVE, EMULATED = Context.LONG64_CPL3, Context.REAL16


def a_vm(ring=0, flags=LOG, spaces=2):
    vm = SimVm(spaces, HostPolicy.kvm_pvm())
    vm.memory(HVA, SIZE)
    if ring:
        vm.enable_cap(Cap.DIRTY_LOG_RING, ring)
    vm.set_user_memory_region(1, flags, GPA, SIZE, HVA)
    vm.check()
    return vm


def dirty(vm, slot=1):
    bits = int.from_bytes(vm.get_dirty_log(slot), "little")
    vm.check()
    return [page for page in range(bits.bit_length()) if bits >> page & 1]


def write(vm, page, context=NATIVE, **where):
    assert vm.write(GPA + page * PAGE, b"!", context=context, **where).reason == "done"
    vm.check()


def bitmap(*pages):
    return sum(1 << page for page in pages).to_bytes(24, "little")


def refused(call, *arguments):
    with pytest.raises(KvmError) as error:
        call(*arguments)
    return str(error.value)


@pytest.mark.parametrize("context", Context)
def test_every_page_has_its_bit(context):
    vm = a_vm()
    for page in (0, 7, 8, 63, 64, 129):
        write(vm, page, context)

    assert dirty(vm) == [0, 7, 8, 63, 64, 129]


@pytest.mark.parametrize(("pages", "size"), [(1, 8), (64, 8), (65, 16), (128, 16), (129, 24)])
def test_a_bitmap_is_padded_to_64_bits(pages, size):
    vm = a_vm()
    vm.set_user_memory_region(2, LOG, 0, pages * PAGE, HVA)

    assert vm.get_dirty_log(2) == bytes(size)


def test_loads_and_fetches_mark_nothing():
    vm = a_vm()
    vm.memory(HVA, 2)[:] = FETCH_STUB
    for context in Context:
        vm.read(GPA, 1, context=context)
        vm.fetch(GPA, context=context)

    assert dirty(vm) == []


@pytest.mark.parametrize(("reads_mark_dirty", "pages"), [(True, [0]), (False, [])])
def test_a_native_load_marks_where_the_host_maps_it_writable(reads_mark_dirty, pages):
    vm = SimVm(policy=HostPolicy(reads_mark_dirty=reads_mark_dirty))
    vm.memory(HVA, PAGE)
    vm.set_user_memory_region(1, LOG, GPA, PAGE, HVA)

    vm.read(GPA, 1)
    vm.check()
    assert dirty(vm) == pages


def test_a_load_through_readonly_memory_never_marks():
    vm = SimVm()
    vm.memory(HVA, PAGE)
    vm.set_user_memory_region(1, LOG | int(MemFlag.READONLY), GPA, PAGE, HVA)

    assert vm.read(GPA, 1).reason == "done"
    assert vm.write(GPA, b"!").reason == "mmio"
    vm.check()
    assert dirty(vm) == []


def test_a_load_before_the_store_does_not_hide_it():
    vm = a_vm()
    vm.read(GPA, 1)
    write(vm, 0)

    assert dirty(vm) == [0]


def test_address_spaces_have_bitmaps_of_their_own():
    vm = a_vm()
    vm.set_user_memory_region(0x10001, LOG, GPA, SIZE, HVA)
    write(vm, 1)
    write(vm, 2, as_id=1)

    assert dirty(vm) == [1]
    assert dirty(vm, 0x10001) == [2]
    write(vm, 1)
    assert dirty(vm) == [1]


def test_get_protects_only_dirty_pages():
    vm = a_vm()
    vm.set_user_memory_region(1, 0, GPA, SIZE, HVA)
    vm.set_user_memory_region(2, LOG, 0, PAGE, HVA)
    for page in (3, 4):
        write(vm, page)
    vm.set_user_memory_region(1, LOG, GPA, SIZE, HVA)
    vm.write(0, b"!")
    write(vm, 3)

    assert dirty(vm) == [3]
    assert vm._state.mmu.mapped == {(0, 0x103): False, (0, 0x104): False, (0, 0): True}


def test_get_protects_each_page_so_that_its_next_write_is_seen():
    vm, pages = a_vm(), [0, 9, 63, 64, 129]
    for _ in range(2):
        for page in pages:
            write(vm, page)
        assert dirty(vm) == pages

    assert set(vm._state.mmu.mapped.values()) == {False}


def test_get_protects_up_to_the_next_slot():
    vm = a_vm(flags=0)
    vm.set_user_memory_region(2, LOG, 0, 64 * PAGE, HVA)
    vm.set_user_memory_region(3, LOG, 64 * PAGE, PAGE, HVA)
    for page in (63, 64):
        vm.write(page * PAGE, b"!")

    assert dirty(vm, 2) == [63]
    assert vm._state.mmu.mapped == {(0, 63): False, (0, 64): True}


def test_clear_protects_only_what_it_cleared():
    vm = a_vm()
    for page in (3, 4, 64, 65):
        write(vm, page)
    vm.clear_dirty_log(1, 64, 64, bitmap(1, 2))

    mapped = vm._state.mmu.mapped
    assert [gfn for (_, gfn), writable in mapped.items() if not writable] == [0x100 + 65]
    assert dirty(vm) == [3, 4, 64]


def test_clear_from_the_middle_leaves_the_rest():
    vm = a_vm()
    for page in range(PAGES):
        write(vm, page, EMULATED)
    vm.clear_dirty_log(1, 64, 64, bitmap(*range(64)))

    assert dirty(vm) == [*range(64), 128, 129]


def test_a_short_bitmap_counts_as_zero_beyond_its_end():
    vm = a_vm()
    write(vm, 3)
    write(vm, 64)
    vm.clear_dirty_log(1, 0, 128, b"\xff")

    assert dirty(vm) == [64]


def test_bits_beyond_the_range_are_not_cleared():
    vm = a_vm()
    write(vm, 70)
    vm.clear_dirty_log(1, 0, 64, bitmap(70))

    assert dirty(vm) == [70]


@pytest.mark.parametrize(
    ("first", "count", "rule"),
    [
        (0, 64, None),
        (0, 128, None),
        (0, 130, None),
        (64, 66, None),
        (128, 2, None),
        (128, 0, None),
        (0, 0, None),
        (0, 129, "clear-count-aligned"),
        (0, 63, "clear-count-aligned"),
        (64, 65, "clear-count-aligned"),
        (128, 1, "clear-count-aligned"),
        (0, 131, "clear-range"),
        (0, 192, "clear-range"),
        (64, 67, "clear-range"),
        (192, 0, "clear-range"),
        (1, 129, "clear-first-aligned"),
        (63, 64, "clear-first-aligned"),
        (65, 64, "clear-first-aligned"),
    ],
)
def test_clear_takes_whole_words_or_the_end(first, count, rule):
    vm = a_vm()
    write(vm, 5)

    if rule is None:
        vm.clear_dirty_log(1, first, count, bytes(24))
    else:
        assert refused(vm.clear_dirty_log, 1, first, count, bytes(24)).endswith(f"; rule {rule}")
    assert dirty(vm) == [5]


def test_a_slot_of_whole_words_has_no_ragged_end():
    vm = a_vm()
    vm.set_user_memory_region(2, LOG, 0, 128 * PAGE, HVA)
    vm.clear_dirty_log(2, 128, 0, b"")

    assert refused(vm.clear_dirty_log, 2, 128, 64, bytes(8)).endswith("rule clear-range")


def test_texts_name_every_field():
    vm = a_vm()

    assert refused(vm.get_dirty_log, 9) == (
        "[Errno 2] KVM_GET_DIRTY_LOG: ENOENT (No such file or directory) slot=0x9; rule log-absent"
    )
    assert refused(vm.clear_dirty_log, 1, 1, 64, b"") == (
        "[Errno 22] KVM_CLEAR_DIRTY_LOG: EINVAL (Invalid argument) slot=0x1 first_page=0x1 "
        "num_pages=0x40; rule clear-first-aligned"
    )
    assert refused(vm.reset_dirty_rings) == (
        "[Errno 22] KVM_RESET_DIRTY_RINGS: EINVAL (Invalid argument); rule reset-without-ring"
    )


@pytest.mark.parametrize(
    ("slot", "rule"),
    [
        (32763, "log-absent"),
        (32764, "log-slot-id"),
        (0x10001, "log-absent"),
        (0x20001, "log-slot-id"),
    ],
)
def test_ids_are_checked_before_slots(slot, rule):
    vm = a_vm()

    assert refused(vm.get_dirty_log, slot).endswith(f"rule {rule}")
    assert refused(vm.clear_dirty_log, slot, 0, 64, bytes(8)).endswith(f"rule {rule}")


def test_initially_set_sets_every_page_and_protects_none():
    vm = a_vm(flags=0)
    write(vm, 3)
    vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, 3)
    vm.set_user_memory_region(1, LOG, GPA, SIZE, HVA)

    assert dirty(vm) == list(range(PAGES))
    assert vm._state.mmu.mapped[0, 0x103] is True
    vm.clear_dirty_log(1, 0, 64, bitmap(3))
    write(vm, 3)
    assert dirty(vm) == list(range(PAGES))


def test_initially_set_fills_whole_words_exactly():
    vm = a_vm()
    vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, 3)
    vm.set_user_memory_region(2, LOG, 0, 64 * PAGE, HVA)

    assert vm.get_dirty_log(2) == b"\xff" * 8


def test_manual_without_initially_set_starts_empty():
    vm = a_vm(flags=0)
    vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, 1)
    write(vm, 3)
    vm.set_user_memory_region(1, LOG, GPA, SIZE, HVA)
    write(vm, 3)

    assert dirty(vm) == [3] == dirty(vm)


class TestRing:
    def test_entries_name_slot_and_offset_with_the_address_space(self):
        vm = a_vm(ring=0x1000)
        vm.set_user_memory_region(0x10001, LOG, GPA, SIZE, HVA)
        write(vm, 5)
        write(vm, 6, as_id=1)

        assert vm.reap_dirty_ring() == [(1, 5), (0x10001, 6)]

    def test_a_slot_without_the_flag_pushes_nothing(self):
        vm = a_vm(ring=0x1000, flags=0)
        write(vm, 5)
        write(vm, 5, EMULATED)

        assert vm.reap_dirty_ring() == []

    def test_an_emulated_write_pushes_each_time(self):
        vm = a_vm(ring=0x1000)
        write(vm, 5, EMULATED)
        write(vm, 5, EMULATED)

        assert vm.reap_dirty_ring() == [(1, 5), (1, 5)]

    @pytest.mark.parametrize(("manual", "seen"), [(0, [5, 6]), (1, [5, 6]), (3, [6])])
    def test_enabling_the_flag_protects_but_under_initially_set(self, manual, seen):
        vm = a_vm(ring=0x1000, flags=0)
        vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, manual)
        write(vm, 5)
        vm.set_user_memory_region(1, LOG, GPA, SIZE, HVA)
        write(vm, 5)
        write(vm, 6)

        assert vm.reap_dirty_ring() == [(1, page) for page in seen]

    @pytest.mark.parametrize(
        ("stale", "pages", "seen"),
        [
            ([0, 5], 1, []),
            ([0, 5], 5, []),
            ([0, 5], 6, [0]),
            ([5], 1, []),
            ([63], 1, []),
            ([64], 1, [0]),
            ([0, 63], 63, []),
            ([0, 63], 64, [0]),
        ],
    )
    def test_one_stale_entry_beyond_the_slot_keeps_its_batch_unprotected(self, stale, pages, seen):
        vm = a_vm(ring=0x1000)
        for page in stale:
            write(vm, page)
        vm.set_user_memory_region(1, 0, 0, 0, 0)
        vm.set_user_memory_region(1, LOG, GPA, pages * PAGE, HVA)
        write(vm, 0)
        vm.reap_dirty_ring()
        assert vm.reset_dirty_rings() == len(stale) + 1
        write(vm, 0)

        assert vm.reap_dirty_ring() == [(1, page) for page in seen]

    def test_a_reset_protects_the_page_that_now_has_the_offset(self):
        vm = a_vm(ring=0x1000)
        write(vm, 5)
        vm.reap_dirty_ring()
        vm.set_user_memory_region(1, 0, 0, 0, 0)
        vm.set_user_memory_region(1, LOG, 2 * GPA, SIZE, HVA)
        vm.write(2 * GPA + 5 * PAGE, b"!")
        vm.write(2 * GPA + 6 * PAGE, b"!")

        # The old entry, taken for the new slot's, protects a page whose own entry is not reset.
        assert vm.reset_dirty_rings() == 1
        assert vm._state.mmu.mapped == {(0, 0x205): False, (0, 0x206): True}

    @pytest.mark.parametrize("pages", [5, 6])
    def test_a_reset_skips_offsets_beyond_the_slot(self, pages):
        vm = a_vm(ring=0x1000)
        write(vm, 5)
        vm.reap_dirty_ring()
        vm.set_user_memory_region(1, 0, 0, 0, 0)
        vm.set_user_memory_region(1, LOG, GPA, pages * PAGE, HVA)
        vm.set_user_memory_region(2, LOG, GPA + pages * PAGE, PAGE, HVA)
        write(vm, 5)

        assert vm.reset_dirty_rings() == 1
        assert vm._state.mmu.mapped[0, 0x105] is (pages == 5)

    def test_without_a_ring_nothing_is_harvested(self):
        assert a_vm().reap_dirty_ring() == []

    def fill(self, vm, count):
        for n in range(count):
            write(vm, n % 128, EMULATED if n >= 128 else NATIVE)

    def test_the_native_write_that_fills_it_is_not_made_yet(self):
        vm = a_vm(ring=0x1000)
        self.fill(vm, 190)
        write(vm, 128)

        # Entry 192 of 256 less 64.
        assert vm.write(GPA + 129 * PAGE, b"!").reason == "dirty_ring_full"
        assert bytes(vm.memory(HVA + 129 * PAGE, 1)) == b"\0"
        assert len(vm.reap_dirty_ring()) == 192

    def test_the_emulated_write_that_fills_it_is_made(self):
        vm = a_vm(ring=0x1000)
        self.fill(vm, 191)
        seen = vm.write(GPA + SIZE - 1, b"!?", context=EMULATED)

        assert seen.reason == "dirty_ring_full"
        assert [(f.gpa, f.data) for f in seen.fragments] == [(GPA + SIZE, b"?")]
        assert bytes(vm.memory(HVA + SIZE - 1, 1)) == b"!"

    def test_a_full_ring_stops_every_access_until_the_reset(self):
        vm = a_vm(ring=0x1000)
        vm.memory(HVA, 2)[:] = FETCH_STUB
        self.fill(vm, 191)
        vm.write(GPA + 129 * PAGE, b"!")

        accesses = [
            lambda: vm.read(GPA, 1),
            lambda: vm.write(GPA, b"!", context=EMULATED),
            lambda: vm.fetch(GPA),
        ]
        assert [access().reason for access in accesses] == ["dirty_ring_full"] * 3
        vm.reap_dirty_ring()
        assert vm.read(GPA, 1).reason == "dirty_ring_full"
        assert vm.reset_dirty_rings() == 192
        assert vm.read(GPA, 1).reason == "done"

    def test_a_processor_with_its_own_buffer_keeps_more_free(self):
        vm = SimVm(policy=HostPolicy(ring_reserved_entries=576))

        assert refused(vm.enable_cap, Cap.DIRTY_LOG_RING, 0x2000).endswith("rule ring-smallest")
        vm.enable_cap(Cap.DIRTY_LOG_RING, 0x4000)
        assert vm._state.ring.soft_limit == 1024 - 576
