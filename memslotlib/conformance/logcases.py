"""Cases of dirty tracking: the bitmap, manual protection, the ring, and what switches them on."""

from __future__ import annotations

from ..abi.policy import HostPolicy
from ..uapi import (
    DIRTY_RING_ENTRY_SIZE_BYTES,
    USER_MEM_SLOTS,
    Cap,
    ManualProtect,
    MemFlag,
    Quirk,
)
from .cases import GPA, HVA, OTHER_GPA, Case, Gives, Refused, delete, op, region
from .differential import Operation

#: Name, setup, call, expectation, reason.
_Row = tuple[str, tuple[Operation, ...], Operation, Refused | Gives, str]

_LOG = int(MemFlag.LOG_DIRTY_PAGES)
_PAGE = 0x1000
_PAGES = 130
_SIZE = _PAGES * _PAGE
_BITMAP_SIZE_BYTES = 24
_MEMORY = op("poke", HVA, bytes(_SIZE))
_LOGGED = (_MEMORY, region(1, _LOG, size=_SIZE))
_GET = op("get_dirty_log", 1)
_MANUAL = op("enable_cap", int(Cap.MANUAL_DIRTY_LOG_PROTECT2), 1)
_INITIALLY_SET = op(
    "enable_cap",
    int(Cap.MANUAL_DIRTY_LOG_PROTECT2),
    int(ManualProtect.ENABLE | ManualProtect.INITIALLY_SET),
)
#: A processor with page-modification logging keeps 576 entries free, so it refuses smaller rings.
_RING_SIZE_BYTES = 0x4000
_RING = op("enable_cap", int(Cap.DIRTY_LOG_RING), _RING_SIZE_BYTES)
_REAP = op("reap_dirty_ring")
_RESET = op("reset_dirty_rings")


def _write(page: int, gpa: int = GPA) -> Operation:
    return op("write", gpa + page * _PAGE, b"!")


def _log(*pages: int) -> Gives:
    bits = sum(1 << page for page in pages)
    return Gives(bits.to_bytes(_BITMAP_SIZE_BYTES, "little"))


def _clear(first: int, count: int, *pages: int) -> Operation:
    bits = sum(1 << page - first for page in pages)
    return op("clear_dirty_log", 1, first, count, bits.to_bytes(_BITMAP_SIZE_BYTES, "little"))


_ALL = range(_PAGES)
_FLAGS_OFF = region(1, 0, size=_SIZE)
_FLAGS_ON = region(1, _LOG, size=_SIZE)

