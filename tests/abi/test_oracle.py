"""Random calls against an oracle that knows pages only: who backs them, who wrote them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.abi import HostPolicy, SimVm
from memslotlib.errors import KvmError
from memslotlib.interface import Context
from memslotlib.uapi import MemFlag

PAGE, HVA = 0x1000, 0x2000_0000_0000
LOG, READONLY = int(MemFlag.LOG_DIRTY_PAGES), int(MemFlag.READONLY)
PAGES = 8


class PageOracle:
    """A page table per address space: gfn to (slot, page of the slot), and facts per slot."""

    def __init__(self):
        self.slots = {}
        self.memory = {}

    def owner(self, as_id, gfn):
        for number, (base, npages, hva, flags, dirty) in self.slots.items():
            if number >> 16 == as_id and base <= gfn < base + npages:
                return number, gfn - base, hva + gfn - base, flags, dirty
        return None

    def set(self, number, flags, base, npages, hva):
        """Return whether the call succeeds."""
        old = self.slots.get(number)
        if npages == 0:
            return self.slots.pop(number, None) is not None
        if old and (old[1] != npages or old[2] != hva or (old[3] ^ flags) & READONLY):
            return False
        for gfn in range(base, base + npages):
            owner = self.owner(number >> 16, gfn)
            if owner and owner[0] != number:
                return False
        dirty = old[4] if old and old[3] & flags & LOG else set()
        self.slots[number] = (base, npages, hva, flags, dirty)
        return True

    def write(self, as_id, gfn, value):
        owner = self.owner(as_id, gfn)
        if owner is None or owner[3] & READONLY:
            return "mmio"
        self.memory[owner[2]] = value
        if owner[3] & LOG:
            owner[4].add(owner[1])
        return "done"

    def read(self, as_id, gfn):
        owner = self.owner(as_id, gfn)
        return 0xFF if owner is None else self.memory.get(owner[2], 0)


numbers = st.builds(lambda as_id, slot: as_id << 16 | slot, st.integers(0, 1), st.integers(0, 2))
regions = st.tuples(
    st.just("set"),
    numbers,
    st.sampled_from([0, LOG, READONLY, LOG | READONLY]),
    st.integers(0, PAGES - 1),
    st.integers(0, 3),
    st.integers(0, 2),
)
writes = st.tuples(
    st.just("write"), st.integers(0, 1), st.integers(0, PAGES), st.integers(1, 255),
    st.sampled_from(Context),
)  # fmt: skip
steps = st.lists(
    regions | writes | st.tuples(st.just("get"), numbers) | st.tuples(st.just("clear"), numbers),
    max_size=40,
)


def took(call, *arguments):
    try:
        call(*arguments)
    except KvmError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([HostPolicy(reads_mark_dirty=False), HostPolicy.kvm_pvm()]))
def test_the_simulator_agrees_with_a_page_table(run, policy):
    vm, oracle = SimVm(2, policy), PageOracle()
    vm.memory(HVA, 16 * PAGE)
    for kind, *arguments in run:
        if kind == "set":
            number, flags, base, npages, hva = arguments
            region = (number, flags, base * PAGE, npages * PAGE, HVA + hva * PAGE)
            before = vm.generation(number >> 16)
            done = took(vm.set_user_memory_region, *region)
            assert done == oracle.set(*arguments)
            assert done or vm.generation(number >> 16) == before
        elif kind == "write":
            as_id, gfn, value, context = arguments
            seen = vm.write(gfn * PAGE, bytes([value]), context=context, as_id=as_id)
            assert seen.reason == oracle.write(as_id, gfn, value)
        else:
            harvest(vm, oracle, *arguments, clear=kind == "clear")
        vm.check()
    for as_id in (0, 1):
        for gfn in range(PAGES + 3):
            assert vm.read(gfn * PAGE, 1, as_id=as_id).data[0] == oracle.read(as_id, gfn)


def harvest(vm, oracle, number, clear):
    slot = oracle.slots.get(number)
    if slot is None or not slot[3] & LOG:
        assert not took(vm.get_dirty_log, number)
        assert not took(vm.clear_dirty_log, number, 0, 0, b"")
        return
    if clear:
        vm.clear_dirty_log(number, 0, slot[1], b"\x05" + bytes(7))
        slot[4].difference_update({0, 2})
    log = int.from_bytes(vm.get_dirty_log(number), "little")
    assert {page for page in range(64) if log >> page & 1} == slot[4]
    slot[4].clear()
