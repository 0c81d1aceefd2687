"""Litmus tests of what userspace can do already: stand-ins for an update, put to this host.

A stand-in (``host.standins.How``) takes the memory of a slot away for a while, or puts other memory
in its place. Each check looks for one thing that could go wrong, or that tells what an access comes
to meanwhile. What each must come to is written here, with the reason, before it is recorded; where
an earlier study of the same kind of host had suggested it, the reason stands all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from . import litmus
from .interface import Access, Context
from .uapi import MemFlag
from .verdict import Verdict, Word

if TYPE_CHECKING:
    from .host.arena import Scenario
    from .host.switched import Round, SwitchedResult

NAME = "stand-in"
#: The stand-ins, as records name them; the last is the control, whose switch is left out.
APIS = (
    *("today", "quirk-off", "move-away", "mprotect-none", "mprotect-read"),
    *("uffd-minor", "uffd-wp", "mmap", "mremap", "nothing"),
)
#: Where the other memory is.
OTHER_HVA = 0x2100_0000_0000
#: The control, those that delete the slot, and those that put other memory in its place.
CONTROL = "nothing"
DELETING = ("today", "quirk-off")
EXCHANGING = ("mmap", "mremap")
#: Each round waits for the guest; so many guard against a fluke, and bound a NOT SEEN by 14 %.
TRIALS_MIN = 20


class Check(Enum):
    """What is looked for; the value names it in records.

    What an access comes to while the stand-in is off:

    - ``HOLE``: MMIO, an internal error or a shutdown.
    - ``FAILS``: KVM_RUN failed with EFAULT.
    - ``WAITS``: it slept inside KVM_RUN, which did not return.
    - ``UNTOLD``: one of the latter two, and userspace did not learn which page was accessed.
    - ``HELD_UP``: userspace's change of another slot did not return before the stand-in was on.
    - ``HELD_ON``: nor did it after a signal to the vCPU's thread.
    - ``STUCK``: the guest did not go on afterwards.

    And of stores:

    - ``LEAK``: one landed in the slot's own memory while the stand-in was off.
    - ``LOST``: one came to its end meanwhile, and no memory has it.
    - ``CORRUPT``: the slot's own memory was another afterwards.
    - ``LOG_SHUT``: the dirty log could not be fetched meanwhile.
    - ``LOG_LOST``: a page was written, before or after, and no log names it.
    - ``LOG_VAGUE``: the log names a page that nobody wrote.
    - ``UNNAMED``: the slot showed other bytes in a page, and no log names that page.
    """

    HOLE = "hole"
    FAILS = "fails"
    WAITS = "waits"
    UNTOLD = "untold"
    HELD_UP = "held up"
    HELD_ON = "held on"
    STUCK = "stuck"
    LEAK = "leak"
    LOST = "lost"
    CORRUPT = "corrupt"
    LOG_SHUT = "log shut"
    LOG_LOST = "log lost"
    LOG_VAGUE = "log vague"
    UNNAMED = "unnamed"


class Fate(Enum):
    """What an access comes to while a stand-in is off."""

    SERVED = "served"
    HOLE = "a hole"
    FAILS = "KVM_RUN fails"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a check must come to, why, and where that is read."""

    word: Word
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Fated:
    """The fate of accesses of some kinds, why, and where that is read; other kinds are served."""

    fate: Fate
    reason: str
    source: str
    kinds: tuple[Access, ...] = tuple(Access)


PATHS = ("page tables", "emulator")


def _both(fated: Fated) -> dict[str, Fated]:
    return dict.fromkeys(PATHS, fated)


