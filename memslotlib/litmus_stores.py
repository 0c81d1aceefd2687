"""Litmus tests of stores, put to this host: where they land, and whether the dirty log tells.

An exit does not tell what these ask, so they have checks of their own, each answered in the words
of a sample. A check that is called I2, I3b, I4b or I5 looks for a breach of that property of
``protocol.properties``. What each must come to is written here, with the reason, before it is
recorded; where an earlier study of the same kind of host had suggested it, the reason stands all
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from . import litmus
from .interface import Access, Context
from .uapi import PAGE_SIZE, MemFlag
from .verdict import Verdict, Word

if TYPE_CHECKING:
    from .host.arena import Scenario
    from .host.flip import Backings, Lap
    from .host.logged import Inside, LogTrial

_Trial = TypeVar("_Trial")
_Hit = Callable[[_Trial], bool]
_Count = Callable[[_Trial], int]

FLIP = "hva-flip+store"
LOG = "dirty-log+store"
#: The other backing, and how many pages both have.
OTHER_HVA = 0x2100_0000_0000
PAGES = 16
#: Nobody waits in a flip, so nothing seen in a few shows little; a held update waits for the guest.
TRIALS_MIN: Mapping[str, int] = {FLIP: 100, LOG: 3}


class Check(Enum):
    """What is looked for; the value names it in records.

    - ``I2``: a store begun after the last call had returned landed in the old backing.
    - ``I3B``: a store met a hole while one backing was exchanged for the other.
    - ``I4B``: a store begun after DELETE had returned landed in the old backing, which userspace
      may be copying by then.
    - ``HOLE_AFTER``: a store begun after the last call had returned met a hole.
    - ``NOT_ONCE``: a store was not in exactly one of old backing, new backing and MMIO; or it ended
      before the first call and was not in the old backing.
    - ``I5``: a page was written after userspace had fetched the log, and no log names it.
    - ``LANDS``: while the first ioctl was held, a store landed in a page mapped writable.
    - ``LANDS_PROTECTED``: likewise, in a page that logging had protected.
    - ``LOG_READ``: likewise, userspace could fetch the log.
    """

    I2 = "I2"
    I3B = "I3b"
    I4B = "I4b"
    HOLE_AFTER = "hole afterwards"
    NOT_ONCE = "not once"
    I5 = "I5"
    LANDS = "lands"
    LANDS_PROTECTED = "lands, protected"
    LOG_READ = "log read"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a check must come to, why, and where that is read."""

    word: Word
    reason: str
    source: str


def _seen(reason: str, source: str) -> Expected:
    return Expected(Word.SEEN, reason, source)


def _not_seen(reason: str, source: str) -> Expected:
    return Expected(Word.NOT_SEEN, reason, source)


