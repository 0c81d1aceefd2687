"""The dirty ring of a vCPU: entries (slot, page offset) from the kernel to userspace and back.

An entry names a slot by its number only. Nothing purges a ring when a slot is deleted or moved, so
an entry may outlive its slot, and then names whichever slot has taken the number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

Entry = tuple[int, int]
#: Entries that are reset together: slot number, page offset, and a mask of the pages from there on.
Batch = tuple[int, int, int]

#: Pages of one batch: the bits of the kernel's mask.
BATCH_PAGES = 64


def batches(entries: Iterable[Entry]) -> Iterator[Batch]:
    """Yield harvested entries as the kernel resets them: neighbours of one slot at once.

    An entry joins the batch before it when it names the same slot and the mask still holds both; a
    page below the batch's first one shifts the mask. Whatever is decided of a batch is decided of
    all its pages.

    Source: Linux 6.18, virt/kvm/dirty_ring.c kvm_dirty_ring_reset().

    >>> [(slot, offset, bin(mask)) for slot, offset, mask in batches([(1, 5), (1, 9), (1, 4)])]
    [(1, 4, '0b100011')]
    >>> list(batches([(1, 0), (1, 64), (2, 0)]))
    [(1, 0, 1), (1, 64, 1), (2, 0, 1)]
    """
    slot = first = mask = 0
    for number, offset in entries:
        low, high = min(first, offset), max(first + mask.bit_length(), offset + 1)
        if mask and number == slot and high - low <= BATCH_PAGES:
            first, mask = low, mask << first - low | 1 << offset - low
        else:
            if mask:
                yield slot, first, mask
            slot, first, mask = number, offset, 1
    if mask:
        yield slot, first, mask


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
        """Append an entry.

        A full ring never gets here: no access is made at the soft limit. (The kernel would warn,
        and overwrite an entry that userspace has not harvested.)
        """
        assert len(self._used) < self.size, f"all {self.size} entries of the ring are used"
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
