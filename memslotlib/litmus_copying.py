"""Does a VMM that copies pages by the log have every page in the end? Asked in two ways.

The simulator runs each order of calls of ``copying`` with a store at every boundary between two of
them. A host runs it under a guest that stores without end, and looks for each store that is not in
the copy: it has to lie between the fetch of a log and the return of the call that ended it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .copying import Copier, Event, How, Moment, Place
from .interface import Context, Vm
from .uapi import PAGE_SIZE
from .verdict import Verdict

if TYPE_CHECKING:
    from .host.migration import Trial

#: The test, and the property of ``protocol.properties`` that it looks for a breach of.
NAME, KEEPS = "copying+store", "I5"
PLACE = Place(gpa=0x1000_0000, hva=0x2000_0000_0000, pages=128)
#: A page of each half.
TARGETS = (3, 100)
#: Trials that say something before nothing lost is NOT SEEN.
TRIALS_MIN = 10
_STOPPED = {Event.PAUSE: Event.RESUME, Event.BLOCK: Event.UNBLOCK}


@dataclass(frozen=True, slots=True)
class Stored:
    """One run of the simulator: a store to ``page`` at a boundary, and what became of it."""

    page: int
    at: str
    reason: str
    in_copy: bool

    @property
    def is_lost(self) -> bool:
        """Whether it is in memory and not in the copy."""
        return self.reason == "done" and not self.in_copy

    @property
    def line(self) -> str:
        """One line of a trace."""
        came = "LOST" if self.is_lost else "in the copy" if self.reason == "done" else self.reason
        return f"store to page {self.page} {self.at}: {came}"


def stored(make_vm: Callable[[], AbstractContextManager[Vm]], how: How) -> Iterator[Stored]:
    """Run a round with one store, for each boundary at which the guest runs, and each target."""
    with make_vm() as vm:
        copier = _started(vm, how)
        at = [_told(None), *map(_told, copier.update())]
    for number, text in enumerate(at):
        for page in TARGETS:
            with make_vm() as vm:
                one = _stored(_started(vm, how), number, page, text)
            if one is not None:
                yield one


def simulated(make_vm: Callable[[], AbstractContextManager[Vm]], how: How) -> Verdict:
    """Return the simulator's word: VIOLATED with the stores that are lost, or UNDETERMINED."""
    found = list(stored(make_vm, how))
    bound = f"one store at each boundary of a round, {len(found)} runs; not inside a call"
    lost = tuple(one.line for one in found if one.is_lost)
    if lost:
        return Verdict.violated(lost, bound=bound, states=len(found))
    return Verdict.undetermined(bound, states=len(found))


def raced(
    how: How, context: Context, trials: int, pages: int, host: str
) -> tuple[Verdict, dict[str, list[int]]]:
    """Copy under a storing guest on this host, so many times.

    Raises NotRunError and ``host.arena.UnclaimedError`` as ``host.migration`` does.
    """
    from .host.migration import migrated

    return judged(migrated(how, context, trials, pages), host)


def judged(trials: Sequence[Trial], host: str) -> tuple[Verdict, dict[str, list[int]]]:
    """Return what trials come to, a hit being one that lost a page; and samples, one entry each.

    Opportunities are the rounds before which the guest had stored.
    """
    counted = [one for one in trials if one.overlapped or one.lost]
    hits = sum(bool(one.lost) for one in counted)
    rounds = sum(one.busy for one in counted)
    verdict = Verdict.counted(hits, len(counted), rounds, least=TRIALS_MIN, host=host)
    columns = {name: [one.row[name] for one in counted] for name in (counted or trials)[0].row}
    return verdict, columns


def _started(vm: Vm, how: How) -> Copier:
    copier = Copier(vm, how, PLACE)
    copier.start()
    return copier


def _stored(copier: Copier, number: int, page: int, at: str) -> Stored | None:
    """Make the round with a store at boundary ``number``; None when the guest is stopped there."""
    reason, stopped_until = "", None
    moments: list[Moment | None] = [None]
    if number == 0:
        reason = _store(copier, page)
    for moment in copier.update():
        moments.append(moment)
        if moment.event is stopped_until:
            stopped_until = None
        stopped_until = _STOPPED.get(moment.event, stopped_until)
        if len(moments) - 1 == number:
            if stopped_until is not None:
                return None
            reason = _store(copier, page)
    copier.finish()
    return Stored(page, at, reason, not copier.differing)


def _store(copier: Copier, page: int) -> str:
    return copier.vm.write(copier.guest_gpa + page * PAGE_SIZE, b"!").reason


def _told(moment: Moment | None) -> str:
    if moment is None:
        return "before the round"
    of = f" of slot {moment.part.slot}" if moment.part else ""
    return f"at {moment.event.name.lower()}{of}"
