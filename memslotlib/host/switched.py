"""What a guest meets while a stand-in (``host.standins``) is off, and what that leaves behind.

The guest accesses one page of a slot without end; it has that page mapped when the stand-in goes
off under it, so it is the access under way, or the next one, that meets the switch. The guest is
watched, and userspace tries what it would want to do meanwhile: fetch the slot's dirty log, and
change another slot; when that has to wait, get the vCPU out of KVM_RUN by a signal. Then the
stand-in goes on, and the guest has to go on as well.

A round of stores asks more. The host sees where a store lands through another mapping of the same
memory: it puts zeroes there once the switch is off. The slot logs; before the switch the guest has
stored to another page too, since the log was last fetched, and it does not come back to that page.
"""

from __future__ import annotations

import ctypes
import errno
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from .. import bitmaps
from ..errors import KvmError
from ..interface import Access, Context
from ..uapi import PAGE_SIZE, MemFlag
from . import guest, loops
from .arena import WAIT_LIMIT_S, Arena, NoProgressError, Scenario
from .backend import Backend, Region
from .cpus import apart
from .held import go_on
from .kick import kick
from .loops import Word
from .parked import end, state, watched
from .standins import How, Place, Standin, standin
from .steadfast import SteadfastRunner, running
from .vm import KvmVm

#: How long the guest is watched while the stand-in is off, at least.
WATCH_S = 0.005
#: How long a call may sleep in the kernel before it counts as held up.
HELD_UP_S = 0.1
#: How long it may take to return once nobody holds it up any more: a grace period ends up to 30 ms
#: after its last reader on a busy host, so 20 ms, tried first, told 17 of 80 wrongly.
FREED_S = 0.2
#: The slot that is changed while the stand-in is off.
_SPARE: Region = (guest.SLOT - 1, 0, 0x3000_0000, PAGE_SIZE, 0x2300_0000_0000)
#: Bytes of one access.
_SIZE_BYTES = 4
#: Where in a page the other memory differs from the slot's own: beyond what is accessed.
_MARK_AT, _MARK = 64, b"other"


@dataclass(frozen=True, slots=True)
class Met:
    """What the guest met from the switch on, until it went on undisturbed.

    ``accesses`` came to their end while the stand-in was off; ``exits`` counts by reason;
    ``failures`` counts how KVM_RUN failed, by exit reason. ``asleep``: at the end of the watch no
    access had ended but the one under way, KVM_RUN had not returned, and the vCPU's thread slept.
    ``told``: userspace learnt which page is accessed, from userfaultfd or from a failed KVM_RUN.
    """

    accesses: int
    exits: Mapping[str, int]
    failures: Mapping[int, int]
    asleep: bool
    told: bool

    @property
    def count(self) -> int:
        """How many accesses are known to have met the switch; one that was stopped is one."""
        # A store or load that met a hole has an exit and came to its end as well.
        return max(self.accesses, sum(self.exits.values()), int(self.stopped or self.told))

    @property
    def stopped(self) -> bool:
        """Whether an access was stopped and could be made again: it slept, or KVM_RUN failed."""
        return self.asleep or bool(self.failures)


@dataclass(frozen=True, slots=True)
class Stores:
    """What became of stores, in memory and in the dirty log.

    ``leaked``: one landed in the slot's own memory while the stand-in was off; ``kept``: there, or
    in the memory that was in its place. ``intact``: the slot's own memory is what it was before.
    ``changed``: meanwhile the slot showed other bytes in the page that nobody stores to.

    ``sent``: the log worked before. ``shut``: it could not be fetched while the stand-in was off.
    Logs fetched since the switch name the page stored to before it (``first``), the page that
    nobody stores to (``idle``). ``then``: the page stored to after it is named by a log that began
    when the guest had gone on.
    """

    leaked: bool
    kept: bool
    intact: bool
    changed: bool
    sent: bool
    shut: bool
    first: bool
    then: bool
    idle: bool


@dataclass(frozen=True, slots=True)
class Round:
    """One time that a stand-in was off.

    ``held_up``: the change of another slot slept in the kernel; ``held_on``: it had not returned
    either after the vCPU's thread had got a signal, before the stand-in went on; ``resumed``: after
    that the guest went on. ``stores`` is None for other accesses.
    """

    met: Met
    held_up: bool
    held_on: bool
    resumed: bool
    stores: Stores | None

    @property
    def lost(self) -> bool:
        """Whether a store ended while the stand-in was off, and no memory has it."""
        # The first may have landed before the zeroes were put there.
        return self.stores is not None and self.met.accesses > 1 and not self.stores.kept

    @property
    def is_trial(self) -> bool:
        """Whether the round says something: an access met the switch, and the log had worked."""
        return self.met.count > 0 and (self.stores is None or self.stores.sent)


