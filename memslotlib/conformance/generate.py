"""Random calls to ask two backends: few slots, addresses and sizes, so that calls meet each other.

A third of the memslot calls have one field spoilt, so that every rule is broken often.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from ..interface import FETCH_STUB, Context, Vm
from ..uapi import (
    AS_ID_SHIFT,
    MEM_MAX_NR_PAGES,
    MEM_SLOTS_NUM,
    PAGE_SIZE,
    U64_MAX,
    USER_MEM_SLOTS,
    Cap,
    ManualProtect,
    MemFlag,
)
from .differential import GPA, HVA, PAGES, Made, Operation, Pair

#: How many calls one pair of VMs answers before a fresh pair takes over.
CALLS_A_PAIR = 400

MakeVm = Callable[[], AbstractContextManager[Vm]]


def random_run(
    make_simulator: MakeVm,
    make_other: MakeVm,
    operations: int,
    seed: int,
    *,
    guest_memfd: bool = True,
) -> Counter[str]:
    """Ask both backends the same ``operations`` random calls and return what was covered.

    The calls depend on ``seed`` alone, and on whether slots may be bound to a guest_memfd. Every
    third pair of VMs tracks dirty pages by ring.

    Raises MismatchError, with the calls that lead there, as soon as the two disagree.
    """
    coverage: Counter[str] = Counter()
    number = 0
    while coverage["calls"] < operations:
        rng = random.Random(f"{seed}/{number}")
        generator = Generator(rng, dirty_ring=number % 3 == 2, guest_memfd=guest_memfd)
        with make_simulator() as simulator, make_other() as other:
            pair = Pair(simulator, other)
            for operation in generator.calls(CALLS_A_PAIR):
                pair.step(operation)
            pair.compare_memory()
        coverage["calls"] += len(pair.history)
        coverage.update(pair.coverage)
        number += 1
    return coverage


#: A range of userspace that nothing is mapped at.
UNMAPPED_HVA = 0x2100_0000_0000
#: The second address space's first slot, where there is one.
OTHER_SPACE = 1 << AS_ID_SHIFT
SLOTS = (0, 1, 2, 3)
#: Where in a page a fetch may find its stub: stores leave these bytes alone.
CODE_OFFSETS = frozenset({0, 1, 0x800, 0x801, PAGE_SIZE - 2, PAGE_SIZE - 1})
#: The smallest ring that a processor with page-modification logging accepts, too.
RING_SIZE_BYTES = 0x4000
#: A good size (twice, and above 32 bits), then one for each way to be a bad one.
RING_SIZES_BYTES = (
    RING_SIZE_BYTES,
    RING_SIZE_BYTES,
    1 << 32 | RING_SIZE_BYTES,
    0,
    3000,
    1 << 33,
    2048,
    1 << 21,
)
LOG = int(MemFlag.LOG_DIRTY_PAGES)
READONLY = int(MemFlag.READONLY)
GUEST_MEMFD = int(MemFlag.GUEST_MEMFD)
#: A number that no process here has as a descriptor, and one that is open but no guest_memfd.
NO_FD = (1 << 31) - 1
NOT_A_GMEM = 0
#: A capability that no kernel has.
NO_CAP = 9999
#: The capabilities that both backends must answer alike; others say what is not modelled.
COMPARED_CAPS = (
    Cap.USER_MEMORY,
    Cap.NR_MEMSLOTS,
    Cap.READONLY_MEM,
    Cap.X86_SMM,
    Cap.MULTI_ADDRESS_SPACE,
    Cap.MANUAL_DIRTY_LOG_PROTECT2,
    Cap.DIRTY_LOG_RING,
    Cap.EXIT_ON_EMULATION_FAILURE,
    Cap.DISABLE_QUIRKS2,
    Cap.DIRTY_LOG_RING_ACQ_REL,
    Cap.DIRTY_LOG_RING_WITH_BITMAP,
    Cap.USER_MEMORY2,
    Cap.MEMORY_FAULT_INFO,
    Cap.GUEST_MEMFD,
    Cap.GUEST_MEMFD_FLAGS,
)
INITIALLY_SET = int(ManualProtect.ENABLE | ManualProtect.INITIALLY_SET)
#: guest_memfds have pages, slots and guest addresses of their own.
GMEM_PAGES = 4
GMEMS_MAX = 3
GMEM_SLOTS = (8, 9)
GMEM_GPA = 0x2000_0000


class Generator:
    """Draws operations from a :class:`random.Random`, which Hypothesis may supply.

    It remembers what it created, so that moves, resizes and re-creations aim at slots that exist;
    it never looks at a backend, so the same seed gives the same calls everywhere. With
    ``dirty_ring`` the accesses stay few, so that the ring does not fill; without ``guest_memfd``
    none is made, for hosts whose VMs do not bind slots to one.
    """

    def __init__(
        self, rng: random.Random, *, dirty_ring: bool = False, guest_memfd: bool = True
    ) -> None:
        self.rng = rng
        self.dirty_ring = dirty_ring
        self.regions: dict[int, tuple[int, int, int, int]] = {}
        self.gmems = 0
        self._choices = (
            [self.region] * 8 + [self.access] * 6 + [self.get_log] * 3 + [self.clear_log] * 4
        )
        self._choices += [self.poke, self.region2, self.region2, self.capability, self.capability]
        self._choices += [self.check_capability, self.log_later, self.recreate_smaller]
        self._choices += [self.create_gmem, *[self.bind_gmem] * 4] if guest_memfd else []
        self._choices += [self.reap] * 3 if dirty_ring else [self.reset_without_ring]

    def preamble(self) -> Iterator[Operation]:
        """Yield the calls that have to come before the first vCPU."""
        if self.dirty_ring:
            yield Operation("enable_cap", (int(Cap.DIRTY_LOG_RING), RING_SIZE_BYTES))

    def calls(self, count: int) -> Iterator[Operation]:
        """Yield the preamble and then at least ``count`` operations."""
        yield from self.preamble()
        for _ in range(count):
            yield from self.next()

    def next(self) -> list[Operation]:
        """Return one operation, or two that belong together."""
        return self.rng.choice(self._choices)()

    def region(self) -> list[Operation]:
        """A create, delete, move, change of flags or no-op, or one of them spoilt."""
        slot = self.rng.choice(SLOTS)
        fields = self._fields(slot)
        if self.rng.random() < 0.35:
            fields = self._spoilt(*fields)
        else:
            self._remember(*fields)
        return [Operation("set_user_memory_region", fields)]

    def region2(self) -> list[Operation]:
        """The same by the second ioctl, whose flags and trailing fields have rules of their own."""
        slot, flags, gpa, size, hva = self._fields(self.rng.choice(SLOTS))
        kind = self.rng.randrange(4)
        if kind == 0:
            self._remember(slot, flags, gpa, size, hva)
            return [Operation("set_user_memory_region2", (slot, flags, gpa, size, hva, 0, 0))]
        if kind == 1:
            bad = self.rng.choice([1 << 3, 1 << 16, GUEST_MEMFD | LOG, GUEST_MEMFD | READONLY])
            return [Operation("set_user_memory_region2", (slot, bad, gpa, size, hva, 0, 0))]
        if kind == 2:
            # A descriptor that is none: the rules before the binding decide, then EBADF.
            offset = self.rng.choice([0, PAGE_SIZE, 1, U64_MAX - PAGE_SIZE + 1])
            size = size or PAGE_SIZE
            fields = (slot, GUEST_MEMFD, gpa, size, hva, offset, NO_FD)
            return [Operation("set_user_memory_region2", fields)]
        spoilt = self._spoilt(slot, flags, gpa, size, hva)
        return [Operation("set_user_memory_region2", (*spoilt, 0, 0))]

    def access(self) -> list[Operation]:
        """A load, store or fetch, in any context, sometimes across a page boundary."""
        context = self.rng.choice(list(Context))
        gpa = self._gpa()
        method = self.rng.choice(("read", "write", "fetch"))
        if method == "fetch":
            # Two bytes; the odd offset puts the second one into the next page.
            offset = self.rng.choice([0, 0, 0x800, PAGE_SIZE - 2, PAGE_SIZE - 1])
            return [Operation("fetch", (gpa + offset,), context)]
        size = self.rng.choice((1, 2, 4, 8))
        offset = self.rng.choice([0, 8, 0x100, PAGE_SIZE - size, PAGE_SIZE - size // 2])
        if method == "read":
            return [Operation("read", (gpa + offset, size), context)]
        data = self._bytes(offset, size)
        return [Operation("write", (gpa + offset, data), context)]

    def get_log(self) -> list[Operation]:
        """KVM_GET_DIRTY_LOG of a slot that may exist, log or have a valid number."""
        return [Operation("get_dirty_log", (self._slot(),))]

    def clear_log(self) -> list[Operation]:
        """KVM_CLEAR_DIRTY_LOG, in range or out of it."""
        slot = self._slot()
        npages = self.regions.get(slot, (0, GPA, PAGE_SIZE, HVA))[2] // PAGE_SIZE
        first = self.rng.choice([0, 0, 0, 0, 0, 64, 1, npages])
        count = self.rng.choice([npages, npages, 64, 1, 1, npages - 1, npages + 1, 0])
        bitmap = self.rng.randbytes((count + 63) // 64 * 8)
        return [Operation("clear_dirty_log", (slot, first, count, bitmap))]

    def poke(self) -> list[Operation]:
        """A change of memory by the host, which no dirty log records."""
        at = self.rng.randrange(PAGES * PAGE_SIZE - 8)
        return [Operation("poke", (HVA + at, self._bytes(at, 8)))]

    def capability(self) -> list[Operation]:
        """KVM_ENABLE_CAP: the manual dirty log with good and bad arguments, the ring too late."""
        kind = self.rng.randrange(12)
        if kind < 5:
            cap = self.rng.choice([Cap.DIRTY_LOG_RING, Cap.DIRTY_LOG_RING_ACQ_REL])
            return [Operation("enable_cap", (int(cap), self.rng.choice(RING_SIZES_BYTES)))]
        if kind < 8:
            # Refused only: taken, these change what every later call comes to.
            bad = [
                (int(Cap.EXIT_ON_EMULATION_FAILURE), 2),
                (int(Cap.DISABLE_QUIRKS2), 1 << 60),
                (NO_CAP, 0),
            ]
            return [Operation("enable_cap", self.rng.choice(bad))]
        # With a ring, INITIALLY_SET is for log_later alone.
        argument = self.rng.choice([0, 0, 1, 1, 1 if self.dirty_ring else INITIALLY_SET, 2, 4])
        return [Operation("enable_cap", (int(Cap.MANUAL_DIRTY_LOG_PROTECT2), argument))]

    def check_capability(self) -> list[Operation]:
        """KVM_CHECK_EXTENSION of a capability that is modelled."""
        return [Operation("check_extension", (int(self.rng.choice(COMPARED_CAPS)),))]

    def log_later(self) -> list[Operation]:
        """A slot that is written natively before its logging starts, under INITIALLY_SET or not.

        What is written again is seen only if the start of logging protected the page. Only pages
        that were written before are, and the slot goes in the end: shadow paging may have mapped
        others ahead, as the host's memory allows, and what they mark no simulator can tell.
        """
        slot, gpa, size, hva = self._roomy()
        protect = Operation(
            "enable_cap",
            (int(Cap.MANUAL_DIRTY_LOG_PROTECT2), self.rng.choice([0, INITIALLY_SET])),
        )
        again = self._stores(gpa, size)
        return [
            protect,
            *self._replaced(slot, 0, gpa, size, hva),
            *again,
            *self._set(slot, LOG, gpa, size, hva),
            *again,
            *self._harvest(slot),
            *self._set(slot, 0, 0, 0, 0),
            Operation("enable_cap", (int(Cap.MANUAL_DIRTY_LOG_PROTECT2), 0)),
        ]

    def recreate_smaller(self) -> list[Operation]:
        """A slot that leaves what it logged to a smaller one of its number.

        A ring keeps the old entries: what their reset protects shows in the next harvest.
        """
        slot, gpa, size, hva = self._roomy()
        less = self.rng.randrange(1, size // PAGE_SIZE) * PAGE_SIZE
        return [
            *self._replaced(slot, LOG, gpa, size, hva),
            *self._stores(gpa, size),
            *self._replaced(slot, LOG, gpa, less, hva),
            *self._stores(gpa, less),
            *self._harvest(slot),
            *self._stores(gpa, less),
            *self._harvest(slot),
            *self._set(slot, 0, 0, 0, 0),
        ]

    def create_gmem(self) -> list[Operation]:
        """KVM_CREATE_GUEST_MEMFD, at most a few that succeed."""
        bad = [(PAGE_SIZE + 1, 0), (0, 0), (U64_MAX - PAGE_SIZE + 1, 0), (PAGE_SIZE, 1 << 62)]
        if self.gmems >= GMEMS_MAX or self.rng.random() < 0.5:
            return [Operation("create_guest_memfd", self.rng.choice(bad))]
        self.gmems += 1
        return [Operation("create_guest_memfd", (GMEM_PAGES * PAGE_SIZE, 0))]

    def bind_gmem(self) -> list[Operation]:
        """A slot bound to a guest_memfd: in its range or beyond, free or taken, or to no such file.

        Slots of their own numbers, away from the other ranges: what a guest finds in such memory is
        for the table of cases.
        """
        rng = self.rng
        slot = rng.choice(GMEM_SLOTS)
        if not self.gmems or rng.random() < 0.2:
            fields = (slot, GUEST_MEMFD, GMEM_GPA, PAGE_SIZE, HVA, 0, NOT_A_GMEM)
            return [Operation("set_user_memory_region2", fields)]
        gpa = GMEM_GPA + rng.randrange(4) * GMEM_PAGES * PAGE_SIZE
        pages, offset = rng.randrange(1, 3), rng.randrange(GMEM_PAGES + 1) * PAGE_SIZE
        bound = (
            slot,
            GUEST_MEMFD,
            gpa,
            pages * PAGE_SIZE,
            HVA,
            offset,
            Made(rng.randrange(self.gmems)),
        )
        unbound = (slot, 0, gpa, pages * PAGE_SIZE, HVA, 0, 0)
        delete = (slot, 0, 0, 0, 0, 0, 0)
        kind = rng.randrange(6)
        if kind == 0:
            return [Operation("set_user_memory_region2", delete)]
        if kind == 1:
            # The slot again, as it is but for its flag.
            return [
                Operation("set_user_memory_region2", fields) for fields in (delete, bound, unbound)
            ]
        return [Operation("set_user_memory_region2", bound)]

    def reset_without_ring(self) -> list[Operation]:
        """KVM_RESET_DIRTY_RINGS of a VM that has none."""
        return [Operation("reset_dirty_rings")]

    def reap(self) -> list[Operation]:
        """Harvest the ring and have it reset, entries of vanished slots included."""
        return [Operation("reap_dirty_ring"), Operation("reset_dirty_rings")]

    def _roomy(self) -> tuple[int, int, int, int]:
        """Return a slot's number and the place of at least two pages of memory."""
        pages = self.rng.randrange(2, 5)
        gpa = GPA + self.rng.randrange(PAGES - 4) * PAGE_SIZE
        return self.rng.choice(SLOTS), gpa, pages * PAGE_SIZE, HVA

    def _set(self, *fields: int) -> list[Operation]:
        slot, flags, gpa, size, hva = fields
        self._remember(slot, flags, gpa, size, hva)
        return [Operation("set_user_memory_region", fields)]

    def _replaced(self, slot: int, *fields: int) -> list[Operation]:
        """Return the calls that put a slot in the place of the one of its number, if any."""
        return [*self._set(slot, 0, 0, 0, 0), *self._set(slot, *fields)]

    def _stores(self, gpa: int, size: int) -> list[Operation]:
        """Return native stores to some pages of a range."""
        pages = [n for n in range(size // PAGE_SIZE) if self.rng.random() < 0.7]
        self.rng.shuffle(pages)
        return [
            Operation("write", (gpa + n * PAGE_SIZE + 8, b"!"), Context.LONG64_CPL3) for n in pages
        ]

    def _harvest(self, slot: int) -> list[Operation]:
        return self.reap() if self.dirty_ring else [Operation("get_dirty_log", (slot,))]

    def _fields(self, slot: int) -> tuple[int, int, int, int, int]:
        rng = self.rng
        known = self.regions.get(slot)
        if known is None:
            flags = rng.choice([0, LOG, LOG, READONLY, LOG | READONLY])
            return slot, flags, self._gpa(), rng.randrange(5) * PAGE_SIZE, self._hva()
        flags, gpa, size, hva = known
        kind = rng.randrange(10)
        if kind < 3:
            return slot, 0, 0, 0, 0
        if kind < 6:
            return slot, flags ^ rng.choice([0, LOG]), self._gpa(), size, hva
        if kind < 9:
            return slot, flags ^ rng.choice([0, LOG, LOG]), gpa, size, hva
        return rng.choice(
            [
                (slot, flags ^ READONLY, gpa, size, hva),
                (slot, flags, gpa, size + PAGE_SIZE, hva),
                (slot, flags, gpa, size, hva + PAGE_SIZE),
            ]
        )

    def _spoilt(
        self, slot: int, flags: int, gpa: int, size: int, hva: int
    ) -> tuple[int, int, int, int, int]:
        rng = self.rng
        kind = rng.randrange(8)
        if kind == 0:
            high = [USER_MEM_SLOTS, MEM_SLOTS_NUM - 1, MEM_SLOTS_NUM, 0xFFFF]
            slot = rng.choice([*high, OTHER_SPACE, OTHER_SPACE | 1])
        elif kind == 1:
            flags = rng.choice([1 << 2, 1 << 3, 1 << 16, 1 << 31])
        elif kind == 2:
            size += rng.choice([1, 8, PAGE_SIZE - 1])
        elif kind == 3:
            gpa += rng.choice([1, 0x800])
        elif kind == 4:
            hva += rng.choice([1, 0x10])
        elif kind == 5:
            hva = rng.choice([(1 << 63) - PAGE_SIZE, U64_MAX - PAGE_SIZE + 1, 1 << 56])
        elif kind == 6:
            gpa = rng.choice([U64_MAX - PAGE_SIZE + 1, 1 << 63, 1 << 52])
            size = max(size, PAGE_SIZE) * rng.choice([1, 2])
        else:
            # As large as a slot may be and a page more: refused before anything is allocated.
            size = (MEM_MAX_NR_PAGES + 1) * PAGE_SIZE
            hva = PAGE_SIZE
        return slot, flags, gpa, size, hva

    def _remember(self, slot: int, flags: int, gpa: int, size: int, hva: int) -> None:
        if size:
            self.regions.setdefault(slot, (flags, gpa, size, hva))
            _, _, old_size, old_hva = self.regions[slot]
            if (old_size, old_hva) == (size, hva):
                self.regions[slot] = (flags, gpa, size, hva)
        else:
            self.regions.pop(slot, None)

    def _bytes(self, offset: int, size: int) -> bytes:
        """Return random bytes, but the stub's where a fetch may look."""
        made = bytearray(self.rng.randbytes(size))
        for i in range(size):
            if (offset + i) % PAGE_SIZE in CODE_OFFSETS:
                made[i] = FETCH_STUB[0]
        return bytes(made)

    def _slot(self) -> int:
        return self.rng.choice([*SLOTS * 3, USER_MEM_SLOTS, 0xFFFF, OTHER_SPACE])

    def _gpa(self) -> int:
        return GPA + self.rng.randrange(PAGES) * PAGE_SIZE

    def _hva(self) -> int:
        base = UNMAPPED_HVA if self.rng.random() < 0.05 else HVA
        return base + self.rng.randrange(PAGES - 4) * PAGE_SIZE