_BITMAP: tuple[_Row, ...] = (
    ("fresh", (), _GET, _log(), "a new bitmap is empty"),
    ("written pages", (_write(0), _write(64), _write(129)), _GET, _log(0, 64, 129),
     "each write marks its page"),
    ("GET clears", (_write(3), _GET), _GET, _log(), "without manual protection GET clears"),
    ("written again after GET", (_write(3), _GET, _write(3)), _GET, _log(3),
     "GET protects what it cleared, so the next write is seen"),
    ("a write across two pages", (op("write", GPA + 2 * _PAGE - 4, b"abcdefgh"),), _GET,
     _log(1, 2), "both pages are written"),
    ("a write into the hole behind", (op("write", GPA + _SIZE - 4, b"abcdefgh"),), _GET,
     _log(129), "the part inside is written"),
    ("MOVE keeps the bits", (_write(5), region(1, _LOG, OTHER_GPA, _SIZE)), _GET, _log(5),
     "a bit is an offset in the slot and moves with it"),
    ("written after MOVE", (region(1, _LOG, OTHER_GPA, _SIZE), _write(7, OTHER_GPA)), _GET,
     _log(7), "the bitmap goes on at the new place"),
    ("MOVE with LOG off", (_write(5), region(1, 0, OTHER_GPA, _SIZE)), _GET,
     Refused("log-absent"), "the bitmap is freed with the flag"),
    ("MOVE with LOG on", (_FLAGS_OFF, region(1, _LOG, OTHER_GPA, _SIZE), _write(1, OTHER_GPA)),
     _GET, _log(1), "the bitmap is allocated with the flag"),
    ("LOG off and on", (_write(5), _FLAGS_OFF, _write(6), _FLAGS_ON), _GET, _log(),
     "the old bitmap was freed"),
    ("written before and after LOG", (_FLAGS_OFF, _write(5), _FLAGS_ON, _write(5)), _GET,
     _log(5), "enabling protects pages that were writable"),
    ("delete and create", (_write(5), delete(), _FLAGS_ON), _GET, _log(),
     "the bits die with the slot"),
    ("GET of a deleted slot", (_write(5), delete()), _GET, Refused("log-absent"),
     "the bits die with the slot"),
    ("GET without LOG", (_FLAGS_OFF,), _GET, Refused("log-absent"), "there is no bitmap"),
    ("GET of a slot id too high", (), op("get_dirty_log", 32764), Refused("log-slot-id"),
     "ids below 32764 are userspace's"),
    ("GET of the highest slot id", (), op("get_dirty_log", 32762), Refused("log-absent"),
     "the id is valid, the slot absent"),
    ("GET of an address space too high", (), op("get_dirty_log", 2 << 16 | 1),
     Refused("log-slot-id"), "no x86 VM has a third address space"),
    ("manual GET does not clear", (_MANUAL, _write(3), _GET), _GET, _log(3),
     "with manual protection only CLEAR clears"),
    ("CLEAR of one word", (_MANUAL, _write(3), _write(70), _clear(0, 64, 3)), _GET, _log(70),
     "only the range is cleared"),
    ("CLEAR of bits that are not asked", (_MANUAL, _write(3), _write(4), _clear(0, 64, 4)),
     _GET, _log(3), "a bit stays unless it is set in both"),
    ("CLEAR to the end", (_MANUAL, _write(64), _write(129), _clear(64, 66, 64, 129)), _GET,
     _log(), "the last word may be ragged"),
    ("CLEAR of bits beyond the end", (_MANUAL, _write(129), _clear(128, 2, 129, 130, 191)),
     _GET, _log(), "bits beyond the slot are ignored"),
    ("CLEAR of no page", (_MANUAL, _write(3), _clear(0, 0)), _GET, _log(3),
     "an empty range is valid and does nothing"),
    ("CLEAR in automatic mode", (_write(3), _clear(0, 64, 3)), _GET, _log(),
     "CLEAR does not ask for manual protection"),
    ("written after CLEAR", (_MANUAL, _write(3), _clear(0, 64, 3), _write(3)), _GET, _log(3),
     "CLEAR protects what it cleared"),
    ("CLEAR from a page that is no multiple of 64", (), _clear(1, 64),
     Refused("clear-first-aligned"), "words are cleared"),
    ("CLEAR of a count that is no multiple of 64", (), _clear(0, 65),
     Refused("clear-count-aligned"), "only the last word may be ragged"),
    ("CLEAR beyond the end", (), _clear(128, 3), Refused("clear-range"), "130 pages"),
    ("CLEAR from beyond the end", (), _clear(192, 0), Refused("clear-range"), "130 pages"),
    ("CLEAR of a deleted slot", (delete(),), _clear(0, 64), Refused("log-absent"),
     "there is no bitmap"),
    ("clear-first-aligned and log-absent", (delete(),), _clear(1, 64),
     Refused("clear-first-aligned"), "clear-first-aligned is checked before log-absent"),
    ("log-absent and clear-range", (_FLAGS_OFF,), _clear(0, 192), Refused("log-absent"),
     "log-absent is checked before clear-range"),
    ("log-absent and clear-count-aligned", (_FLAGS_OFF,), _clear(0, 1), Refused("log-absent"),
     "log-absent is checked before clear-count-aligned"),
    ("log-slot-id and clear-first-aligned", (),
     op("clear_dirty_log", 32764, 1, 64, bytes(8)), Refused("log-slot-id"),
     "log-slot-id is checked before clear-first-aligned"),
    ("INITIALLY_SET", (_INITIALLY_SET, _FLAGS_OFF, _FLAGS_ON), _GET, _log(*_ALL),
     "a bitmap that is allocated under it starts with every page"),
    ("INITIALLY_SET leaves old bitmaps", (_write(3), _INITIALLY_SET), _GET, _log(3),
     "the option concerns later allocations"),
    ("INITIALLY_SET and CLEAR",
     (_INITIALLY_SET, _FLAGS_OFF, _FLAGS_ON, _clear(0, 128, *_ALL[:128])), _GET, _log(128, 129),
     "what is cleared was set"),
    ("manual off again", (_MANUAL, op("enable_cap", int(Cap.MANUAL_DIRTY_LOG_PROTECT2), 0),
     _write(3), _GET), _GET, _log(), "the option can be taken back"),
    ("loaded, not written", (op("read", GPA + 3 * _PAGE, 1),), _GET,
     Gives(lambda policy: _log(*[3] * policy.reads_mark_dirty).value),
     "a load may map its page writable, and then marks it"),
)  # fmt: skip
#: Slot 1 without LOG, and a slot of one page in its place.
_UNLOGGED = (_MEMORY, _FLAGS_OFF)
_SMALLER = (delete(), region(1, _LOG, size=_PAGE))