_REMAPPED = {
    Check.I2: _not_seen(
        "The kernel's own mapping is replaced after the MMU notifier has zapped and flushed what "
        "KVM had of it, and a fault that began earlier sees the notifier's count and tries again.",
        "kvm_main.c: kvm_mmu_notifier_invalidate_range_start()",
    ),
    Check.I3B: _not_seen(
        "The slot is there all the time: a fault waits for the mapping, and finds either.",
        "mmu.c: kvm_mmu_faultin_pfn()",
    ),
    Check.HOLE_AFTER: _not_seen("As for I3b.", "mmu.c: kvm_mmu_faultin_pfn()"),
    Check.NOT_ONCE: _not_seen(
        "A store is made through one translation, and no exit reaches userspace.",
        "mmu.c: kvm_mmu_faultin_pfn()",
    ),
}
#: By litmus test and API.
EXPECTED: Mapping[tuple[str, str], Mapping[Check, Expected]] = {
    (FLIP, "today"): {
        Check.I2: _not_seen(
            "DELETE zaps and flushes before it returns, after the grace period that waits for "
            "faults which had found the old slot.",
            "kvm_main.c: kvm_invalidate_memslot()",
        ),
        Check.I4B: _not_seen("As for I2: it is DELETE that flushes.", "kvm_invalidate_memslot()"),
        Check.I3B: _seen(
            "From DELETE's second swap to CREATE's swap there is no slot: a store is MMIO.",
            "x86.c: emulator_read_write_onepage()",
        ),
        Check.HOLE_AFTER: _not_seen(
            "CREATE publishes the slot before it returns.", "kvm_main.c: kvm_activate_memslot()"
        ),
        Check.NOT_ONCE: _not_seen(
            "A store is made through one translation, or handed to userspace once.",
            "x86.c: emulator_read_write_onepage()",
        ),
    },
    (FLIP, "mmap"): _REMAPPED,
    (FLIP, "mremap"): _REMAPPED,
    (LOG, "today"): {
        Check.I5: _seen(
            "The bitmap is freed with the slot, and the next one begins with zeroes.",
            "kvm_main.c: kvm_delete_memslot(), kvm_alloc_dirty_bitmap()",
        )
    },
    (LOG, "move"): {
        Check.I5: _not_seen(
            "The moved slot takes over the bitmap of the old one.",
            "kvm_main.c: kvm_prepare_memory_region()",
        )
    },
    (LOG, "none"): {
        Check.I5: _not_seen(
            "KVM takes the call for no change.", "kvm_main.c: kvm_set_memory_region()"
        )
    },
}
_NEITHER_LOCK = "kvm_vm_ioctl_get_dirty_log() and the update take slots_lock."
#: While the first ioctl of either update is held: by page tables, and by KVM's own accesses.
EXPECTED_HELD: Mapping[str, Mapping[Check, Expected]] = {
    "page tables": {
        Check.LANDS: _seen(
            "INVALID is published before the zap, and a translation asks no slot: the store lands "
            "in the old page, whose bit was set when it became writable.",
            "kvm_main.c: kvm_invalidate_memslot()",
        ),
        Check.LANDS_PROTECTED: _not_seen(
            "The store faults and finds the slot INVALID. This is so under shadow paging; with "
            "two-dimensional paging fast_page_fault() comes first and does not ask.",
            "mmu.c: kvm_mmu_faultin_pfn(), fast_page_fault()",
        ),
        Check.LOG_READ: _not_seen(_NEITHER_LOCK, "kvm_main.c"),
    },
    "emulator": {
        Check.LANDS: _not_seen(
            "KVM's own store asks the slot, and takes INVALID for absent: MMIO.",
            "kvm_main.c: __gfn_to_hva_many()",
        ),
        Check.LANDS_PROTECTED: _not_seen("As for a writable page.", "__gfn_to_hva_many()"),
        Check.LOG_READ: _not_seen(_NEITHER_LOCK, "kvm_main.c"),
    },
}


@dataclass(frozen=True)
class Answer:
    """What one run came to: a verdict for each check, and its samples, one entry a trial."""

    verdicts: Mapping[Check, Verdict]
    samples: Mapping[str, Sequence[int]]


def expected(
    test: str, api: str, *, held: bool = False, path: str = ""
) -> Mapping[Check, Expected]:
    """Return what each check of a run must come to; ``path`` is the accesses', as claims name it.

    >>> expected(LOG, "move", held=True, path="emulator")[Check.LANDS].word.value
    'NOT SEEN'
    """
    return {**EXPECTED[test, api], **(EXPECTED_HELD[path] if held else {})}


def flip(api: str, context: Context, laps: int, host: str) -> Answer:
    """Exchange the backing of a slot under stores, ``api`` one of ``host.flip.How``.

    Raises NotRunError and ``host.arena.UnclaimedError`` as ``host.flip`` does.
    """
    from .host.flip import How
    from .host.flip import flip as flipped

    result = flipped(backings(), How(api), context, laps)
    checks: dict[Check, tuple[_Hit[Lap], _Count[Lap]]] = {
        Check.I2: (lambda lap: lap.stale > 0, lambda lap: lap.after),
        Check.I4B: (lambda lap: lap.stale_first > 0, lambda lap: lap.after),
        Check.I3B: (lambda lap: lap.mmio > 0, lambda lap: lap.inside),
        Check.HOLE_AFTER: (lambda lap: lap.late_mmio > 0, lambda lap: lap.after),
        Check.NOT_ONCE: (
            lambda lap: lap.nowhere + lap.twice + lap.early > 0,
            lambda lap: lap.inside + lap.after,
        ),
    }
    asked = EXPECTED[FLIP, api]
    verdicts = {
        check: _sampled(
            # What was found is told, wherever it was.
            [lap for lap in result.laps if lap.overlapped or hit(lap)],
            hit,
            count,
            TRIALS_MIN[FLIP],
            host,
        )
        for check, (hit, count) in checks.items()
        if check in asked
    }
    names = ("inside", "after", "mmio", "duration_ns")
    samples = {name: [getattr(lap, name) for lap in result.trials] for name in names}
    return Answer(verdicts, {"laps": [len(result.laps)], **samples})


