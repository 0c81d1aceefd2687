"""The window inside one ioctl, held open for as long as wanted.

A second vCPU sleeps inside KVM (``host.parked``), so an ioctl that changes a slot publishes its
first change and waits: INVALID for a DELETE or a MOVE, the new slot for a CREATE. Meanwhile the
guest accesses a page, and then another; what it meets, it meets inside the ioctl. Then the reader
goes on, and so does the ioctl.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..interface import Access, Context
from ..uapi import ExitReason
from .arena import WAIT_LIMIT_S, Arena, NoProgressError, Scenario, arena
from .backend import Backend
from .loops import Word
from .parked import Reader, end, reader

#: How long the guest is watched at each of the two pages.
WATCH_S = 0.01


@dataclass(frozen=True, slots=True)
class Met:
    """What the guest's accesses to one page came to while the ioctl was held.

    ``accesses`` came to their end; ``exits`` counts what they met, by reason. ``stalled``: one was
    begun and none ended.
    """

    accesses: int
    exits: Mapping[str, int]
    stalled: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold: accesses to the target, and to a page that was not mapped.

    The target was mapped when the update began; while a later ioctl than its first is held, the
    ``mapped`` page is one that the guest met a hole at before. ``unmapped`` is None when the guest
    never came to that page: an instruction that cannot be fetched is tried over and over. ``held``
    tells whether the ioctl was asleep in the kernel before the first look at the guest, and had not
    returned at the last. ``beforehand`` counts what the guest met from the beginning of the update
    to that ioctl, ``afterwards`` between the release and the end of the whole update.
    """

    held: bool
    mapped: Met
    unmapped: Met | None
    afterwards: Mapping[str, int]
    beforehand: Mapping[str, int] = field(default_factory=dict)

    @property
    def exits(self) -> Counter[str]:
        """What the guest met while the ioctl was held, by reason."""
        return Counter(self.mapped.exits) + Counter(self.unmapped.exits if self.unmapped else {})

    @property
    def asked(self) -> int:
        """How many accesses had to ask the slot, and not just the page tables."""
        asked = sum(self.mapped.exits.values())
        return asked + (self.unmapped.accesses + self.unmapped.stalled if self.unmapped else 0)


@dataclass(frozen=True)
class HeldResult:
    """What the holds of one run came to; only those in ``trials`` say something."""

    access: Access
    context: Context
    holds: tuple[Hold, ...] = field(repr=False)
    wall_seconds: float
    backend: str

    @property
    def trials(self) -> tuple[Hold, ...]:
        """The holds during which the ioctl was held all the time, and an access asked the slot."""
        return tuple(one for one in self.holds if one.held and one.asked)


def held(
    scenario: Scenario,
    context: Context = Context.LONG64_CPL3,
    holds: int = 20,
    step: int = 0,
    *,
    backend: Backend | None = None,
) -> HeldResult:
    """Hold one of the scenario's ioctls ``holds`` times, its first by default, and watch the guest.

    Before each hold the slot is created anew and the guest has accessed ``target`` alone; then the
    ioctls before number ``step`` are made, and the guest has met what they leave it.

    Raises NotRunError without a usable KVM or userfaultfd; ``arena.NoProgressError`` when guest,
    reader or ioctl do not get on in time; ``arena.UnclaimedError`` for an exit that the scenario
    does not explain; ValueError when the update has no such ioctl.
    """
    if not 0 <= step < len(scenario.update):
        raise ValueError(f"an update of {len(scenario.update)} ioctls has no number {step}")
    begin = time.monotonic()
    with arena(scenario, context, backend) as made, reader(made.vm, holds) as parked:
        seen = tuple(_hold(made, parked, number, step) for number in range(holds))
        wall_seconds = time.monotonic() - begin
        return HeldResult(scenario.access, context, seen, wall_seconds, made.vm.backend.name)


def _hold(made: Arena, parked: Reader, number: int, step: int) -> Hold:
    update = made.scenario.update
    beforehand = _until(made, step)
    page, reading = parked.park(number)
    updating, asleep = parked.start(made, lambda: made.apply(update[step : step + 1]))
    if step:
        # An access that was under way when the change was published is over after this.
        watch(made, made.scenario.target)
    mapped = watch(made, made.scenario.target)
    stuck = ExitReason.INTERNAL_ERROR.name.lower() in mapped.exits
    unmapped = None if stuck else watch(made, go_on(made))
    is_held = asleep and not updating.done()
    parked.pages.serve(page)
    end(reading, "the reader")
    end(updating, "the ioctl")
    made.apply(update[step + 1 :])
    afterwards = made.settle()
    renew(made)
    return Hold(is_held, mapped, unmapped, afterwards, beforehand)


def _until(made: Arena, step: int) -> Mapping[str, int]:
    """Make the ioctls before number ``step``; count what the guest meets after them."""
    if not step:
        return {}
    made.apply(made.scenario.update[:step])
    return watch(made, made.scenario.target).exits


def go_on(made: Arena) -> int:
    """Send the guest to the page that it has not accessed yet, and wait until it has begun to."""
    page = made.scenario.untouched
    made.words[Word.AT] = page
    if not made.wait(lambda: bool(made.words[Word.BEGUN] == page)):
        raise NoProgressError(f"the guest did not come to its other page in {WAIT_LIMIT_S:g} s")
    return page


def watch(made: Arena, at: int) -> Met:
    """Look at the guest for ``WATCH_S``, and longer until it has shown something or has run."""
    made.take()
    before, ran, begin = made.heartbeat, made.runner.cpu_seconds, time.monotonic()

    def enough() -> bool:
        # One access may have been under way already.
        shown = made.heartbeat > before + 1 or made.met
        ran_on = made.runner.cpu_seconds > ran + WATCH_S / 2
        return (shown or ran_on) and time.monotonic() > begin + WATCH_S

    if not made.wait(enough):
        raise NoProgressError(f"the guest did not run for {WAIT_LIMIT_S:g} s")
    accesses = made.heartbeat - before
    exits = Counter(one.name for one in made.take() if made.scenario.claims(one, at))
    return Met(accesses, exits, stalled=not accesses and not exits)


def renew(made: Arena) -> None:
    """Bring the guest back to the target, and the slot back without any page mapped."""
    slot, *_ = made.scenario.create
    made.words[Word.AT] = made.scenario.target
    # First it must be there: an access under way would map the other page in the new slot.
    made.settle()
    made.apply(((slot, 0, 0, 0, 0), made.scenario.create))
    made.settle()