@dataclass(frozen=True)
class SwitchedResult:
    """What the rounds of one run came to; only those in ``trials`` say something."""

    how: How
    access: Access
    context: Context
    rounds: tuple[Round, ...] = field(repr=False)
    wall_seconds: float
    backend: str

    @property
    def trials(self) -> tuple[Round, ...]:
        """The rounds that say something."""
        return tuple(one for one in self.rounds if one.is_trial)


def switched(
    scenario: Scenario,
    other_hva: int,
    how: How,
    context: Context = Context.LONG64_CPL3,
    rounds: int = 100,
    *,
    backend: Backend | None = None,
) -> SwitchedResult:
    """Switch a stand-in off and on under a running guest, so many times.

    The slot is ``scenario.create``, which logs when stores are made; the guest accesses
    ``untouched``, and stores to ``target`` before; the slot's first page is neither. At
    ``other_hva`` is the memory to exchange its own for. A guest that does not go on ends the run:
    its round is the last.

    Raises NotRunError without a usable KVM or what the stand-in needs; ``arena.NoProgressError``
    when somebody does not get on in time, ``arena.UnclaimedError`` for an exit that the access does
    not explain.
    """
    begin = time.monotonic()
    seen: list[Round] = []
    with _stage(scenario, other_hva, how, context, backend) as stage:
        while len(seen) < rounds and (not seen or seen[-1].resumed):
            seen.append(stage.round())
        wall_seconds = time.monotonic() - begin
        name = stage.made.vm.backend.name
        return SwitchedResult(how, scenario.access, context, tuple(seen), wall_seconds, name)


@dataclass
class Stage:
    """A guest that runs on a slot, the stand-in for it, and threads for calls that may sleep.

    ``own`` and ``other`` are the two memories, ``content`` what the first holds at rest.
    """

    made: Arena
    runner: SteadfastRunner
    place: Place
    standin: Standin
    threads: ThreadPoolExecutor
    own: memoryview
    other: memoryview
    content: bytes
    spare_flags: int = 0

    def round(self) -> Round:
        """Switch off, watch, try, switch on, and compare."""
        made, failed = self.made, len(self.runner.failures)
        sent = self._prepare()
        self.standin.off()
        if self.stores:
            self._word(self.own)[:] = self._word(self.other)[:] = bytes(_SIZE_BYTES)
        heartbeat = made.heartbeat
        asleep, told = self._watch(heartbeat, failed)
        accesses = made.heartbeat - heartbeat
        leaked, elsewhere = (any(self._word(memory)) for memory in (self.own, self.other))
        changed = self.standin.exchanges and self._shows_other()
        fetching, shut = watched(made, self.threads, self._fetch, HELD_UP_S)
        changing, held_up = watched(made, self.threads, self._change_spare, HELD_UP_S)
        held_on = held_up and not self._kicked_free(changing)
        self.standin.on()
        for started, what in ((fetching, "the log"), (changing, "the change of another slot")):
            end(started, what)
        at_rest = made.heartbeat + 2
        resumed = made.wait(lambda: made.heartbeat >= at_rest)
        met = self._met(accesses, failed, asleep=asleep, told=told)
        if not self.stores:
            return Round(met, held_up, held_on, resumed, None)
        during = fetching.result()
        named = (during or set()) | (self._fetch() or set())
        if resumed:
            # So that a store begins after that log was fetched: after the switch, in any case.
            made.wait_for_progress()
        last = self._fetch() or set()
        stores = Stores(
            leaked=leaked,
            kept=leaked or elsewhere,
            intact=bytes(self.own) == self.content,
            changed=changed,
            sent=sent,
            shut=shut or during is None,
            first=self._page(made.scenario.target) in named | last,
            then=self._page(made.scenario.untouched) in last,
            idle=0 in named | last,
        )
        return Round(met, held_up, held_on, resumed, stores)

    @property
    def stores(self) -> bool:
        """Whether the guest stores."""
        return self.made.scenario.access is Access.STORE

    def _prepare(self) -> bool:
        """Bring the guest to its page; whether the log names the page that it stored to before.

        That page is written once more after the log was fetched, and then no more.
        """
        made = self.made
        sent = False
        if self.stores:
            made.words[Word.AT] = made.scenario.target
            made.settle()
            sent = self._page(made.scenario.target) in (self._fetch() or set())
            made.settle()
        go_on(made)
        made.settle()
        return sent

    def _watch(self, heartbeat: int, failed: int) -> tuple[bool, bool]:
        """Watch the guest until it has shown something; whether it sleeps, and who told of it."""
        made, runner, trap = self.made, self.runner, self.standin.trap
        page = self.place.hva + self._page(made.scenario.untouched) * PAGE_SIZE
        begin, told = time.monotonic(), False

        def quiet() -> bool:
            return not made.met and len(runner.failures) == failed

        def enough() -> bool:
            nonlocal told
            told = told or (trap is not None and trap.wait(0) == page)
            shown = told or made.heartbeat > heartbeat + 1 or not quiet()
            return shown and time.monotonic() > begin + WATCH_S

        if not made.wait(enough):
            raise NoProgressError(f"the guest met nothing in {WAIT_LIMIT_S:g} s")
        entries = runner.entries
        asleep = state(runner.thread_id) in "SD" and made.heartbeat <= heartbeat + 1
        return asleep and quiet() and runner.entries == entries, told

    def _met(self, accesses: int, failed: int, *, asleep: bool, told: bool) -> Met:
        failures = self.runner.failures[failed:]
        here = self.made.scenario.untouched // PAGE_SIZE
        named = any(one.gpa is not None and one.gpa // PAGE_SIZE == here for one in failures)
        exits = Counter(one.name for one in self.made.take())
        reasons = Counter(one.exit_reason for one in failures)
        return Met(accesses, exits, reasons, asleep, told or named)

    def _shows_other(self) -> bool:
        """Whether the slot shows the other memory; not for a stand-in that makes one wait."""
        return ctypes.string_at(self.place.hva + _MARK_AT, len(_MARK)) == _MARK

    def _fetch(self) -> set[int] | None:
        """Return the pages of the slot's log, which begins anew; None when there is no such log."""
        try:
            return set(bitmaps.named(self.made.vm.get_dirty_log(self.place.region[0])))
        except KvmError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def _change_spare(self) -> None:
        self.spare_flags ^= MemFlag.LOG_DIRTY_PAGES
        slot, _, *rest = _SPARE
        self.made.vm.set_user_memory_region(slot, self.spare_flags, *rest)

    def _kicked_free(self, waiting: Future[None]) -> bool:
        """Signal the vCPU's thread; whether a call that waits for it returns."""
        kick(self.runner.thread_id)
        deadline = time.monotonic() + FREED_S
        self.made.wait(lambda: waiting.done() or time.monotonic() > deadline)
        return waiting.done()

    def _page(self, gpa: int) -> int:
        return (gpa - self.place.region[2]) // PAGE_SIZE

    def _word(self, memory: memoryview) -> memoryview:
        """Return what the guest accesses, in one of the memories."""
        return memory[self._page(self.made.scenario.untouched) * PAGE_SIZE :][:_SIZE_BYTES]


@contextmanager
def _stage(
    scenario: Scenario, other_hva: int, how: How, context: Context, backend: Backend | None
) -> Iterator[Stage]:
    place = Place(scenario.create, other_hva)
    fetches = scenario.access is Access.FETCH
    content = loops.called(context) if fetches else scenario.content
    with KvmVm(backend=backend) as vm, ExitStack() as later:
        own, other = (vm.memory(hva, place.size_bytes) for hva in (place.hva, other_hva))
        for memory in (own, other):
            for at in range(0, place.size_bytes, PAGE_SIZE):
                memory[at : at + len(content)] = content
        other[_MARK_AT : _MARK_AT + len(_MARK)] = _MARK
        vm.memory(_SPARE[4], _SPARE[3])
        for region in (scenario.create, _SPARE):
            vm.set_user_memory_region(*region)
        cpu = vm.guest()
        code, at = loops.loop(scenario.access, context), guest.LOOP - guest.BASE
        cpu.memory[at : at + len(code)] = code
        words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * loops.WORDS].cast("Q")
        words[Word.AT] = scenario.untouched
        threads = later.enter_context(ThreadPoolExecutor(2, "try"))
        runner = later.enter_context(running(vm, loops.regs(scenario.content), context))
        later.enter_context(apart(runner.thread_id))
        made = Arena(scenario, vm, runner, words)
        made.settle()
        # Left first of all: the guest, and the calls in threads, may be waiting for it.
        switch = later.enter_context(closing(standin(how, vm, place)))
        yield Stage(made, runner, place, switch, threads, own, other, bytes(own))
