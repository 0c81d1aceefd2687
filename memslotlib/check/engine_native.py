"""The native engine: the C walker goes through the decision trees, Python fills in what it lacks.

The walker comes back at the end of every level, every so many states (so that Ctrl-C and a time
bound are noticed), and wherever it meets a path that no actor has run yet.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from . import space
from .errors import CheckError
from .forward import concrete
from .independence import Futures, futures
from .program import OverflowedError, Program
from .space import Bounds, Counts, Edge, Hits, Target
from .symmetry import asymmetric

#: How many states are expanded between two looks at the clock.
SLICE_STATES = 1 << 18
#: After how many states the packing is made to fit the local states that were found.
PROBE_STATES = 1 << 12
#: The share of the machine's available memory that a search may take without a bound.
MEMORY_SHARE = 0.8
#: Of a search that used no more than this, the memory is left to the next one.
KEPT_BYTES_MAX = 1 << 30
_kept: list[Any] = []
_KINDS = {"step": 0, "event": 1, "deadlock": 2}


def available_bytes() -> int:
    """Return how much memory the kernel says is available; 4 GiB where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 4 << 30


class NativeEngine:
    """Breadth-first search in C."""

    name = "native"

    def __init__(self, program: Program, symmetry: bool, known: Futures | None = None) -> None:
        from ._walker import ffi, lib

        self._ffi, self._lib = ffi, lib
        self.program, self.futures = program, known
        self.symmetry = symmetry and bool(program.packing.chunks)
        self.counts = Counts()
        self._walker: Any = None
        # What the walker may read is held here as long as it may; an array in use cannot grow.
        self._buffers: tuple[Any, ...] = ()
        # With partial order, what is known of futures is in terms of this packing.
        self._is_fitted = known is not None
        self._memory_bytes = int(available_bytes() * MEMORY_SHARE)
        self._begin()

    def run(self, bounds: Bounds, is_enough: Callable[[Counts], bool] | None = None) -> None:
        """Explore breadth first until done, a bound is reached, or ``is_enough`` says so."""
        self._until = None if bounds.seconds is None else time.monotonic() + bounds.seconds
        if bounds.memory_bytes is not None:
            self._memory_bytes = bounds.memory_bytes
        ended = None
        while ended is None:
            try:
                ended = self._run(bounds, is_enough)
            except OverflowedError:
                self.program.widen()
                if self.futures is not None:
                    self.futures = futures(self.program)
                self._begin()
            except KeyboardInterrupt:
                ended = space.INTERRUPTED
        self._count()
        self.counts.ended = ended

    def level(self, number: int) -> Iterable[int]:
        """Return the states of a level, as packed ints."""
        begin = self._ends[number - 1] if number else 0
        return (self._state(index) for index in range(begin, self._ends[number]))

    def towards(self, target: Target) -> list[dict[int, list[Edge]]]:
        """Return, level by level, all states on shortest paths to a target, with their steps."""
        ends = self._ends[: target.level + 1]
        begin = ends[-2] if target.level else 0
        marked = bytearray((ends[-1] + 7) // 8)
        buffer = self._ffi.from_buffer("uint8_t[]", marked)
        if target.kind == "states":
            for index in range(begin, ends[-1]):
                if self._state(index) in target.states:
                    marked[index >> 3] |= 1 << (index & 7)
        else:
            kind = _KINDS[target.kind]
            last = min(ends[-1], self._walker.expanded)
            self._lib.walker_target(self._walker, kind, target.number, begin, last, buffer)
        given = self._ffi.new("uint64_t[]", ends)
        self._checked(self._lib.walker_mark(self._walker, given, target.level, buffer))
        states = [
            {self._state(index) for index in _bits(marked, True, low, high)}
            for low, high in zip([0, *ends], ends, strict=False)
        ]
        # Other members of a set than those that were explored may lead to where no tree has been.
        self._buffers = ()
        try:
            return concrete(self.program, states, target, self.symmetry)
        finally:
            self._renew()

    def unreachable(self, predicate: int) -> Iterator[tuple[int, int]]:
        """Return the states from which ``predicate`` can never come true, with their levels."""
        marked = bytearray((self._walker.states + 7) // 8)
        buffer = self._ffi.from_buffer("uint8_t[]", marked)
        self._checked(self._lib.walker_reach(self._walker, predicate, buffer))
        for number, (low, high) in enumerate(zip([0, *self._ends], self._ends, strict=False)):
            for index in _bits(marked, False, low, high):
                yield number, self._state(index)

    def sample(self, seed: int, steps_max: int) -> tuple[list[int], Counts, int]:
        """Make one random run; return its picks, its counts and the next seed."""
        ffi, lib, program = self._ffi, self._lib, self.program
        picks = ffi.new("uint32_t[]", steps_max + 1)
        number, length = ffi.new("uint64_t *"), ffi.new("uint32_t *")
        while True:
            number[0] = seed
            initial = ffi.new("uint64_t[]", self._words_of(program.initial))
            why = lib.walker_sample(self._walker, initial, number, steps_max, picks, length)
            if why != lib.WALKER_MISS:
                break
            self._learn()
        self._checked(why)
        taken = [int(picks[n]) for n in range(length[0])]
        return taken, self._count(), int(number[0])

    def restart(self) -> None:
        """Start over, with the program's packing as it is now."""
        self._begin()

    def close(self) -> None:
        """Give the memory back, or leave it to the next search if that may well want it."""
        if self._walker is None:
            return
        is_whole = self.counts.ended != space.INTERRUPTED
        if is_whole and not _kept and self._walker.memory_bytes <= KEPT_BYTES_MAX:
            heir = self._ffi.new("walker *")
            self._lib.walker_hand_on(self._walker, heir)
            _kept.append(heir)
        else:
            self._lib.walker_end(self._walker)
        self._walker = None
        self._buffers = ()

    def _begin(self) -> None:
        """Start over, with the program's packing as it is now."""
        self.close()
        program, ffi, lib = self.program, self._ffi, self._lib
        self._words = program.packing.words
        walker = self._walker = _kept.pop() if _kept else ffi.new("walker *")
        walker.words = self._words
        walker.states_max = (1 << 64) - 1
        walker.memory_max_bytes = self._memory_bytes
        walker.actor_count = len(program.instances)
        walker.predicate_count = len(program.model.predicates)
        self._actors = ffi.new("walker_actor[]", len(program.instances))
        self._chunks = ffi.new("walker_chunk[]", max(1, len(program.packing.chunks)))
        self._predicate_roots = ffi.new("uint32_t[]", program.predicate_roots)
        self._events = ffi.new("uint8_t[]", [int(one) for one in program.events])
        self._roots = [ffi.new("uint32_t[]", 1 << self._bits(n)) for n in range(len(program.roots))]
        walker.is_fast = lib.walker_can_be_fast()
        sizes = [1 << self._bits(actor) for actor in range(len(self._roots))]
        self._memos = [ffi.new("walker_memo[]", size) for size in sizes]
        for number, actor in enumerate(self._actors):
            actor.memos = self._memos[number]
            actor.offset = program.packing.offsets[program.local_field(number)]
            actor.mask = (1 << self._bits(number)) - 1
            actor.roots = self._roots[number]
        if self.symmetry:
            self._set_chunks()
        self._set_futures()
        walker.actors, walker.chunks = self._actors, self._chunks
        walker.predicate_roots, walker.predicate_events = self._predicate_roots, self._events
        self._ends = [1]
        self._known_roots = [0] * len(program.roots)
        self._renew()
        words = self._words_of(program.initial)
        self._checked(self._lib.walker_begin(walker, ffi.new("uint64_t[]", words)))

    def _words_of(self, *numbers: int) -> list[int]:
        return [one >> 64 * n & (1 << 64) - 1 for one in numbers for n in range(self._words)]

    def _bits(self, actor: int) -> int:
        return self.program.packing.fields[self.program.local_field(actor)].width_bits

    def _set_chunks(self) -> None:
        sets = self.program.model.symmetric_sets
        chunks = sorted(self.program.packing.chunks, key=lambda one: sets.index(one.of))
        for number, (entry, chunk) in enumerate(zip(self._chunks, chunks, strict=False)):
            entry.set = sets.index(chunk.of)
            entry.members = len(chunk.of)
            entry.parts = sum(other.of is chunk.of for other in chunks[number:])
            entry.is_in_one_word = len({offset // 64 for offset in chunk.offsets}) == 1
            entry.mask = (1 << chunk.width_bits) - 1
            for member, offset in enumerate(chunk.offsets):
                entry.word[member], entry.shift[member] = divmod(offset, 64)
        self._walker.chunk_count = len(chunks)

    def _set_futures(self) -> None:
        """Hand over what actors may yet do, as words; nothing without partial order."""
        known = self.futures
        self._masks = [self._mask_words([known.visible if known else 0])]
        self._walker.visible = self._masks[0]
        self._walker.is_partial = known is not None
        if known is None:
            return
        for actor, reads, writes in zip(self._actors, known.reads, known.writes, strict=True):
            self._masks += [self._mask_words(reads), self._mask_words(writes)]
            actor.future_reads, actor.future_writes = self._masks[-2:]
            actor.future_count = len(reads)

    def _mask_words(self, masks: list[int]) -> Any:
        return self._ffi.new("uint64_t[]", self._words_of(*masks))

    def _renew(self) -> None:
        """Tell the walker where the trees are now: they grow, and then they move."""
        program = self.program
        self._buffers = ()
        for number, roots in enumerate(program.roots):
            if len(roots) == self._known_roots[number]:
                continue
            known = self._roots[number]
            for local in range(self._known_roots[number], min(len(roots), len(known))):
                known[local] = roots[local]
            self._known_roots[number] = len(roots)
        nodes = self._ffi.from_buffer("uint64_t[]", program.trees.nodes)
        leaves = self._ffi.from_buffer("uint64_t[]", program.trees.leaves or array("Q", [0]))
        self._walker.nodes, self._walker.leaves = nodes, leaves
        self._buffers = (nodes, leaves)

    def _run(self, bounds: Bounds, is_enough: Callable[[Counts], bool] | None) -> str | None:
        walker, lib = self._walker, self._lib
        walker.memory_max_bytes = self._memory_bytes
        walker.states_max = bounds.states or (1 << 64) - 1
        while True:
            if bounds.depth is not None and walker.level >= bounds.depth:
                return space.DEPTH
            if self._until is not None and time.monotonic() > self._until:
                return space.SECONDS
            probe = max(0, PROBE_STATES - walker.expanded)
            why = lib.walker_run(walker, SLICE_STATES if self._is_fitted else probe)
            if why == lib.WALKER_MISS:
                self._learn()
            elif why == lib.WALKER_LEVEL:
                self._ends.append(walker.states)
                if is_enough is not None and is_enough(self._count()):
                    return space.STOPPED
            elif why == lib.WALKER_SLICE:
                if self._fits_better():
                    return None
            elif why == lib.WALKER_ASYMMETRIC:
                self._asymmetric()
            else:
                return self._ended(why)

    def _ended(self, why: int) -> str:
        lib = self._lib
        if why == lib.WALKER_DONE:
            return space.COMPLETE
        if why == lib.WALKER_STATES:
            return space.STATES
        return space.MEMORY

    def _fits_better(self) -> bool:
        """Pack tighter, once most local states are known; start over if that saves words."""
        if self._is_fitted:
            return False
        self._is_fitted = True
        if not self.program.fit():
            return False
        self._begin()
        return True

    def _learn(self) -> None:
        walker = self._walker
        state = sum([walker.miss_state[n] << 64 * n for n in range(self._words)])
        self._buffers = ()
        try:
            self.program.expand(walker.miss_tree, state)
        finally:
            self._renew()

    def _asymmetric(self) -> None:
        walker, program = self._walker, self.program
        of = program.model.symmetric_sets[walker.asymmetric_set]
        state = self._state(walker.expanded)
        raise asymmetric(program, state, of, walker.asymmetric_member)

    def _count(self) -> Counts:
        walker, model = self._walker, self.program.model
        counts = self.counts
        counts.generated, counts.stopped_paths = walker.generated, walker.stopped
        counts.expanded = walker.expanded
        counts.steps = [_hits(walker.steps[n]) for n in range(len(model.step_properties))]
        counts.predicates = [_hits(walker.predicates[n]) for n in range(len(model.predicates))]
        counts.deadlocks = _hits(walker.deadlocks)
        counts.memory_bytes = walker.memory_bytes
        ends = list(self._ends)
        if walker.states > ends[-1]:
            ends.append(walker.states)
            self._ends = ends
        counts.levels = [high - low for low, high in zip([0, *ends], ends, strict=False)]
        return counts

    def _state(self, index: int) -> int:
        queue, words = self._walker.queue, self._words
        return int(sum(queue[index * words + n] << 64 * n for n in range(words)))

    def _checked(self, why: int) -> None:
        if why == self._lib.WALKER_NO_MEMORY:
            raise CheckError("no memory left for the search")


def release_memory() -> None:
    """Give back the memory that was left to the next search."""
    from ._walker import lib

    while _kept:
        lib.walker_end(_kept.pop())


def _hits(found: Any) -> Hits:
    return Hits(found.count, found.level)


def _bits(marked: bytearray, wanted: bool, low: int, high: int) -> Iterator[int]:
    """Yield which bits from ``low`` up to ``high`` are as wanted."""
    has_none = 0 if wanted else 0xFF
    index = low
    while index < high:
        byte = marked[index >> 3]
        if byte == has_none:
            index = (index | 7) + 1
            continue
        if byte >> (index & 7) & 1 == wanted:
            yield index
        index += 1
