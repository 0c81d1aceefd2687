"""The dirty ring of a vCPU: entries (slot, page offset) from the kernel to userspace and back.

An entry names a slot by its number only. Nothing purges a ring when a slot is deleted or moved, so
an entry may outlive its slot, and then names whichever slot has taken the number.
"""

from __future__ import annotations

from itertools import islice

Entry = tuple[int, int]


class DirtyRing:
    """One ring: pushed by the kernel, harvested by userspace, reset by the kernel.

    Source: Linux 6.18, virt/kvm/dirty_ring.c.

    >>> ring = DirtyRing(entries=256, reserved=64)
    >>> ring.push(5, 0); ring.push(5, 9)
    >>> ring.harvest(), ring.harvest()
    ([(5, 0), (5, 9)], [])
    >>> ring.reset()
    [(5, 0), (5, 9)]
    """

    __slots__ = ("_harvested", "_used", "size", "soft_limit")

    def __init__(self, entries: int, reserved: int) -> None:
        self.size = entries
        self.soft_limit = entries - reserved
        self._used: list[Entry] = []
        self._harvested = 0

    def __len__(self) -> int:
        """Entries that the kernel has not taken back, harvested ones included."""
        return len(self._used)

    @property
    def soft_full(self) -> bool:
        """Whether the vCPU must exit with KVM_EXIT_DIRTY_RING_FULL before it enters the guest."""
        return len(self._used) >= self.soft_limit

    def push(self, slot_number: int, offset: int) -> None:
        """Append an entry; a full ring drops it, as the kernel does with a warning."""
        if len(self._used) < self.size:
            self._used.append((slot_number, offset))

    def harvest(self) -> list[Entry]:
        """Return the entries pushed since the last harvest and mark them for reset."""
        fresh = list(islice(self._used, self._harvested, None))
        self._harvested = len(self._used)
        return fresh

    def reset(self) -> list[Entry]:
        """Take the harvested entries back and return them."""
        taken = self._used[: self._harvested]
        del self._used[: self._harvested]
        self._harvested = 0
        return taken
