"""Slots and address spaces: who answers at a guest frame number.

Ranges are half-open. A slot never changes: an update replaces it, as the kernel does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sortedcontainers import SortedDict

from ..uapi import AS_ID_SHIFT, PAGE_SHIFT, MemFlag

_LOG = int(MemFlag.LOG_DIRTY_PAGES)
_READONLY = int(MemFlag.READONLY)
_GUEST_MEMFD = int(MemFlag.GUEST_MEMFD)


class Slot(NamedTuple):
    """One memslot: guest frames [base_gfn, end_gfn) backed by host memory from ``hva`` on.

    ``bitmap`` is the dirty bitmap, shared with the slot's successor when an update keeps it;
    ``gmem_fd`` and ``gmem_page`` say where in a guest_memfd the slot is bound (fd 0: nowhere).
    """

    as_id: int
    id: int
    base_gfn: int
    npages: int
    hva: int
    flags: int
    bitmap: bytearray | None = None
    gmem_fd: int = 0
    gmem_page: int = 0

    @property
    def end_gfn(self) -> int:
        """The first frame behind the slot."""
        return self.base_gfn + self.npages

    @property
    def number(self) -> int:
        """The slot as ioctls name it: address space in bits 31:16, id below."""
        return self.as_id << AS_ID_SHIFT | self.id

    @property
    def logging(self) -> bool:
        """Whether writes are tracked."""
        return bool(self.flags & _LOG)

    @property
    def readonly(self) -> bool:
        """Whether a guest's write goes to userspace instead of memory."""
        return bool(self.flags & _READONLY)

    @property
    def immutable(self) -> bool:
        """Whether the slot is bound to a guest_memfd, so that it can only be deleted."""
        return bool(self.flags & _GUEST_MEMFD)

    def covers(self, place: tuple[int, int]) -> bool:
        """Whether an (as_id, gfn) is one of this slot's frames."""
        as_id, gfn = place
        return as_id == self.as_id and self.base_gfn <= gfn < self.end_gfn

    def hva_of(self, gfn: int) -> int:
        """Return the host address of a frame of this slot."""
        return self.hva + ((gfn - self.base_gfn) << PAGE_SHIFT)


class AddressSpace:
    """The slots of one address space, by id and in order of guest frame number.

    ``generation`` starts at the address space's number and advances by the number of address
    spaces at each swap of the kernel's two sets, so that a value names its address space.

    Source: Linux 6.18, include/linux/kvm_host.h struct kvm_memslots; virt/kvm/kvm_main.c
    kvm_swap_active_memslots().
    """

    __slots__ = ("_by_gfn", "_by_id", "as_id", "generation", "generation_step")

    def __init__(self, as_id: int, generation_step: int) -> None:
        self.as_id = as_id
        self.generation = as_id
        self.generation_step = generation_step
        self._by_id: dict[int, Slot] = {}
        self._by_gfn = SortedDict()

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._by_gfn.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, slot_id: int) -> Slot | None:
        """Return the slot of that id."""
        return self._by_id.get(slot_id)

    def find(self, gfn: int) -> Slot | None:
        """Return the slot that answers at a guest frame number, or None in a hole.

        >>> space = AddressSpace(0, 1)
        >>> space.replace(None, Slot(0, 5, base_gfn=16, npages=2, hva=0x7000, flags=0))
        >>> space.find(17).id, space.find(18)
        (5, None)
        """
        slot = self._last_from(gfn)
        return slot if slot is not None and gfn < slot.end_gfn else None

    def overlapping(self, base_gfn: int, npages: int, but_id: int) -> Slot | None:
        """Return the highest slot other than ``but_id`` with a frame in the range, if any."""
        slot = self._last_from(base_gfn + npages - 1)
        if slot is not None and slot.id == but_id:
            # Slots never overlap, so the only other candidate is the one right below.
            slot = self._last_from(slot.base_gfn - 1)
        return slot if slot is not None and base_gfn < slot.end_gfn else None

    def replace(self, old: Slot | None, new: Slot | None) -> None:
        """Put ``new`` in the place of ``old``: create without an old one, delete without a new."""
        if old is not None:
            del self._by_gfn[old.base_gfn]
            del self._by_id[old.id]
        if new is not None:
            self._by_gfn[new.base_gfn] = new
            self._by_id[new.id] = new

    def swap(self, times: int) -> None:
        """Advance the generation as that many swaps of the kernel's two sets do."""
        self.generation += times * self.generation_step

    def _last_from(self, gfn: int) -> Slot | None:
        """Return the slot with the highest base at or below a frame."""
        i = self._by_gfn.bisect_right(gfn)
        return self._by_gfn.peekitem(i - 1)[1] if i else None

    def check(self) -> None:
        """Assert what always holds at rest; the kernel has no state that breaks it."""
        assert self.generation % self.generation_step == self.as_id
        assert sorted(slot.id for slot in self) == sorted(self._by_id)
        end = 0
        for base_gfn, slot in self._by_gfn.items():
            assert slot is self._by_id[slot.id]
            assert slot.base_gfn == base_gfn
            assert slot.as_id == self.as_id
            assert slot.npages > 0
            assert end <= slot.base_gfn, f"slot {slot.id} overlaps the slot below it"
            end = slot.end_gfn
