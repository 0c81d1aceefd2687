"""A VMM that copies guest pages by the dirty log, and updates their slots meanwhile.

It is written once, over ``interface.Vm``. The simulator runs it with a store between any two calls,
a host under a guest that stores without end; and both ask of the same calls whether every page that
the guest has written is in the copy afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from . import bitmaps
from .interface import Vm
from .uapi import PAGE_SIZE, Cap, ManualProtect, MemFlag

#: 65,536 entries, the most that there may be: a ring that is full would stop the guest.
RING_SIZE_BYTES = 1 << 20
_LOG = int(MemFlag.LOG_DIRTY_PAGES)


class How(Enum):
    """In which order log, copy and update come; the value names it in records and claims.

    Where nothing else is said one slot is deleted and created as it was.
    """

    #: The log is fetched and its pages are copied; no slot is touched.
    NONE = "none"
    #: Fetch the log, copy, delete, create.
    GET_COPY = "get-copy"
    #: Fetch the log, delete, create, copy: as short as two ioctls can be.
    GET_DELETE = "get-delete"
    #: The same with two slots: both logs, both deleted, both created, copy.
    TWO_SLOTS = "two-slots"
    #: As ``GET_DELETE``, while no vCPU runs.
    PAUSE = "pause"
    #: As ``GET_DELETE``, while the memory cannot be written: what KVM_MEM_DISABLED would be.
    BLOCK = "block"
    #: Delete, create, and only then fetch: the new slot's log names every page.
    INITIALLY_SET = "initially-set"
    #: With a dirty ring and two slots that exchange their ids, harvested between delete and create.
    RING_BETWEEN = "ring-between"
    #: The same, harvested after create and read by the new slots.
    RING_LATE = "ring-late"
    #: Fetch, then MOVE the slot by one page, and back the next time.
    MOVE = "move"


class Event(Enum):
    """What the VMM is about to do, or has done."""

    #: About to fetch the log of a part.
    FETCH = auto()
    #: The log of a part was fetched.
    FETCHED = auto()
    #: A part's slot was deleted, or moved: what is stored from now on is not in its old log.
    DELETED = auto()
    #: A slot was created.
    CREATED = auto()
    #: No vCPU may run from here on, until RESUME.
    PAUSE = auto()
    RESUME = auto()
    #: Nobody may write the memory from here on, until UNBLOCK.
    BLOCK = auto()
    UNBLOCK = auto()


@dataclass(frozen=True, slots=True)
class Part:
    """Pages [first, first + pages) of the memory, and the slot that has them."""

    slot: int
    first: int
    pages: int

    def __contains__(self, page: int) -> bool:
        return self.first <= page < self.first + self.pages


@dataclass(frozen=True, slots=True)
class Moment:
    """A boundary between two calls, and the part that it is about, if it is about one."""

    event: Event
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the memory is: the guest sees ``pages`` pages of it from ``gpa`` on."""

    gpa: int
    hva: int
    pages: int