_FAILS = Fated(
    Fate.FAILS,
    "KVM cannot get the page that the fault needs, and KVM_RUN fails.",
    "mmu.c: kvm_handle_error_pfn()",
)
_IS_MMIO = Fated(
    Fate.HOLE,
    "KVM's own access to the host address fails, and its emulator takes that for a missing slot.",
    "x86.c: emulator_read_write_onepage(), kvm_fetch_guest_virt()",
)
_STAYS = Fated(
    Fate.SERVED,
    "The slot is there all the time: who comes while the mapping changes waits for it, and finds "
    "either memory.",
    "mmu.c: kvm_mmu_faultin_pfn()",
)
_STORES = (Access.STORE,)
#: By stand-in and path of the accesses.
FATES: Mapping[str, Mapping[str, Fated]] = {
    "today": _both(
        Fated(
            Fate.HOLE,
            "No slot holds the GPA: a load or a store is MMIO, and what cannot be fetched cannot "
            "be emulated.",
            "x86.c: emulator_read_write_onepage(), handle_emulation_failure()",
        )
    ),
    "quirk-off": _both(
        Fated(
            Fate.HOLE,
            "DELETE zaps less, and no slot holds the GPA all the same.",
            "mmu.c: kvm_arch_flush_shadow_memslot()",
        )
    ),
    "move-away": _both(
        Fated(
            Fate.HOLE,
            "The slot is at another GPA, and none is here.",
            "kvm_main.c: kvm_move_memslot()",
        )
    ),
    "mprotect-none": {"page tables": _FAILS, "emulator": _IS_MMIO},
    "mprotect-read": {
        "page tables": Fated(Fate.FAILS, _FAILS.reason, _FAILS.source, _STORES),
        "emulator": Fated(Fate.HOLE, _IS_MMIO.reason, _IS_MMIO.source, _STORES),
    },
    "uffd-minor": _both(
        Fated(
            Fate.WAITS,
            "KVM gets the page as any other user of the mapping does, and so sleeps until it is "
            "continued.",
            "mm/shmem.c: shmem_get_folio_gfp(); fs/userfaultfd.c: handle_userfault()",
        )
    ),
    "uffd-wp": _both(
        Fated(
            Fate.WAITS,
            "KVM gets the page for writing as any other user of the mapping does, and so sleeps "
            "until the protection is taken away.",
            "mm/memory.c: do_wp_page(); fs/userfaultfd.c: handle_userfault()",
            _STORES,
        )
    ),
    "mmap": _both(_STAYS),
    "mremap": _both(_STAYS),
    "nothing": _both(Fated(Fate.SERVED, "Nothing is taken away.", "the control")),
}
#: Why a check comes out as it does, apart from the fate, and where that is read.
_REASONS: Mapping[tuple[Check, bool], tuple[str, str]] = {
    (Check.UNTOLD, True): (
        "For memory that is no private guest memory KVM leaves no exit reason, and so no address.",
        "mmu.c: kvm_handle_error_pfn()",
    ),
    (Check.UNTOLD, False): (
        "userfaultfd's message holds the address of the fault.",
        "Documentation/admin-guide/mm/userfaultfd.rst",
    ),
    (Check.HELD_UP, True): (
        "Who waits inside KVM_RUN holds the SRCU read lock, and an update waits for its readers.",
        "kvm_main.c: kvm_swap_active_memslots()",
    ),
    (Check.HELD_UP, False): (
        "Nobody stays inside KVM, so an update has nobody to wait for.",
        "kvm_main.c: kvm_swap_active_memslots()",
    ),
    (Check.HELD_ON, True): (
        "A fault of the kernel itself is not given up for a signal, only for one that kills.",
        "arch/x86/mm/fault.c: fault_signal_pending()",
    ),
    (Check.HELD_ON, False): (
        "KVM lets a signal end the wait for the page, and KVM_RUN returns EINTR; another KVM_RUN "
        "waits anew, but an update does not wait for readers that came after it.",
        "mmu.c: kvm_mmu_faultin_pfn(), FOLL_INTERRUPTIBLE",
    ),
    (Check.STUCK, False): (
        "The instruction was not completed, or made again, and now finds its memory.",
        "api.rst, KVM_RUN",
    ),
    (Check.LEAK, True): ("Nothing was switched off.", "the control"),
    (Check.LEAK, False): (
        "Whatever KVM had mapped is zapped and flushed before the call returns.",
        "kvm_main.c: kvm_mmu_notifier_invalidate_range_start(), kvm_invalidate_memslot()",
    ),
    (Check.LOST, True): (
        "A store to a hole is complete once userspace has been told of it.",
        "api.rst, KVM_EXIT_MMIO",
    ),
    (Check.LOST, False): ("No store comes to its end but in memory.", "mmu.c: direct_map()"),
    (Check.CORRUPT, False): (
        "The memory is a file's, whose pages no mapping takes along when it goes.",
        "madvise(2), MADV_DONTNEED on shared mappings",
    ),
    (Check.LOG_SHUT, True): (
        "Without the slot there is no log: ENOENT.",
        "kvm_main.c: kvm_get_dirty_log_protect()",
    ),
    (Check.LOG_SHUT, False): (
        "The slot is there, and fetching its log waits for no reader.",
        "kvm_main.c: kvm_get_dirty_log_protect()",
    ),
    (Check.LOG_LOST, True): (
        "The bitmap is freed with the slot, and the next one begins with zeroes.",
        "kvm_main.c: kvm_delete_memslot(), kvm_alloc_dirty_bitmap()",
    ),
    (Check.LOG_LOST, False): (
        "The slot keeps its bitmap, and a page is marked when it is mapped for writing.",
        "kvm_main.c: mark_page_dirty_in_slot()",
    ),
    (Check.LOG_VAGUE, False): (
        "Nothing marks a page but an access through the slot.",
        "kvm_main.c: mark_page_dirty_in_slot()",
    ),
    (Check.UNNAMED, True): (
        "KVM is told that a mapping goes, not what comes instead.",
        "kvm_main.c: kvm_mmu_notifier_invalidate_range_start()",
    ),
}


