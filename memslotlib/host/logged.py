"""What the dirty log still tells of stores made before an update, and inside its first ioctl.

The slot logs. Userspace fetches the log, which takes write access from every page; then the guest
stores to the target, whose page so becomes dirty and writable again, and does not come back to
another page, which stays protected. Now the update is made: at once, or held inside its first ioctl
(``host.parked``) while the guest stores to the one page and to the other, and userspace asks for
the log. Whether a store landed is seen in the backing: the host puts a zero there first.
"""

from __future__ import annotations

import errno
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from .. import bitmaps
from ..errors import KvmError
from ..interface import Access, Context
from ..uapi import PAGE_SIZE
from .arena import Arena, Scenario, arena
from .backend import Backend
from .held import Met, go_on, renew, watch
from .loops import Word
from .parked import Reader, end, reader

#: How many bytes the guest stores.
_SIZE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Store:
    """Stores to one page for a while: what they came to, and whether one landed in the backing."""

    met: Met
    landed: bool


@dataclass(frozen=True, slots=True)
class Inside:
    """What happened while the ioctl was held.

    ``writable`` and ``protected`` are stores to the two pages. ``held`` tells whether the ioctl was
    asleep in the kernel before the first look and had not returned at the last, ``log_waited``
    whether the same is so of userspace's fetch of the log.
    """

    held: bool
    writable: Store
    protected: Store
    log_waited: bool


@dataclass(frozen=True, slots=True)
class LogTrial:
    """One update of a slot that logs.

    ``sent`` tells whether the log fetched beforehand named both pages, ``before`` what the stores
    came to that were made between that and the update; ``inside`` is None when nothing was held.
    ``named`` tells whether any log that userspace got since names the target's page; ``refused``
    counts the fetches that ended with ENOENT.
    """

    sent: bool
    before: Store
    inside: Inside | None
    named: bool
    refused: int

    @property
    def written(self) -> bool:
        """Whether a store landed in the target's page after the log was fetched."""
        return self.before.landed or bool(self.inside and self.inside.writable.landed)

    @property
    def lost(self) -> bool:
        """Whether the page was written and no log tells."""
        return self.written and not self.named


@dataclass(frozen=True)
class LogResult:
    """What the updates of one run came to; only those in ``trials`` say something."""

    context: Context
    made: tuple[LogTrial, ...] = field(repr=False)
    wall_seconds: float
    backend: str

    @property
    def trials(self) -> tuple[LogTrial, ...]:
        """The updates before which the log worked and a store landed, and held if they were to."""
        return tuple(
            one
            for one in self.made
            if one.sent and one.before.landed and (one.inside is None or one.inside.held)
        )


def logged(
    scenario: Scenario,
    context: Context = Context.LONG64_CPL3,
    updates: int = 20,
    *,
    held: bool,
    backend: Backend | None = None,
) -> LogResult:
    """Update a slot that logs so many times, its first ioctl held or not.

    The scenario's access is a store, and its target's page index is none that ``untouched`` has
    after the update.

    Raises NotRunError without a usable KVM or, to hold, userfaultfd; ``arena.NoProgressError`` when
    somebody does not get on in time; ``arena.UnclaimedError`` for an exit that the scenario does
    not explain; ValueError for another access.
    """
    if scenario.access is not Access.STORE:
        raise ValueError(f"a {scenario.access.value} makes no page dirty")
    begin = time.monotonic()
    with arena(scenario, context, backend) as made, ExitStack() as later:
        parked = later.enter_context(reader(made.vm, updates)) if held else None
        seen = tuple(_trial(made, parked, number) for number in range(updates))
        wall_seconds = time.monotonic() - begin
        return LogResult(context, seen, wall_seconds, made.vm.backend.name)


def _trial(made: Arena, parked: Reader | None, number: int) -> LogTrial:
    _visit_both(made)
    scenario = made.scenario
    sent = _fetch(made)
    pages = {_page(made, scenario.target), _page(made, scenario.untouched)}
    # Since then the one page is written, the other is not.
    before = _store(made, scenario.target)
    logs: list[bytes | None] = []
    if parked:
        inside, log = _inside(made, parked, number)
        logs.append(log)
    else:
        inside = None
        go_on(made)
        made.wait_for_progress()
        made.apply(scenario.update[:1])
        logs.append(_fetch(made))
    made.apply(scenario.update[1:])
    made.settle()
    logs.append(_fetch(made))
    renew(made)
    named = any(
        log is not None and _page(made, scenario.target) in bitmaps.named(log) for log in logs
    )
    all_sent = sent is not None and pages <= set(bitmaps.named(sent))
    return LogTrial(all_sent, before, inside, named, refused=logs.count(None))


def _inside(made: Arena, parked: Reader, number: int) -> tuple[Inside, bytes | None]:
    """Hold the first ioctl; return what happened, and the log that was asked for meanwhile."""
    scenario = made.scenario
    page, reading = parked.park(number)
    updating, asleep = parked.start(made, lambda: made.apply(scenario.update[:1]))
    writable = _store(made, scenario.target)
    _clear(made, scenario.untouched)
    protected = _store(made, go_on(made))
    fetching, waits = parked.start(made, lambda: _fetch(made))
    log_waited = waits and not fetching.done()
    is_held = asleep and not updating.done()
    parked.pages.serve(page)
    for future, what in ((reading, "the reader"), (updating, "the ioctl"), (fetching, "the log")):
        end(future, what)
    return Inside(is_held, writable, protected, log_waited), fetching.result()


def _visit_both(made: Arena) -> None:
    """Let the guest store to both pages, and go on at the target."""
    for at in (made.scenario.untouched, made.scenario.target):
        made.words[Word.AT] = at
        made.settle()


def _store(made: Arena, at: int) -> Store:
    """Watch the guest store to a page; a zero that is gone afterwards tells that one landed."""
    _clear(made, at)
    met = watch(made, at)
    return Store(met, any(_word(made, at)))


def _clear(made: Arena, at: int) -> None:
    _word(made, at)[:] = bytes(_SIZE_BYTES)


def _word(made: Arena, at: int) -> memoryview:
    _, _, gpa, _, hva = made.scenario.create
    return made.vm.memory(hva + at - gpa, _SIZE_BYTES)


def _fetch(made: Arena) -> bytes | None:
    """Return the slot's log, which begins anew; None when there is no such slot, or no log."""
    try:
        return made.vm.get_dirty_log(made.scenario.create[0])
    except KvmError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def _page(made: Arena, at: int) -> int:
    """Return the index of a page in the slot at rest."""
    return (at - made.scenario.create[2]) // PAGE_SIZE