class Copier:
    """Copies the pages of a VM by their log, and updates the slots again and again.

    ``start`` comes before the VM's first vCPU. ``update`` makes one round call by call: it yields a
    :class:`Moment` at each boundary. ``finish`` makes the last round, when nobody stores any more.

    Raises KvmError as the calls do.
    """

    def __init__(self, vm: Vm, how: How, place: Place) -> None:
        self.vm, self.how, self.place = vm, how, place
        pages, half = place.pages, place.pages // 2
        #: Copied pages, each time counted.
        self.sent = 0
        #: What a moved slot has more: so the guest's pages are in it wherever it is.
        self._spare = int(how is How.MOVE)
        self._parts = [Part(1, 0, pages + self._spare)]
        if how in (How.TWO_SLOTS, How.RING_BETWEEN, How.RING_LATE):
            self._parts = [Part(1, 0, half), Part(2, half, pages - half)]
        self._moved = 0
        self.size_bytes = (pages + self._spare) * PAGE_SIZE
        self.source = vm.memory(place.hva, self.size_bytes)
        self.copy = bytearray(self.size_bytes)

    @property
    def guest_gpa(self) -> int:
        """Where the guest may store: the pages from here on are there before and after."""
        return self.place.gpa + self._spare * PAGE_SIZE

    @property
    def _rings(self) -> bool:
        return self.how in (How.RING_BETWEEN, How.RING_LATE)

    def start(self) -> None:
        """Choose how writes are tracked, and create the slots."""
        if self._rings:
            self.vm.enable_cap(Cap.DIRTY_LOG_RING, RING_SIZE_BYTES)
        if self.how is How.INITIALLY_SET:
            options = ManualProtect.ENABLE | ManualProtect.INITIALLY_SET
            self.vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, int(options))
        for part in self._parts:
            self._create(part)

    def update(self) -> Iterator[Moment]:
        """Make one round; what is stored meanwhile has to be in its log or a later one."""
        # Made here: kept, these methods and their object would hold one another.
        rounds: dict[How, Callable[[], Iterator[Moment]]] = {
            How.NONE: self._without_update,
            How.GET_COPY: self._get_copy,
            How.GET_DELETE: self._get_delete,
            How.TWO_SLOTS: self._get_delete,
            How.PAUSE: lambda: self._within(Event.PAUSE, Event.RESUME),
            How.BLOCK: lambda: self._within(Event.BLOCK, Event.UNBLOCK),
            How.INITIALLY_SET: self._create_get,
            How.RING_BETWEEN: self._exchange,
            How.RING_LATE: self._exchange,
            How.MOVE: self._move,
        }
        return rounds[self.how]()

    def finish(self) -> None:
        """Copy what the logs name in the end."""
        self._send(self._harvest() if self._rings else self._fetch_all())

    @property
    def differing(self) -> list[int]:
        """The pages of the memory that are not in the copy as they are."""
        return [
            page
            for page in range(self.size_bytes // PAGE_SIZE)
            if self.source[_bytes(page)] != self.copy[_bytes(page)]
        ]

    def _without_update(self) -> Iterator[Moment]:
        found = yield from self._gets()
        self._send(found)

    def _get_copy(self) -> Iterator[Moment]:
        yield from self._without_update()
        yield from self._recreate()

    def _get_delete(self) -> Iterator[Moment]:
        found = yield from self._gets()
        yield from self._recreate()
        self._send(found)

    def _within(self, begin: Event, end: Event) -> Iterator[Moment]:
        yield Moment(begin)
        found = yield from self._gets()
        yield from self._recreate()
        yield Moment(end)
        self._send(found)

    def _create_get(self) -> Iterator[Moment]:
        yield from self._recreate()
        yield from self._without_update()

    def _exchange(self) -> Iterator[Moment]:
        low, high = self._parts
        yield from self._delete()
        found = self._harvest() if self.how is How.RING_BETWEEN else []
        self._parts = [replace(low, slot=high.slot), replace(high, slot=low.slot)]
        yield from self._create_all()
        for part in self._parts:
            yield Moment(Event.FETCH, part)
        self._send([*found, *self._harvest()])

    def _move(self) -> Iterator[Moment]:
        found = yield from self._gets()
        (part,) = self._parts
        self._moved = 1 - self._moved
        self._create(part)
        yield Moment(Event.DELETED, part)
        self._send(found)

    def _gets(self) -> Generator[Moment, None, list[int]]:
        """Fetch every part's log; what the generator returns is the pages that they name."""
        found: list[int] = []
        for part in self._parts:
            yield Moment(Event.FETCH, part)
            found += self._fetch(part)
            yield Moment(Event.FETCHED, part)
        return found

    def _recreate(self) -> Iterator[Moment]:
        yield from self._delete()
        yield from self._create_all()

    def _delete(self) -> Iterator[Moment]:
        for part in self._parts:
            self.vm.set_user_memory_region(part.slot, 0, 0, 0, 0)
            yield Moment(Event.DELETED, part)

    def _create_all(self) -> Iterator[Moment]:
        for part in self._parts:
            self._create(part)
            yield Moment(Event.CREATED, part)

    def _create(self, part: Part) -> None:
        """Create the part's slot; one that is there, and elsewhere, so is moved."""
        offset, place = part.first * PAGE_SIZE, self.place
        gpa = place.gpa + offset + self._moved * PAGE_SIZE
        size_bytes = part.pages * PAGE_SIZE
        self.vm.set_user_memory_region(part.slot, _LOG, gpa, size_bytes, place.hva + offset)

    def _fetch_all(self) -> list[int]:
        return [page for part in self._parts for page in self._fetch(part)]

    def _fetch(self, part: Part) -> list[int]:
        """Return the pages that a part's log names, which begins anew."""
        log = self.vm.get_dirty_log(part.slot)
        if self.how is How.INITIALLY_SET:
            self.vm.clear_dirty_log(part.slot, 0, part.pages, log)
        return [part.first + page for page in bitmaps.named(log)]

    def _harvest(self) -> list[int]:
        """Return the pages that the ring names, read by the slots that the VMM knows of now."""
        first = {part.slot: part.first for part in self._parts}
        entries = self.vm.reap_dirty_ring()
        self.vm.reset_dirty_rings()
        return [first[slot] + offset for slot, offset in entries]

    def _send(self, pages: list[int]) -> None:
        for page in pages:
            self.copy[_bytes(page)] = self.source[_bytes(page)]
        self.sent += len(pages)


def _bytes(page: int) -> slice:
    return slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)