_RINGS: tuple[_Row, ...] = (
    ("ring: written pages", (_RING, *_LOGGED, _write(3), _write(1)), _REAP,
     Gives([(1, 3), (1, 1)]), "each write pushes its page, in order"),
    ("ring: harvested once", (_RING, *_LOGGED, _write(3), _REAP), _REAP, Gives([]),
     "an entry is harvested once"),
    ("ring: not written twice", (_RING, *_LOGGED, _write(3), _write(3)), _REAP,
     Gives([(1, 3)]), "the page stays writable until it is reset"),
    ("ring: written after the reset", (_RING, *_LOGGED, _write(3), _REAP, _RESET, _write(3)),
     _REAP, Gives([(1, 3)]), "the reset protects the page again"),
    ("ring: reset counts", (_RING, *_LOGGED, _write(3), _write(4), _REAP), _RESET, Gives(2),
     "two entries were harvested"),
    ("ring: reset of nothing", (_RING, *_LOGGED, _write(3)), _RESET, Gives(0),
     "nothing was harvested"),
    ("ring: an entry outlives its slot", (_RING, *_LOGGED, _write(3), delete()), _REAP,
     Gives([(1, 3)]), "nothing purges a ring"),
    ("ring: reset after the deletion", (_RING, *_LOGGED, _write(3), delete(), _REAP), _RESET,
     Gives(1), "an entry whose slot is gone is skipped, and counted"),
    ("ring: a smaller slot takes the number",
     (_RING, *_LOGGED, _write(3), delete(), region(1, _LOG, size=_PAGE), _REAP), _RESET, Gives(1),
     "an entry beyond the slot is skipped, and counted"),
    ("ring: MOVE renames no entry",
     (_RING, *_LOGGED, _write(3), region(1, _LOG, OTHER_GPA, _SIZE)), _REAP, Gives([(1, 3)]),
     "an entry is an offset in the slot"),
    ("ring: no bitmap", (_RING, *_LOGGED), _GET, Refused("log-without-ring"),
     "x86 has the one or the other"),
    ("ring: log-without-ring and log-slot-id", (_RING,), op("get_dirty_log", 32764),
     Refused("log-without-ring"), "log-without-ring is checked before log-slot-id"),
    ("ring: log-without-ring and log-absent", (_RING,), _GET, Refused("log-without-ring"),
     "log-without-ring is checked before log-absent"),
    ("ring: log-without-ring and clear-first-aligned", (_RING,), _clear(1, 64),
     Refused("log-without-ring"), "log-without-ring is checked before clear-first-aligned"),
    ("ring: log-without-ring and clear-range", (_RING, *_LOGGED), _clear(0, 192),
     Refused("log-without-ring"), "log-without-ring is checked before clear-range"),
    ("ring: log-without-ring and clear-count-aligned", (_RING, *_LOGGED), _clear(0, 1),
     Refused("log-without-ring"), "log-without-ring is checked before clear-count-aligned"),
    ("ring: written before and after LOG", (_RING, *_UNLOGGED, _write(3), _FLAGS_ON, _write(3)),
     _REAP, Gives([(1, 3)]), "enabling protects pages that were writable"),
    ("ring: INITIALLY_SET loses writes",
     (_RING, _INITIALLY_SET, *_UNLOGGED, _write(3), _FLAGS_ON, _write(3), _write(64)), _REAP,
     Gives([(1, 64)]), "nothing is protected, and there is no bitmap that could be set instead"),
    ("ring: a stale entry shields its neighbours",
     (_RING, *_LOGGED, _write(0), _write(5), *_SMALLER, _write(0), _REAP, _RESET, _write(0)),
     _REAP, Gives([]), "entries 64 pages apart are reset at once, or all skipped as one is beyond"),
    ("ring: a stale entry shields pages below it",
     (_RING, *_LOGGED, _write(5), *_SMALLER, _write(0), _REAP, _RESET, _write(0)),
     _REAP, Gives([]), "a page below the first one joins the batch"),
    ("ring: a stale entry far away shields nothing",
     (_RING, *_LOGGED, _write(64), *_SMALLER, _write(0), _REAP, _RESET, _write(0)),
     _REAP, Gives([(1, 0)]), "64 pages apart are two batches"),
    ("ring: a stale entry of another slot shields nothing",
     (_RING, *_LOGGED, region(2, _LOG, OTHER_GPA, _SIZE), _write(5, OTHER_GPA), delete(2),
      region(2, _LOG, OTHER_GPA, _PAGE), _write(0), _REAP, _RESET, _write(0)),
     _REAP, Gives([(1, 0)]), "a batch is of one slot"),
    ("ring: the reset counts what it skips",
     (_RING, *_LOGGED, _write(0), _write(5), *_SMALLER, _REAP), _RESET, Gives(2),
     "both entries are taken back"),
    ("reset without a ring", (), _RESET, Refused("reset-without-ring"), "there is no ring"),
)  # fmt: skip