def log(api: str, context: Context, updates: int, host: str, *, held: bool) -> Answer:
    """Update a slot that logs, under stores, its first ioctl held or not.

    Raises NotRunError and ``host.arena.UnclaimedError`` as ``host.logged`` does.
    """
    from .host.logged import logged

    trials = logged(log_scenario(api), context, updates, held=held).trials
    least = TRIALS_MIN[LOG]
    verdicts = {Check.I5: _sampled(trials, lambda one: one.lost, _written, least, host)}
    insides = [one.inside for one in trials if one.inside]
    if held:
        checks: dict[Check, tuple[_Hit[Inside], _Count[Inside]]] = {
            Check.LANDS: (
                lambda one: one.writable.landed,
                lambda one: one.writable.met.accesses,
            ),
            Check.LANDS_PROTECTED: (
                lambda one: one.protected.landed,
                lambda one: one.protected.met.accesses + one.protected.met.stalled,
            ),
            Check.LOG_READ: (lambda one: not one.log_waited, lambda _: 1),
        }
        verdicts |= {
            check: _sampled(insides, hit, count, least, host)
            for check, (hit, count) in checks.items()
        }
    return Answer(verdicts, _log_samples(trials))


def backings() -> Backings:
    """Return the slot of the other litmus tests, bigger, with two backings."""
    from .host.flip import Backings

    return Backings(litmus.SLOT, litmus.GPA, (litmus.HVA, OTHER_HVA), PAGES)


def log_scenario(api: str) -> Scenario:
    """Return what is raced: ``litmus.UPDATES`` with the dirty log on.

    A move by a page lets the target's page keep its index, at another GPA. So the target is one
    that no later store brings back to that index: two pages below the other one.
    """
    from .host.arena import Scenario

    update = tuple(_logging(step.region) for step in litmus.UPDATES[api])
    target = litmus.GPA + PAGE_SIZE
    return Scenario(
        access=Access.STORE,
        create=_logging(litmus.CREATE.region),
        update=update,
        undo=(),
        target=target,
        untouched=target + 2 * PAGE_SIZE,
        content=litmus.CONTENT,
    )


def _logging(region: tuple[int, int, int, int, int]) -> tuple[int, int, int, int, int]:
    slot, flags, gpa, size_bytes, hva = region
    return slot, flags | MemFlag.LOG_DIRTY_PAGES if size_bytes else flags, gpa, size_bytes, hva


def _sampled(
    trials: Sequence[_Trial],
    hit: _Hit[_Trial],
    count: _Count[_Trial],
    least: int,
    host: str,
) -> Verdict:
    hits, opportunities = sum(map(hit, trials)), sum(map(count, trials))
    return Verdict.counted(hits, len(trials), opportunities, least=least, host=host)


def _written(one: LogTrial) -> int:
    """Return how many stores to the target came to their end since the log was fetched."""
    return one.before.met.accesses + (one.inside.writable.met.accesses if one.inside else 0)


def _log_samples(trials: Iterable[LogTrial]) -> dict[str, list[int]]:
    """Return what each update came to; accesses of -1: nothing was held."""
    columns: dict[str, list[int]] = {}
    for one in trials:
        writable = one.inside.writable.met if one.inside else None
        protected = one.inside.protected.met if one.inside else None
        row = {
            "before_accesses": one.before.met.accesses,
            "writable_accesses": writable.accesses if writable else -1,
            "writable_exits": sum(writable.exits.values()) if writable else 0,
            "protected_accesses": protected.accesses if protected else -1,
            "protected_exits": sum(protected.exits.values()) if protected else 0,
            "protected_stalled": int(protected.stalled) if protected else 0,
            "named": int(one.named),
            "refused": one.refused,
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns
