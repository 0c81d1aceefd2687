"""Dirty bitmaps as the kernel lays them out, and how they are sliced and joined with their slots.

A bitmap is a buffer of twice as many words as its bits need: the bits, page 0 first, and a second
half that KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG use as scratch. A slot of ``npages`` has no bit
beyond them: KVM protects every page whose bit is set, also one that the slot does not have.

The rule that :func:`carried` states is *slices follow their pages*: a bit goes wherever its page
goes, and the bits of pages that go nowhere are handed to userspace.

Source: Linux 6.18, virt/kvm/kvm_main.c kvm_alloc_dirty_bitmap(), kvm_get_dirty_log_protect();
include/linux/kvm_host.h kvm_dirty_bitmap_bytes(), kvm_second_dirty_bitmap().
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .layout import Change, Kind, Region
from .uapi import MemFlag

#: Bits of a word of the kernel's bitmaps.
WORD_BITS = 64
_STAYS = (Kind.KEPT, Kind.REFLAGGED)
_PAGES_OF_BYTE = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(1 << 8))


def size_bytes(npages: int) -> int:
    """Return how many bytes KVM_GET_DIRTY_LOG writes for a slot; the call itself has no length.

    >>> [size_bytes(npages) for npages in (1, 64, 65)]
    [8, 8, 16]
    """
    return -(-npages // WORD_BITS) * WORD_BITS // 8


def named(log: bytes) -> list[int]:
    """Return the pages that a log names, in order.

    >>> named(bytes([0b101, 0x80]))
    [0, 2, 15]
    """
    return [8 * at + bit for at, byte in enumerate(log) if byte for bit in _PAGES_OF_BYTE[byte]]


def log_of(pages: Iterable[int], npages: int) -> bytes:
    """Return the log of a slot of ``npages`` that names these.

    Raises ValueError for a page that the slot does not have.

    >>> log_of([0, 65], 66).hex()
    '01000000000000000200000000000000'
    >>> log_of([66], 66)
    Traceback (most recent call last):
    ValueError: page 66 of a slot of 66
    """
    value = 0
    for page in pages:
        if not 0 <= page < npages:
            raise ValueError(f"page {page} of a slot of {npages}")
        value |= 1 << page
    return value.to_bytes(size_bytes(npages), "little")


@dataclass(frozen=True)
class Bitmap:
    """A slot's dirty bitmap: ``words`` holds the bits and the scratch behind them.

    ``bits`` is how many bits a word has: 64 in the kernel, fewer where every bitmap is tried.

    Raises ValueError for a buffer of another size, and for a bit beyond the slot's pages.

    >>> Bitmap.of([1, 65], 66)
    Bitmap(npages=66, words=(2, 2, 0, 0), bits=64)
    >>> Bitmap(66, (0, 4, 0, 0))
    Traceback (most recent call last):
    ValueError: bits beyond the 66 pages of the slot: 0x4
    """

    npages: int
    words: tuple[int, ...]
    bits: int = WORD_BITS

    def __post_init__(self) -> None:
        if len(self.words) != 2 * self.half:
            raise ValueError(
                f"{len(self.words)} words, and {self.npages} pages need {2 * self.half}"
            )
        beyond = self.words[self.half - 1] & ~last_mask(self.npages, self.bits) if self.half else 0
        if beyond:
            raise ValueError(f"bits beyond the {self.npages} pages of the slot: {beyond:#x}")

    @classmethod
    def of(cls, pages: Iterable[int], npages: int, bits: int = WORD_BITS) -> Bitmap:
        """Return a bitmap that names these pages; its scratch is empty."""
        half = -(-npages // bits)
        words = [0] * (2 * half)
        for page in pages:
            words[page // bits] |= 1 << page % bits
        return cls(npages, tuple(words), bits)

    @property
    def half(self) -> int:
        """How many words hold the bits; as many more are scratch."""
        return -(-self.npages // self.bits)

    @property
    def pages(self) -> frozenset[int]:
        """The pages that it names."""
        return frozenset(
            at * self.bits + bit
            for at, word in enumerate(self.words[: self.half])
            for bit in range(self.bits)
            if word >> bit & 1
        )


def last_mask(npages: int, bits: int = WORD_BITS) -> int:
    """Return which bits of the last word stand for pages of the slot.

    >>> [hex(last_mask(npages)) for npages in (64, 65, 68)]
    ['0xffffffffffffffff', '0x1', '0xf']
    """
    return (1 << ((npages - 1) % bits + 1)) - 1


def sliced(bitmap: Bitmap, first: int, npages: int) -> Bitmap:
    """Return the bitmap of pages [first, first + npages), renumbered from 0; its scratch is empty.

    Where ``first`` is a multiple of the word's bits, words are copied as they are; elsewhere each
    is put together from two. Either way what lies beyond the last page is masked out, and no word
    of the scratch is read.

    Raises ValueError when the pages are not all the slot's.

    >>> sorted(sliced(Bitmap.of([0, 69, 70, 129], 130), 70, 60).pages)
    [0, 59]
    """
    if not 0 <= first < first + npages <= bitmap.npages:
        raise ValueError(f"pages [{first}, {first + npages}) of a slot of {bitmap.npages}")
    bits, source = bitmap.bits, bitmap.words[: bitmap.half]
    skipped, shift = divmod(first, bits)
    half = -(-npages // bits)
    words = [source[skipped + at] >> shift for at in range(half)]
    if shift:
        for at, above in enumerate(source[skipped + 1 :][:half]):
            words[at] |= above << bits - shift & (1 << bits) - 1
    words[-1] &= last_mask(npages, bits)
    return Bitmap(npages, (*words, *[0] * half), bits)


def joined(parts: Sequence[Bitmap]) -> Bitmap:
    """Return the bitmap of slots that become one, in order; its scratch is empty.

    Raises ValueError without any part, or when words differ in size.

    >>> sorted(joined([Bitmap.of([0, 69], 70), Bitmap.of([0, 59], 60)]).pages)
    [0, 69, 70, 129]
    """
    if len({part.bits for part in parts}) != 1:
        raise ValueError(f"{len(parts)} bitmaps with words of one size are needed")
    bits, npages = parts[0].bits, sum(part.npages for part in parts)
    half = -(-npages // bits)
    words = [0] * (half + 1)  # one more, for what is shifted out of the last one: nothing
    at = 0
    for part in parts:
        skipped, shift = divmod(at, bits)
        for offset, word in enumerate(part.words[: part.half]):
            words[skipped + offset] |= word << shift & (1 << bits) - 1
            words[skipped + offset + 1] |= word >> bits - shift
        at += part.npages
    return Bitmap(npages, (*words[:half], *[0] * half), bits)


@dataclass(frozen=True)
class Carried:
    """Bitmaps after an update: of the slots that log then, and what is handed to userspace.

    ``slots`` has one for each slot number of the new layout that logs. ``rest`` names, by the slot
    number of the old layout, the pages that no such slot has: of them nobody else can tell.
    """

    slots: Mapping[int, Bitmap]
    rest: Mapping[int, frozenset[int]]


def carried(change: Change, logs: Mapping[int, Bitmap]) -> Carried:
    """Carry the bitmaps of a change's old slots over to its new ones: slices follow their pages.

    A page that is there before and after, at the same frame and host address, keeps its bit,
    whichever slot has it, if that one logs. A frame that is new, or has got another page, begins
    without one, as in any new slot: its content is userspace's own doing.

    Raises KeyError for an old slot that logs and has no bitmap in ``logs``.

    >>> from .layout import Layout
    >>> log = MemFlag.LOG_DIRTY_PAGES
    >>> before = Layout([Region(0, 130, 0, log, 1)])
    >>> after = Layout([Region(5, 65, 0x5000, log, 1)])
    >>> made = carried(Change(before, after), {1: Bitmap.of([0, 5, 69, 70], 130)})
    >>> sorted(made.slots[1].pages), sorted(made.rest[1])
    ([0, 64], [0, 70])
    """
    rest = {region.slot: set(logs[region.slot].pages) for region in change.old if _logs(region)}
    pieces: dict[int, list[Bitmap]] = {region.slot: [] for region in change.new if _logs(region)}
    for span in change:
        if span.new is None or span.new.slot not in pieces:
            continue
        old = span.old if span.kind in _STAYS else None
        piece = Bitmap.of([], span.npages)
        if old is not None and old.slot in rest:
            first = span.gfn - old.gfn
            piece = sliced(logs[old.slot], first, span.npages)
            rest[old.slot] -= {first + page for page in piece.pages}
        pieces[span.new.slot].append(piece)
    slots = {number: joined(parts) for number, parts in pieces.items()}
    return Carried(slots, {number: frozenset(pages) for number, pages in rest.items()})


def _logs(region: Region) -> bool:
    return bool(region.flags & MemFlag.LOG_DIRTY_PAGES)
