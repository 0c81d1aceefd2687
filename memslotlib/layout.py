"""Regions, layouts, and what a new layout changes: guest memory as an experiment writes it down.

All ranges are half-open, in guest frame numbers unless the name says otherwise. Nothing here knows
KVM: a layout says which frame is backed by which host address, and with which flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

from sortedcontainers import SortedDict

from .errors import LayoutError
from .uapi import AS_ID_SHIFT, PAGE_SHIFT, PAGE_SIZE, SLOT_ID_MASK, MemFlag

NO_FLAGS = MemFlag(0)


@dataclass(frozen=True, slots=True)
class Region:
    """One slot's worth of guest memory: frames [gfn, end_gfn), backed from ``hva`` on.

    ``slot`` is the number that ioctls use, with the address space in bits 31:16. ``hva`` is in
    bytes and page-aligned; ``npages`` is at least 1.

    Raises LayoutError for a region that has no pages, a negative place, or an unaligned ``hva``.

    Source: api.rst, KVM_SET_USER_MEMORY_REGION.

    >>> Region.at(0x1000, 0x3000, hva=0x7f00_0000_0000, slot=4)
    Region(gfn=1, npages=3, hva=139637976727552, flags=<MemFlag: 0>, slot=4)
    >>> Region(gfn=1, npages=3, hva=0x800)
    Traceback (most recent call last):
    memslotlib.errors.LayoutError: slot 0 [0x1000, 0x4000): hva 0x800 is not a multiple of 0x1000
    """

    gfn: int
    npages: int
    hva: int
    flags: MemFlag = NO_FLAGS
    slot: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", MemFlag(self.flags))
        if self.npages < 1:
            raise LayoutError(f"{self}: {self.npages} pages")
        if min(self.gfn, self.hva, self.slot) < 0:
            raise LayoutError(f"{self}: gfn, hva and slot are not negative")
        if self.hva % PAGE_SIZE:
            raise LayoutError(f"{self}: hva {self.hva:#x} is not a multiple of {PAGE_SIZE:#x}")

    @classmethod
    def at(
        cls, gpa: int, size_bytes: int, hva: int, flags: MemFlag = NO_FLAGS, slot: int = 0
    ) -> Region:
        """Return a region by its address and size in bytes, as the ioctl takes them.

        Raises LayoutError when either is not a multiple of the page size.

        >>> Region.at(0x1800, 0x1000, hva=0)
        Traceback (most recent call last):
        memslotlib.errors.LayoutError: slot 0: gpa 0x1800 is not a multiple of 0x1000
        """
        for name, value in (("gpa", gpa), ("size", size_bytes)):
            if value % PAGE_SIZE:
                text = f"slot {slot}: {name} {value:#x} is not a multiple of {PAGE_SIZE:#x}"
                raise LayoutError(text)
        return cls(gpa >> PAGE_SHIFT, size_bytes >> PAGE_SHIFT, hva, flags, slot)

    def __str__(self) -> str:
        return f"slot {self.slot} [{self.gpa:#x}, {self.end_gfn << PAGE_SHIFT:#x})"

    @property
    def end_gfn(self) -> int:
        """The first frame behind the region."""
        return self.gfn + self.npages

    @property
    def gpa(self) -> int:
        """The first guest-physical address."""
        return self.gfn << PAGE_SHIFT

    @property
    def size_bytes(self) -> int:
        """The size in bytes."""
        return self.npages << PAGE_SHIFT

    @property
    def as_id(self) -> int:
        """The address space."""
        return self.slot >> AS_ID_SHIFT

    @property
    def slot_id(self) -> int:
        """The slot's id within its address space."""
        return self.slot & SLOT_ID_MASK

    def __contains__(self, gfn: object) -> bool:
        return isinstance(gfn, int) and self.gfn <= gfn < self.end_gfn

    def hva_of(self, gfn: int) -> int:
        """Return the host address of one of the region's frames.

        Raises LayoutError for a frame outside.
        """
        if gfn not in self:
            raise LayoutError(f"{self}: gfn {gfn:#x} is outside")
        return self.hva + ((gfn - self.gfn) << PAGE_SHIFT)

    def overlaps(self, other: Region) -> bool:
        """Whether the two have a frame of one address space in common."""
        together = self.gfn < other.end_gfn and other.gfn < self.end_gfn
        return together and self.as_id == other.as_id

    def part(self, gfn: int, end_gfn: int) -> Region:
        """Return what of the region lies in [gfn, end_gfn), with the same backing.

        Raises LayoutError when that is not inside the region.
        """
        if not self.gfn <= gfn < end_gfn <= self.end_gfn:
            raise LayoutError(f"{self}: gfns [{gfn:#x}, {end_gfn:#x}) are not a part of it")
        return replace(self, gfn=gfn, npages=end_gfn - gfn, hva=self.hva_of(gfn))


class Kind(Enum):
    """What happens to a range of frames between two layouts; the value is how tables print it."""

    KEPT = "kept"
    DROPPED = "dropped"
    ADDED = "added"
    REPOINTED = "re-pointed"
    REFLAGGED = "re-flagged"
    REPOINTED_REFLAGGED = "re-pointed and re-flagged"


class Span(NamedTuple):
    """Frames [gfn, end_gfn) with one fate; ``old`` and ``new`` are the regions that hold them."""

    gfn: int
    end_gfn: int
    kind: Kind
    old: Region | None
    new: Region | None

    @property
    def npages(self) -> int:
        """The number of frames."""
        return self.end_gfn - self.gfn

    @property
    def resized(self) -> bool:
        """Whether the frames belong to another slot or to one of another shape than before."""
        if self.old is None or self.new is None:
            return False
        return (self.old.slot, self.old.gfn, self.old.npages) != (
            self.new.slot,
            self.new.gfn,
            self.new.npages,
        )


class Layout:
    """The regions of one address space in order of guest frame number; immutable.

    Iterating yields the regions; ``layout[gfn]`` is the region at a frame, or None in a hole.

    Raises LayoutError when two regions overlap, share a slot number, or are of different address
    spaces; the text names both.

    Complexity: a look-up is O(log n).

    >>> layout = Layout([Region(16, 4, 0x9000, slot=1), Region(0, 16, 0x20000)])
    >>> [region.slot for region in layout], layout[19].slot, layout[20]
    ([0, 1], 1, None)
    >>> Layout([Region(0, 16, 0), Region(15, 1, 0x5000, slot=2)])
    Traceback (most recent call last):
    memslotlib.errors.LayoutError: slot 0 [0x0, 0x10000) overlaps slot 2 [0xf000, 0x10000)
    """

    __slots__ = ("_by_gfn", "_by_slot")

    def __init__(self, regions: Iterable[Region] = ()) -> None:
        self._by_gfn: SortedDict[int, Region] = SortedDict()
        self._by_slot: dict[int, Region] = {}
        for region in regions:
            self._admit(region)
            self._by_gfn[region.gfn] = region
            self._by_slot[region.slot] = region

    def _admit(self, region: Region) -> None:
        same = self._by_slot.get(region.slot)
        if same is not None:
            raise LayoutError(f"{same} and {region} have one slot number")
        if self._by_slot and self.as_id != region.as_id:
            raise LayoutError(f"{self} and {region} are of different address spaces")
        below = self._last_from(region.end_gfn - 1)
        if below is not None and below.overlaps(region):
            raise LayoutError(f"{below} overlaps {region}")

    def __iter__(self) -> Iterator[Region]:
        return iter(self._by_gfn.values())

    def __len__(self) -> int:
        return len(self._by_gfn)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Layout([{', '.join(str(region) for region in self)}])"

    def __getitem__(self, gfn: int) -> Region | None:
        below = self._last_from(gfn)
        return below if below is not None and gfn in below else None

    def slot(self, number: int) -> Region | None:
        """Return the region of a slot number, or None."""
        return self._by_slot.get(number)

    @property
    def as_id(self) -> int:
        """The address space of every region; 0 for a layout without any."""
        return self._by_gfn.peekitem(0)[1].as_id if self._by_gfn else 0

    @property
    def npages(self) -> int:
        """The number of frames that are backed."""
        return sum(region.npages for region in self)

    def within(self, gfn: int, end_gfn: int) -> list[Region]:
        """Return the regions with a frame in [gfn, end_gfn), in order."""
        first = self._last_from(gfn)
        start = gfn if first is None else first.gfn
        near = (self._by_gfn[at] for at in self._by_gfn.irange(start, end_gfn, (True, False)))
        return [region for region in near if gfn < min(region.end_gfn, end_gfn)]

    def holes(self, gfn: int, end_gfn: int) -> list[tuple[int, int]]:
        """Return the ranges of [gfn, end_gfn) that nothing backs, in order.

        >>> Layout([Region(2, 3, 0)]).holes(0, 8)
        [(0, 2), (5, 8)]
        """
        found = []
        for region in self.within(gfn, end_gfn):
            if gfn < region.gfn:
                found.append((gfn, region.gfn))
            gfn = region.end_gfn
        return [*found, (gfn, end_gfn)] if gfn < end_gfn else found

    def with_regions(self, *regions: Region) -> Layout:
        """Return a layout with these regions in place of those of the same slot numbers."""
        replaced = {region.slot for region in regions}
        return Layout([*(r for r in self if r.slot not in replaced), *regions])

    def without(self, *slots: int) -> Layout:
        """Return a layout without these slot numbers.

        Raises LayoutError for a slot that is not there.
        """
        for slot in slots:
            if slot not in self._by_slot:
                raise LayoutError(f"there is no slot {slot} in {self}")
        return Layout(region for region in self if region.slot not in slots)

    def _last_from(self, gfn: int) -> Region | None:
        """Return the region with the highest start at or below a frame."""
        i = self._by_gfn.bisect_right(gfn)
        return self._by_gfn.peekitem(i - 1)[1] if i else None


