"""Cases of what slots do: changes that succeed, pairs that need their own setup, guest accesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..abi.policy import HostPolicy
from ..interface import FETCH_STUB, Context, Exit, Fragment
from ..uapi import MemFlag
from .cases import (
    GPA,
    HVA,
    OTHER_GPA,
    OTHER_HVA,
    SIZE,
    Case,
    Gives,
    Refused,
    delete,
    op,
    region,
)
from .differential import Made, Operation

_LOG = int(MemFlag.LOG_DIRTY_PAGES)
_READONLY = int(MemFlag.READONLY)
_GUEST_MEMFD = int(MemFlag.GUEST_MEMFD)
_PAGE = 0x1000
_DONE = Exit("done")
_FILL = op("poke", HVA, bytes(range(16)).ljust(SIZE, b"\0"))
_SMM_SLOT = 1 << 16 | 1


def _loaded(data: bytes) -> Gives:
    return Gives(Exit("done", data))


def _missed(gpa: int, size: int) -> Gives:
    return Gives(Exit("mmio", b"\xff" * size, (Fragment(gpa, size, is_write=False),)))


def _gmem_region(slot: int, flags: int, gpa: int, offset: int = 0) -> tuple[object, ...]:
    return (slot, flags, gpa, SIZE, HVA, offset, Made(0))


_SECOND = "set_user_memory_region2"
_GMEM = op("create_guest_memfd", 2 * SIZE)
_BOUND = op(_SECOND, *_gmem_region(1, _GUEST_MEMFD, GPA))

_CHANGES = (
    Case("create", ("change",), (), region(), Gives(), "no rule is broken"),
    Case(
        "create is seen", ("change",), (_FILL, region()), op("read", GPA, 4),
        _loaded(b"\0\1\2\3"), "a slot serves loads from its host memory",
    ),
    Case(
        "delete is seen", ("change",), (region(), delete()), op("read", GPA, 4),
        _missed(GPA, 4), "a hole answers with an MMIO exit",
    ),
    Case(
        "delete looks at no other field", ("change",), (region(),),
        region(1, _READONLY, 1 << 60, 0, OTHER_HVA), Gives(),
        "size 0 names a deletion, and only slot, flags and alignment are checked",
    ),
    Case(
        "deleting twice", ("delete-absent",), (region(), delete()), delete(),
        Refused("delete-absent"), "the first deletion left no slot",
    ),
    Case("no-op", ("change",), (region(),), region(), Gives(), "nothing differs"),
    Case(
        "move away: the new place", ("change",), (_FILL, region(), region(gpa=OTHER_GPA)),
        op("read", OTHER_GPA, 2), _loaded(b"\0\1"), "the memory moves with the slot",
    ),
    Case(
        "move away: the old place", ("change",), (_FILL, region(), region(gpa=OTHER_GPA)),
        op("read", GPA, 2), _missed(GPA, 2), "nothing is left behind",
    ),
    Case(
        "move up over its own range", ("overlap",), (_FILL, region()), region(gpa=GPA + _PAGE),
        Gives(), "a slot does not overlap itself",
    ),
    Case(
        "move down over its own range", ("overlap",), (_FILL, region()), region(gpa=GPA - _PAGE),
        Gives(), "a slot does not overlap itself",
    ),
    Case(
        "move past its own range into another slot", ("overlap",),
        (region(), region(2, gpa=GPA + SIZE, hva=OTHER_HVA)), region(gpa=GPA + _PAGE),
        Refused("overlap"), "its last page would be the other slot's first",
    ),
    Case(
        "neighbours touch", ("overlap",), (region(),),
        region(2, gpa=GPA + SIZE, hva=OTHER_HVA), Gives(), "ranges are half-open",
    ),
    Case(
        "one page overlaps at the end", ("overlap",), (region(),),
        region(2, gpa=GPA + SIZE - _PAGE, hva=OTHER_HVA), Refused("overlap"),
        "the slot's last page is taken",
    ),
    Case(
        "one page overlaps at the start", ("overlap",), (region(),),
        region(2, gpa=GPA - SIZE + _PAGE, hva=OTHER_HVA), Refused("overlap"),
        "the slot's first page is taken",
    ),
    Case(
        "inside another slot", ("overlap",), (region(),),
        region(2, gpa=GPA + _PAGE, size=_PAGE, hva=OTHER_HVA), Refused("overlap"),
        "the pages are taken",
    ),
    Case(
        "around another slot", ("overlap",), (region(),),
        region(2, gpa=GPA - _PAGE, size=SIZE + 2 * _PAGE, hva=OTHER_HVA), Refused("overlap"),
        "the pages in the middle are taken",
    ),
    Case(
        "two slots with one host memory", ("change",), (_FILL, region(), region(2, gpa=OTHER_GPA)),
        op("read", OTHER_GPA, 2), _loaded(b"\0\1"), "host addresses may be shared",
    ),
    Case(
        "the highest slot id", ("slot-id",), (), region(32763), Gives(),
        "ids below 32764 are userspace's",
    ),
    Case(
        "unaligned host address in a deletion", ("hva-aligned",), (region(),),
        region(1, 0, 0, 0, 0x800), Refused("hva-aligned"), "alignment is checked on deletion too",
    ),
    Case(
        "unknown flag in a deletion", ("flags",), (region(),),
        op(_SECOND, 1, 1 << 3, 0, 0, 0), Refused("flags"), "flags are checked on deletion too",
    ),
    Case(
        "READONLY on", ("readonly-fixed",), (region(),), region(1, _READONLY),
        Refused("readonly-fixed"), "READONLY never changes while a slot lives",
    ),
    Case(
        "READONLY off", ("readonly-fixed",), (region(1, _READONLY),), region(),
        Refused("readonly-fixed"), "READONLY never changes while a slot lives",
    ),
    Case(
        "smaller", ("size-fixed",), (region(),), region(size=_PAGE), Refused("size-fixed"),
        "the size never changes while a slot lives",
    ),
    Case(
        "SMM has its own slots", ("overlap",), (region(),), region(_SMM_SLOT), Gives(),
        "address spaces never conflict", address_spaces=2,
    ),
    Case(
        "deleting in the other address space", ("delete-absent",), (region(),),
        delete(_SMM_SLOT), Refused("delete-absent"), "ids are counted per address space",
        address_spaces=2,
    ),
)  # fmt: skip


def _limits(policy: HostPolicy) -> tuple[Case, ...]:
    """Return what happens at the host's limits and a page beyond."""
    bits = policy.max_gpa_bits
    top = (1 << bits) - SIZE
    last_hva = policy.user_address_limit - SIZE
    there, beyond = region(2, gpa=top, hva=OTHER_HVA), region(gpa=top + _PAGE)
    return (
        Case(
            "the highest frame", ("gpa-range",), (), region(gpa=top), Gives(),
            f"the last frame is below {bits} bits",
        ),
        Case(
            "one page beyond the highest frame", ("gpa-range",), (), beyond,
            Refused("gpa-range"), f"the last frame is beyond {bits} bits",
        ),
        Case(
            "move beyond the highest frame", ("gpa-range",), (region(),), region(gpa=1 << bits),
            Refused("gpa-range"), "the new place is checked once the old slot is invalidated",
        ),
        Case(
            "the highest host address", ("hva-range",), (), region(hva=last_hva), Gives(),
            "the range ends where userspace ends",
        ),
        Case(
            "one page beyond the highest host address", ("hva-range",), (),
            region(hva=last_hva + _PAGE), Refused("hva-range"),
            "the last page of the lower half is not userspace's",
        ),
        Case(
            "overlap and gpa-range", ("overlap", "gpa-range"), (there,), beyond,
            Refused("overlap"), "overlap is checked before gpa-range",
        ),
        Case(
            "overlap and gpa-range in a move", ("overlap", "gpa-range"), (there, region()), beyond,
            Refused("overlap"), "overlap is checked before gpa-range",
        ),
    )  # fmt: skip