def _enable(cap: int, arg: int) -> Operation:
    return op("enable_cap", int(cap), arg)


_RING_CAP = Cap.DIRTY_LOG_RING
_TOUCHED = (_MEMORY, region(), op("read", GPA, 1))
_CAPS: tuple[_Row, ...] = (
    ("manual protection", (), _enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 1), Gives(), "a known option"),
    ("INITIALLY_SET alone", (), _enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 2),
     Refused("manual-options"), "INITIALLY_SET needs ENABLE"),
    ("an unknown manual option", (), _enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 5),
     Refused("manual-options"), "there are two options"),
    ("exit on emulation failure", (), _enable(Cap.EXIT_ON_EMULATION_FAILURE, 1), Gives(),
     "a known option"),
    ("emulation failure 2", (), _enable(Cap.EXIT_ON_EMULATION_FAILURE, 2),
     Refused("emulation-options"), "on or off"),
    ("an unknown quirk", (), _enable(Cap.DISABLE_QUIRKS2, 1 << 40), Refused("quirks-known"),
     "no kernel has it"),
    ("the zap-all quirk", (), _enable(Cap.DISABLE_QUIRKS2, int(Quirk.SLOT_ZAP_ALL)),
     Gives(), "known since 6.12"),
    ("an unknown capability", (), _enable(0x7FFF_FFFF, 0), Refused("cap-known"),
     "no kernel has it"),
    ("a ring of 0", (), _enable(_RING_CAP, 0), Refused("ring-power-of-two"), "0 has no entries"),
    ("a ring of 3 pages", (), _enable(_RING_CAP, 0x3000), Refused("ring-power-of-two"),
     "the index is masked"),
    ("a ring of half a page", (), _enable(_RING_CAP, 0x800), Refused("ring-smallest"),
     "the ring is mapped by pages"),
    ("the largest ring", (), _enable(_RING_CAP, 1 << 20), Gives(), "65536 entries of 16 bytes"),
    ("a ring too large", (), _enable(_RING_CAP, 1 << 21), Refused("ring-largest"),
     "65536 entries of 16 bytes"),
    ("a ring of 8 GiB", (), _enable(_RING_CAP, 1 << 33), Refused("ring-power-of-two"),
     "the low 32 bits are 0"),
    ("a ring of 4 GiB and 16 KiB", (), _enable(_RING_CAP, 1 << 32 | _RING_SIZE_BYTES), Gives(),
     "only the low 32 bits are the size"),
    ("a second ring after one of 4 GiB and 16 KiB",
     (_enable(_RING_CAP, 1 << 32 | _RING_SIZE_BYTES),), _RING, Refused("ring-once"),
     "the first one was enabled"),
    ("harvest of a ring of 4 GiB and 16 KiB",
     (_enable(_RING_CAP, 1 << 32 | _RING_SIZE_BYTES), *_LOGGED, _write(3)), _REAP,
     Gives([(1, 3)]), "it is a ring of 16 KiB"),
    ("a second ring", (_RING,), _RING, Refused("ring-once"), "the size is set once"),
    ("a second ring by the other capability", (_RING,),
     _enable(Cap.DIRTY_LOG_RING_ACQ_REL, _RING_SIZE_BYTES), Refused("ring-once"),
     "both capabilities set the same size"),
    ("a ring after the vCPU", _TOUCHED, _RING, Refused("ring-before-vcpu"),
     "a vCPU's ring is made with it"),
    ("ring-power-of-two and ring-once", (_RING,), _enable(_RING_CAP, 0),
     Refused("ring-power-of-two"), "ring-power-of-two is checked before ring-once"),
    ("ring-power-of-two and ring-largest", (), _enable(_RING_CAP, 3 << 20),
     Refused("ring-power-of-two"), "ring-power-of-two is checked before ring-largest"),
    ("ring-power-of-two and ring-smallest", (), _enable(_RING_CAP, 0x700),
     Refused("ring-power-of-two"), "ring-power-of-two is checked before ring-smallest"),
    ("ring-power-of-two and ring-before-vcpu", _TOUCHED, _enable(_RING_CAP, 0),
     Refused("ring-power-of-two"), "ring-power-of-two is checked before ring-before-vcpu"),
    ("ring-smallest and ring-once", (_RING,), _enable(_RING_CAP, 0x800),
     Refused("ring-smallest"), "ring-smallest is checked before ring-once"),
    ("ring-smallest and ring-before-vcpu", _TOUCHED, _enable(_RING_CAP, 0x800),
     Refused("ring-smallest"), "ring-smallest is checked before ring-before-vcpu"),
    ("ring-largest and ring-once", (_RING,), _enable(_RING_CAP, 1 << 21),
     Refused("ring-largest"), "ring-largest is checked before ring-once"),
    ("ring-largest and ring-before-vcpu", _TOUCHED, _enable(_RING_CAP, 1 << 21),
     Refused("ring-largest"), "ring-largest is checked before ring-before-vcpu"),
    ("ring-once and ring-before-vcpu", (_RING, *_TOUCHED), _RING, Refused("ring-once"),
     "ring-once is checked before ring-before-vcpu"),
)  # fmt: skip


def _cases(about: str, rows: tuple[_Row, ...], *setup: Operation) -> tuple[Case, ...]:
    made = []
    for name, more, call, expected, reason in rows:
        rules = (expected.rule,) if isinstance(expected, Refused) else (about,)
        made.append(Case(name, rules, (*setup, *more), call, expected, reason))
    return tuple(made)


def _ring_sizes(policy: HostPolicy) -> tuple[_Row, ...]:
    """Return the smallest ring that leaves an entry to use, and the one half as large."""
    reserved_bytes = policy.ring_reserved_entries * DIRTY_RING_ENTRY_SIZE_BYTES
    least = max(_PAGE, 1 << reserved_bytes.bit_length())
    return (
        ("the smallest ring", (), _enable(_RING_CAP, least), Gives(),
         f"{policy.ring_reserved_entries} entries are kept free"),
        ("half the smallest ring", (), _enable(_RING_CAP, least // 2), Refused("ring-smallest"),
         f"a page at least, and {policy.ring_reserved_entries} entries are kept free"),
    )  # fmt: skip


def _offers(policy: HostPolicy) -> dict[Cap, int]:
    """Return what a VM says of the capabilities that the table is about."""
    return {
        Cap.USER_MEMORY: 1,
        Cap.USER_MEMORY2: 1,
        Cap.NR_MEMSLOTS: USER_MEM_SLOTS,
        Cap.READONLY_MEM: 1,
        Cap.MANUAL_DIRTY_LOG_PROTECT2: 3,
        Cap.DIRTY_LOG_RING: 1 << 20,
        Cap.DIRTY_LOG_RING_ACQ_REL: 1 << 20,
        Cap.DIRTY_LOG_RING_WITH_BITMAP: 0,
        Cap.EXIT_ON_EMULATION_FAILURE: 1,
        Cap.DISABLE_QUIRKS2: policy.quirks,
        Cap.GUEST_MEMFD: int(policy.guest_memfd),
        Cap.GUEST_MEMFD_FLAGS: policy.guest_memfd_flags,
    }


def _checks(policy: HostPolicy) -> tuple[_Row, ...]:
    return tuple(
        (f"KVM_CAP_{cap.name}", (), op("check_extension", int(cap)), Gives(value), "what it offers")
        for cap, value in _offers(policy).items()
    )


def _address_spaces(count: int, smm: int, answer: int, reason: str) -> tuple[Case, ...]:
    asked = {Cap.X86_SMM: smm, Cap.MULTI_ADDRESS_SPACE: answer}
    return tuple(
        Case(
            f"KVM_CAP_{cap.name} of {count}", ("capability",), (),
            op("check_extension", int(cap)), Gives(value), reason, address_spaces=count,
        )
        for cap, value in asked.items()
    )  # fmt: skip


def log_cases(policy: HostPolicy) -> tuple[Case, ...]:
    """Return the cases of dirty tracking and capabilities on a host of this policy."""
    return (
        *_cases("bitmap", _BITMAP, *_LOGGED),
        *_cases("ring", _RINGS),
        *_cases("capability", (*_CAPS, *_ring_sizes(policy), *_checks(policy))),
        *_address_spaces(1, 0, 0, "a kernel without SMM does not know the question"),
        *_address_spaces(2, 1, 2, "one for SMM"),
    )