class Change:
    """What becomes of every frame between two layouts: spans in order, maximal, never overlapping.

    A frame is *kept* when the same host memory backs it under the same flags, whichever slot holds
    it; *re-pointed* when the host memory differs, *re-flagged* when the flags do. Together the
    spans cover the frames of both layouts exactly, and no others.

    >>> before = Layout([Region(0, 4, 0x10000)])
    >>> after = Layout([Region(0, 2, 0x10000), Region(3, 3, 0x50000, slot=1)])
    >>> for span in Change(before, after):
    ...     print(span.gfn, span.end_gfn, span.kind.value)
    0 2 kept
    2 3 dropped
    3 4 re-pointed
    4 6 added
    >>> Change(before, after).ranges(Kind.KEPT)
    [(0, 2)]

    Raises LayoutError for layouts of two address spaces.

    >>> Change(before, Layout([Region(0, 4, 0x10000, slot=1 << 16)]))
    Traceback (most recent call last):
    memslotlib.errors.LayoutError: Layout([slot 0 [0x0, 0x4000)]) and \
Layout([slot 65536 [0x0, 0x4000)]) are of different address spaces
    """

    __slots__ = ("new", "old", "spans")

    def __init__(self, old: Layout, new: Layout) -> None:
        if old and new and old.as_id != new.as_id:
            raise LayoutError(f"{old} and {new} are of different address spaces")
        self.old = old
        self.new = new
        self.spans = tuple(_spans(old, new))

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __bool__(self) -> bool:
        """Whether any frame, or the slot that holds it, differs."""
        return any(span.kind is not Kind.KEPT or span.resized for span in self)

    def of(self, *kinds: Kind) -> list[Span]:
        """Return the spans of these kinds, in order."""
        return [span for span in self if span.kind in kinds]

    def ranges(self, *kinds: Kind) -> list[tuple[int, int]]:
        """Return the frames of these kinds as ranges, neighbours joined."""
        return _joined((span.gfn, span.end_gfn) for span in self.of(*kinds))

    def slots_touched(self) -> list[int]:
        """Return the slots that an update must delete, create, move or re-flag, in order."""
        numbers = {region.slot for layout in (self.old, self.new) for region in layout}
        return sorted(n for n in numbers if self.old.slot(n) != self.new.slot(n))

    def shaken(self) -> list[tuple[int, int]]:
        """Return the frames that both layouts back, but not throughout, neighbours joined.

        These are what a guest may find missing in between when slots change one ioctl at a time:
        a frame goes through unharmed only if its slot is not touched, or merely moves over the
        frame or toggles LOG_DIRTY_PAGES.
        """
        return _joined(
            (span.gfn, span.end_gfn)
            for span in self
            if span.old is not None and span.new is not None and span.old != span.new
            if span.old.slot != span.new.slot or not self._in_place(span.old.slot)
        )

    def _in_place(self, number: int) -> bool:
        """Whether a slot can change without a deletion: only its place, or its logging, differs."""
        old, new = self.old.slot(number), self.new.slot(number)
        if old is None or new is None:
            return False
        fixed = ~MemFlag.LOG_DIRTY_PAGES
        return (old.npages, old.hva, old.flags & fixed) == (
            new.npages,
            new.hva,
            new.flags & fixed,
        )


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for gfn, end_gfn in ranges:
        if joined and joined[-1][1] == gfn:
            gfn = joined.pop()[0]
        joined.append((gfn, end_gfn))
    return joined


def _spans(old: Layout, new: Layout) -> Iterator[Span]:
    """Yield the spans between two layouts; each edge of a region ends one."""
    regions = (*old, *new)
    edges = sorted({r.gfn for r in regions} | {r.end_gfn for r in regions})
    for gfn, end_gfn in pairwise(edges):
        before, after = old[gfn], new[gfn]
        if before is not None or after is not None:
            yield Span(gfn, end_gfn, _kind(gfn, before, after), before, after)


def _kind(gfn: int, old: Region | None, new: Region | None) -> Kind:
    if old is None:
        return Kind.ADDED
    if new is None:
        return Kind.DROPPED
    repointed = old.hva_of(gfn) != new.hva_of(gfn)
    if repointed and old.flags != new.flags:
        return Kind.REPOINTED_REFLAGGED
    if repointed:
        return Kind.REPOINTED
    return Kind.KEPT if old.flags == new.flags else Kind.REFLAGGED
