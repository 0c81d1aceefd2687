"""What a slot has beside its dirty bitmap: its size, and what a re-slicing has to do with it."""

from __future__ import annotations

from dataclasses import dataclass

from memslotlib.uapi import PAGE_SHIFT
from memslotlib.views.tables import Table

#: Pages of a TiB, by the size of the page.
PAGES_OF_TIB = {"4K": 1 << 40 - PAGE_SHIFT, "2M": 1 << 40 - 21, "1G": 1 << 40 - 30}


@dataclass(frozen=True)
class Metadata:
    """One array of a slot: bits an entry and page size, when it is there, and what changes it.

    Source: Linux 6.12, arch/x86/kvm/x86.c kvm_alloc_memslot_metadata(); mmu/page_track.c.
    """

    name: str
    bits: int
    sizes: tuple[str, ...]
    when: str
    split: str
    merge: str
    truncate: str

    @property
    def size_bytes(self) -> int:
        """How many bytes a TiB of guest memory takes, in one address space."""
        return sum(self.bits * PAGES_OF_TIB[size] // 8 for size in self.sizes)


METADATA = (
    Metadata(
        "dirty bitmap",
        2,
        ("4K",),
        "the slot logs, and the VM has no ring",
        "a slice each: words where the cut is at 64 pages, else shifted",
        "joined, shifted unless the lower slot ends at 64 pages",
        "the last word is masked; the rest is handed to userspace",
    ),
    Metadata(
        "rmap",
        64,
        ("4K", "2M", "1G"),
        "shadow paging, or a shadow root was ever allocated",
        "entries of 4K are sliced; an entry of 2M or 1G that is cut must be empty: zap it first",
        "joined; the two entries of a page that was cut become one",
        "entries that go must be empty: zap and flush before they are freed",
    ),
    Metadata(
        "huge-page counts",
        32,
        ("2M", "1G"),
        "always",
        "counts of whole pages are sliced; a page that is cut is disallowed in both slots",
        "the count that the border made is taken back, what tracking made is kept",
        "as for split, at the new end",
    ),
    Metadata(
        "write tracking",
        16,
        ("4K",),
        "shadow paging, nested guests, KVMGT",
        "sliced by pages",
        "joined",
        "a count that is not 0 is a shadowed page table: zap it first",
    ),
)


def table() -> Table:
    """Return a row for each array: its size, and what split, merge and truncate have to do."""
    rows = [
        (one.name, _size(one.size_bytes), one.when, one.split, one.merge, one.truncate)
        for one in METADATA
    ]
    return Table(("Beside a slot", "For a TiB", "There when", "Split", "Merge", "Truncate"), rows)


def _size(size_bytes: int) -> str:
    """Return a size in the units that add up to it.

    >>> _size((2 << 30) + (4 << 20) + (8 << 10))
    '2 GiB + 4 MiB + 8 KiB'
    """
    units = ((30, "GiB"), (20, "MiB"), (10, "KiB"))
    parts = [(size_bytes >> shift & 1023, unit) for shift, unit in units]
    return " + ".join(f"{count} {unit}" for count, unit in parts if count)