def expected(api: str, access: Access, path: str) -> Mapping[Check, Expected]:
    """Return what each check of a run must come to; ``path`` is one of :data:`PATHS`.

    >>> expected("uffd-minor", Access.LOAD, "emulator")[Check.WAITS].word.value
    'SEEN'
    >>> Check.LEAK in expected("uffd-minor", Access.LOAD, "emulator")
    False
    """
    fated = FATES[api][path]
    fate = fated.fate if access in fated.kinds else Fate.SERVED
    of_fate = {Check.HOLE: Fate.HOLE, Check.FAILS: Fate.FAILS, Check.WAITS: Fate.WAITS}
    found = {
        check: _expect(fate is one, fated.reason, fated.source) for check, one in of_fate.items()
    }
    hits = {Check.HELD_UP: fate is Fate.WAITS, Check.STUCK: False}
    if fate is Fate.WAITS:
        hits[Check.HELD_ON] = path == "emulator"
    if fate in (Fate.FAILS, Fate.WAITS):
        hits[Check.UNTOLD] = fate is Fate.FAILS
    if access is Access.STORE:
        hits[Check.LEAK] = api == CONTROL
        hits[Check.LOST] = fate is Fate.HOLE
        hits[Check.CORRUPT] = hits[Check.LOG_VAGUE] = False
        hits[Check.LOG_SHUT] = hits[Check.LOG_LOST] = api in DELETING
        if api in EXCHANGING:
            hits[Check.UNNAMED] = True
    return found | {check: _expect(hit, *_REASONS[check, hit]) for check, hit in hits.items()}


def _expect(hit: bool, reason: str, source: str) -> Expected:
    return Expected(Word.SEEN if hit else Word.NOT_SEEN, reason, source)


@dataclass(frozen=True)
class Answer:
    """What one run came to: a verdict for each check, what was met, and a sample for each trial.

    ``exits`` counts by reason, ``failures`` by the exit reason that a failed KVM_RUN left.
    """

    verdicts: Mapping[Check, Verdict]
    exits: Mapping[str, int]
    failures: Mapping[str, int]
    samples: Mapping[str, Sequence[int]]


def run(api: str, access: Access, context: Context, rounds: int, host: str) -> Answer:
    """Switch a stand-in off and on under a guest on this host.

    Raises NotRunError and ``host.arena.UnclaimedError`` as ``host.switched`` does.
    """
    from .host.standins import How
    from .host.switched import switched

    result = switched(scenario(access), OTHER_HVA, How(api), context, rounds)
    return judged(api, result, host)


