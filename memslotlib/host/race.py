"""Races between a running vCPU and the ioctls that update the slot under it.

- ``rendezvous``: the updater waits between the ioctls until the guest has met the hole. It shows
  what a guest gets, not how often.
- ``overlap``: nobody waits for anybody; the guest itself proves during which updates it ran. That
  shows that a window is hit without help; and where nothing is seen, that somebody was looking. It
  does not show that any access met the slot while it was invalid: ``host.held`` does.

Each opens a VM of its own, is bounded in time, and leaves neither thread nor VM behind, whatever
ends it. After KVM_EXIT_INTERNAL_ERROR the guest tries the same instruction again, which takes more
than KVM_RUN: ``host.runner`` first takes back the #UD that KVM has queued.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..interface import Access, Context
from .arena import Arena, Scenario, arena
from .backend import Backend
from .loops import Word

#: Waits in a row that end with nothing, after which a rendezvous gives up.
MISSES = 3
#: The guest proves that an access lay between two changes of the phase. When more than this lies
#: between them, the updater may have lost its CPU just outside the ioctl, and nothing is proven.
BRACKET_LIMIT_NS = 1_000_000
OVERLAP_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class UpdateSeen:
    """One update of the slot, as the guest saw it.

    ``exits`` counts what it met, by reason; ``accesses`` those that it proved to have made inside:
    inside the bracket around the ioctls, or, in a rendezvous, inside the wait between them.
    ``retried`` page faults found the slot INVALID, or page tables that were given up: KVM let the
    guest try again (None where the kernel does not tell).
    """

    exits: Mapping[str, int]
    accesses: int
    duration_ns: int
    retried: int | None = None

    @property
    def overlapped(self) -> bool:
        """Whether the guest ran inside: by its own proof, or by an exit that has no other cause."""
        return self.accesses > 0 or self.hit

    @property
    def hit(self) -> bool:
        """Whether the guest met a hole."""
        return bool(self.exits)


@dataclass(frozen=True)
class RaceResult:
    """What the updates of one run came to; ``seen`` has one entry an update."""

    access: Access
    context: Context
    seen: tuple[UpdateSeen, ...] = field(repr=False)
    wall_seconds: float
    backend: str

    @property
    def trials(self) -> int:
        """How many updates the guest ran inside; the others show nothing."""
        return sum(one.overlapped for one in self.seen)

    @property
    def hits(self) -> int:
        """How many updates the guest met a hole in."""
        return sum(one.hit for one in self.seen)

    @property
    def accesses(self) -> int:
        """How many accesses the guest proved to have made inside an update."""
        return sum(one.accesses for one in self.seen)

    @property
    def exits_by_reason(self) -> Mapping[str, int]:
        """How many exits of each reason there were."""
        return sum((Counter(one.exits) for one in self.seen), Counter())


def rendezvous(
    scenario: Scenario,
    context: Context = Context.LONG64_CPL3,
    updates: int = 300,
    *,
    backend: Backend | None = None,
) -> RaceResult:
    """Update, each time waiting between two ioctls until the guest has exited.

    A wait ends after ``arena.WAIT_LIMIT_S``; after ``MISSES`` updates in a row that were no hits
    the run ends, with fewer updates than asked for.

    Raises NotRunError without a usable KVM; ValueError for an update of one ioctl, inside which
    userspace cannot wait; ``arena.NoProgressError`` and ``arena.UnclaimedError`` as they say.
    """
    if len(scenario.update) < 2:
        raise ValueError("an update of one ioctl has no inside to wait in")

    def enough(seen: list[UpdateSeen]) -> bool:
        last = seen[-MISSES:]
        return len(seen) >= updates or (len(last) == MISSES and not any(one.hit for one in last))

    return _race(scenario, context, _update_waiting, enough, backend)


def overlap(
    scenario: Scenario,
    context: Context = Context.LONG64_CPL3,
    updates: int = 300,
    *,
    backend: Backend | None = None,
) -> RaceResult:
    """Update without waiting, until the guest has run inside ``updates`` of the updates.

    The phase that the guest reads is odd from just before the first ioctl to just after the last.
    Without enough of them the run ends after ``OVERLAP_LIMIT_S``.

    Raises NotRunError without a usable KVM; ``arena.NoProgressError`` and ``arena.UnclaimedError``
    as they say.
    """
    deadline = time.monotonic() + OVERLAP_LIMIT_S
    trials = 0

    def enough(seen: list[UpdateSeen]) -> bool:
        nonlocal trials
        trials += bool(seen) and seen[-1].overlapped
        return trials >= updates or time.monotonic() > deadline

    return _race(scenario, context, _update_bracketed, enough, backend)


def _race(
    scenario: Scenario,
    context: Context,
    update: Callable[[Arena], UpdateSeen],
    enough: Callable[[list[UpdateSeen]], bool],
    backend: Backend | None,
) -> RaceResult:
    begin = time.monotonic()
    seen: list[UpdateSeen] = []
    with arena(scenario, context, backend) as made:
        while not enough(seen):
            seen.append(update(made))
            if scenario.undo:
                made.apply(scenario.undo)
                # What the guest met in going back belongs to no update.
                made.settle()
        wall_seconds = time.monotonic() - begin
        return RaceResult(scenario.access, context, tuple(seen), wall_seconds, made.vm.backend.name)


def _update_bracketed(made: Arena) -> UpdateSeen:
    faults = made.faults
    tried = faults.retried if faults else 0
    before, begin = made.overlapping, time.monotonic_ns()
    made.vm.update_bracketed(made.words, Word.PHASE, list(made.scenario.update))
    duration_ns = time.monotonic_ns() - begin
    retried = faults.retried - tried if faults else None
    exits = made.settle()
    proven = made.overlapping - before if duration_ns <= BRACKET_LIMIT_NS else 0
    return UpdateSeen(exits, proven, duration_ns, retried)


def _update_waiting(made: Arena) -> UpdateSeen:
    first, *rest = made.scenario.update
    served, begin = 0, time.monotonic_ns()
    made.words[Word.PHASE] += 1
    made.apply((first,))
    for step in rest:
        before = made.overlapping
        made.wait(lambda: made.met)
        # The first may have begun before the ioctl returned.
        served += max(0, made.overlapping - before - 1)
        made.apply((step,))
    made.words[Word.PHASE] += 1
    duration_ns = time.monotonic_ns() - begin
    return UpdateSeen(made.settle(), served, duration_ns)