_GUEST_MEMFD_CASES = (
    Case("bind", ("guest_memfd",), (_GMEM,), _BOUND, Gives(), "no rule is broken"),
    Case(
        "bind the rest", ("gmem-bound",), (_GMEM, _BOUND),
        op(_SECOND, *_gmem_region(2, _GUEST_MEMFD, OTHER_GPA, SIZE)), Gives(),
        "the second half is not bound",
    ),
    Case(
        "bind a page that is bound", ("gmem-bound",), (_GMEM, _BOUND),
        op(_SECOND, *_gmem_region(2, _GUEST_MEMFD, OTHER_GPA, SIZE - _PAGE)),
        Refused("gmem-bound"), "the first page of the range is bound",
    ),
    Case(
        "bind after the deletion", ("gmem-bound",), (_GMEM, _BOUND, delete()), _BOUND, Gives(),
        "a deletion unbinds",
    ),
    Case(
        "GUEST_MEMFD with LOG_DIRTY_PAGES", ("flags",), (_GMEM,),
        op(_SECOND, *_gmem_region(1, _GUEST_MEMFD | _LOG, GPA)), Refused("flags"),
        "writes to a guest_memfd are not tracked",
    ),
    Case(
        "GUEST_MEMFD with READONLY", ("flags",), (_GMEM,),
        op(_SECOND, *_gmem_region(1, _GUEST_MEMFD | _READONLY, GPA)), Refused("flags"),
        "a write to READONLY memory is MMIO, which guest_memfd does not know",
    ),
    Case(
        "GUEST_MEMFD by the first ioctl", ("v1-flags",), (), region(1, _GUEST_MEMFD),
        Refused("v1-flags"), "its structure has no guest_memfd",
    ),
    Case(
        "gmem-offset and gmem-open", ("gmem-offset", "gmem-open"), (),
        op(_SECOND, 1, _GUEST_MEMFD, GPA, SIZE, HVA, 0x800, 0xFFFF_FFFF), Refused("gmem-offset"),
        "gmem-offset is checked before gmem-open",
    ),
    Case(
        "gmem-offset wraps", ("gmem-offset",), (_GMEM,),
        op(_SECOND, *_gmem_region(1, _GUEST_MEMFD, GPA, (1 << 64) - _PAGE)),
        Refused("gmem-offset"), "offset + size exceeds 64 bits",
    ),
    Case(
        "move a guest_memfd slot", ("gmem-immutable",), (_GMEM, _BOUND),
        op(_SECOND, *_gmem_region(1, _GUEST_MEMFD, OTHER_GPA)), Refused("gmem-immutable"),
        "it can only be deleted",
    ),
    Case(
        "guest_memfd of size 0", ("gmem-size",), (), op("create_guest_memfd", 0),
        Refused("gmem-size"), "size must be positive",
    ),
    Case(
        "guest_memfd of half a page", ("gmem-size",), (), op("create_guest_memfd", 0x800),
        Refused("gmem-size"), "size must be a multiple of the page size",
    ),
    Case(
        "guest_memfd of a negative size", ("gmem-size",), (), op("create_guest_memfd", 1 << 63),
        Refused("gmem-size"), "the size is signed",
    ),
    Case(
        "guest_memfd with an unknown flag", ("gmem-flags",), (),
        op("create_guest_memfd", _PAGE, 1 << 63), Refused("gmem-flags"), "no kernel has it",
    ),
    Case(
        "gmem-flags and gmem-size", ("gmem-flags", "gmem-size"), (),
        op("create_guest_memfd", 0, 1 << 63), Refused("gmem-flags"),
        "gmem-flags is checked before gmem-size",
    ),
)  # fmt: skip


def _accesses(context: Context) -> Iterator[Case]:
    """Yield what loads, stores and fetches come to in one context, by what lies there."""
    for name, setup, call, expected, reason in (*_loads(), *_writes(), *_fetches(context)):
        about = ("access", context.value)
        here = replace(call, context=context)
        yield Case(f"{name}, {context.value}", about, setup, here, expected, reason)


_Row = tuple[str, tuple[Operation, ...], Operation, Gives, str]
_END = GPA + SIZE
_RAM = (_FILL, region())
_ROM = (_FILL, region(1, _READONLY))
_DATA = b"abcdefgh"
_SPLIT = "the emulator splits at the page boundary; each part goes its own way"
_UNREAD = "KVM's emulator cannot read the instruction"


def _loads() -> Iterator[_Row]:
    for size in (1, 2, 4, 8):
        expected = _loaded(bytes(range(size)))
        yield f"load {size}", _RAM, op("read", GPA, size), expected, "memory answers"
    last = (op("poke", HVA + SIZE - 4, b"wxyz"), region())
    before = Exit("mmio", b"\xff\xff\0\1", (Fragment(GPA - 2, 2, False),))
    behind = Exit("mmio", b"wxyz" + b"\xff" * 4, (Fragment(_END, 4, False),))
    apart = Exit("mmio", b"\xff" * 8, (Fragment(GPA - 3, 3, False), Fragment(GPA, 5, False)))
    yield "load from a hole", (), op("read", GPA, 8), _missed(GPA, 8), "a hole is MMIO"
    yield "load from READONLY", _ROM, op("read", GPA, 2), _loaded(b"\0\1"), "memory answers"
    yield "load across the end", last, op("read", _END - 4, 8), Gives(behind), _SPLIT
    yield "load across the start", _RAM, op("read", GPA - 2, 4), Gives(before), _SPLIT
    yield "load across holes", (), op("read", GPA - 3, 8), Gives(apart), _SPLIT


def _writes() -> Iterator[_Row]:
    hole = op("write", GPA, _DATA)
    whole = _stores((GPA, _DATA))
    apart = _stores((GPA - 3, b"abc"), (GPA, b"defgh"))
    yield "store to RAM", _RAM, hole, Gives(_DONE), "memory answers"
    yield "store to a hole", (), hole, whole, "a hole is MMIO"
    yield "store to READONLY", _ROM, hole, whole, "a store to READONLY memory is MMIO"
    behind, before = _stores((_END, b"defgh")), _stores((GPA - 5, b"abcde"))
    yield "store across the end", _RAM, op("write", _END - 3, _DATA), behind, _SPLIT
    yield "store across the start", _RAM, op("write", GPA - 5, _DATA), before, _SPLIT
    yield "store across holes", (), op("write", GPA - 3, _DATA), apart, _SPLIT


def _fetches(context: Context) -> Iterator[_Row]:
    stub = op("poke", HVA, FETCH_STUB)
    at_end = op("poke", HVA + SIZE - 1, FETCH_STUB[:1])
    here, readonly = op("fetch", GPA), region(1, _READONLY)
    yield "fetch from RAM", (stub, region()), here, Gives(_DONE), "memory answers"
    yield "fetch from READONLY", (stub, readonly), here, Gives(_DONE), "READONLY is for stores"
    yield "fetch from a hole", (), here, _unfetched(context), _UNREAD
    across = op("fetch", _END - 1)
    yield "fetch across the end", (at_end, region()), across, _unfetched(context), _UNREAD
    why = "the MMU reports EFAULT; the emulator takes it for MMIO"
    absent = (region(hva=OTHER_HVA),)
    yield "load without host memory", absent, op("read", GPA, 2), _unbacked(context), why


def _stores(*fragments: tuple[int, bytes]) -> Gives:
    made = tuple(Fragment(gpa, len(data), True, data) for gpa, data in fragments)
    return Gives(Exit("mmio", b"", made))


def _unfetched(context: Context) -> Gives:
    """Return the exit of a fetch that finds nothing: at CPL0 it ends there."""
    failure = Exit("internal_error", suberror=1)

    def at_cpl3(policy: HostPolicy) -> Exit:
        return failure if policy.cpl3_fetch_failure == "internal_error" else Exit("shutdown")

    return Gives(at_cpl3 if context is Context.LONG64_CPL3 else failure)


def _unbacked(context: Context) -> Gives:
    """Return the exit of a load through a slot whose host address is not mapped."""
    missed = _missed(GPA, 2).value

    def by_policy(policy: HostPolicy) -> object:
        return Exit("efault") if context in policy.native_contexts else missed

    return Gives(by_policy)


_MEMORY = (
    Case(
        "store across the end: what memory keeps", ("access",),
        (*_RAM, op("write", _END - 3, _DATA)), op("memory", HVA + SIZE - 4, 4),
        Gives(b"\0abc"), "the part inside the slot is written though the rest is MMIO",
    ),
    Case(
        "store to READONLY: what memory keeps", ("access",),
        (_FILL, region(1, _READONLY), op("write", GPA, b"abcd")), op("memory", HVA, 4),
        Gives(b"\0\1\2\3"), "READONLY memory is never written by the guest",
    ),
)  # fmt: skip


def behaviour(policy: HostPolicy) -> tuple[Case, ...]:
    """Return the cases of what slots do on a host of this policy."""
    accesses = (case for context in Context for case in _accesses(context))
    return (*_CHANGES, *_limits(policy), *_GUEST_MEMFD_CASES, *accesses, *_MEMORY)