def judged(api: str, result: SwitchedResult, host: str) -> Answer:
    """Return the verdicts on what a run came to.

    ``UNTOLD`` and ``HELD_ON`` are among them only where enough was stopped or held up to tell.
    """
    trials = result.trials
    checks = dict(_CHECKS)
    if result.access is Access.STORE:
        checks |= _STORE_CHECKS
        if api in EXCHANGING:
            checks |= {Check.UNNAMED: _unnamed}
    verdicts = {check: _sampled(trials, hit, host) for check, hit in checks.items()}
    for check, (can_ask, hit) in _WHERE.items():
        asked = _sampled([one for one in trials if can_ask(one)], hit, host)
        # Too few to tell, or none: that is no reason to throw the other answers away.
        if asked.word is not Word.NOT_RUN:
            verdicts[check] = asked
    exits = sum((Counter(one.met.exits) for one in trials), Counter[str]())
    failures = Counter[str]()
    for one in trials:
        failures.update({str(reason): n for reason, n in one.met.failures.items()})
    return Answer(verdicts, exits, failures, _samples(result.rounds))


def scenario(access: Access) -> Scenario:
    """Return the slot of the other litmus tests; it logs when the guest stores."""
    from .host.arena import Scenario

    slot, _, gpa, size_bytes, hva = litmus.CREATE.region
    flags = int(MemFlag.LOG_DIRTY_PAGES) if access is Access.STORE else 0
    return Scenario(
        access=access,
        create=(slot, flags, gpa, size_bytes, hva),
        update=(),
        undo=(),
        target=litmus.TARGET,
        untouched=litmus.UNTOUCHED,
        content=litmus.CONTENT,
    )


_Hit = Callable[["Round"], bool]
_CHECKS: Mapping[Check, _Hit] = {
    Check.HOLE: lambda one: bool(one.met.exits),
    Check.FAILS: lambda one: bool(one.met.failures),
    Check.WAITS: lambda one: one.met.asleep,
    Check.HELD_UP: lambda one: one.held_up,
    Check.STUCK: lambda one: not one.resumed,
}
_STORE_CHECKS: Mapping[Check, _Hit] = {
    Check.LEAK: lambda one: one.stores is not None and one.stores.leaked,
    Check.LOST: lambda one: one.lost,
    Check.CORRUPT: lambda one: one.stores is not None and not one.stores.intact,
    Check.LOG_SHUT: lambda one: one.stores is not None and one.stores.shut,
    Check.LOG_LOST: lambda one: (
        one.stores is not None and not (one.stores.first and one.stores.then)
    ),
    Check.LOG_VAGUE: lambda one: one.stores is not None and one.stores.idle,
}
#: Where something can be asked: of an access that was stopped, of a call that was held up.
_WHERE: Mapping[Check, tuple[_Hit, _Hit]] = {
    Check.UNTOLD: (lambda one: one.met.stopped, lambda one: not one.met.told),
    Check.HELD_ON: (lambda one: one.held_up, lambda one: one.held_on),
}


def _unnamed(one: Round) -> bool:
    return one.stores is not None and one.stores.changed and not one.stores.idle


def _sampled(trials: Sequence[Round], hit: _Hit, host: str) -> Verdict:
    hits, met = sum(map(hit, trials)), sum(one.met.count for one in trials)
    if hits:
        return Verdict.seen(hits, len(trials), host=host, opportunities=met)
    if len(trials) < TRIALS_MIN or not met:
        return Verdict.not_run(f"{host}: only {len(trials)} trials, of {TRIALS_MIN}")
    return Verdict.not_seen(len(trials), opportunities=met, host=host)


def _samples(rounds: Sequence[Round]) -> dict[str, list[int]]:
    """Return what each round came to, one entry a round; those of stores only where there are."""
    columns: dict[str, list[int]] = {}
    for one in rounds:
        met, stores = one.met, one.stores
        row = {
            "accesses": met.accesses,
            "exits": sum(met.exits.values()),
            "failures": sum(met.failures.values()),
            "asleep": int(met.asleep),
            "told": int(met.told),
            "held_up": int(one.held_up),
            "held_on": int(one.held_on),
            "resumed": int(one.resumed),
        }
        if stores is not None:
            names = ("leaked", "kept", "intact", "changed", "sent", "shut", "first", "then", "idle")
            row |= {name: int(getattr(stores, name)) for name in names}
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns
