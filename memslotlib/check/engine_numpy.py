"""The engine on numpy: a whole level at a time, for where nothing could be compiled.

All states of a level walk an actor's trees side by side: each lane stands at a node, reads go on to
a child, choices split a lane, leaves give successors. Known states are kept as sorted runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import space, trees
from .errors import CheckError
from .forward import concrete
from .independence import Futures
from .packing import Chunk
from .program import OverflowedError, Program
from .space import Bounds, Counts, Edge, Hits, Target
from .symmetry import check_symmetry

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

#: Lanes that walk together: enough to hide Python's part, few enough to stay in the caches.
LANES = 1 << 15
#: After how many states the packing is made to fit the local states that were found.
PROBE_STATES = 1 << 12


class NumpyEngine:
    """Breadth-first search with arrays of packed states, ``words`` columns each."""

    name = "numpy"

    def __init__(self, program: Program, symmetry: bool, known: Futures | None = None) -> None:
        if known is not None:
            raise CheckError("the numpy engine takes a level at once, and no partial order")
        self.program = program
        self.futures: Futures | None = None
        self.symmetry = symmetry and bool(program.packing.chunks)
        self.counts = Counts()
        self._is_fitted = False
        self._begin()

    def run(self, bounds: Bounds, is_enough: Callable[[Counts], bool] | None = None) -> None:
        """Explore breadth first until done, a bound is reached, or ``is_enough`` says so."""
        until = None if bounds.seconds is None else time.monotonic() + bounds.seconds
        ended = None
        while ended is None:
            try:
                ended = self._run(bounds, until, is_enough)
            except OverflowedError:
                self.program.widen()
                self._begin()
            except KeyboardInterrupt:
                ended = space.INTERRUPTED
        self.counts.ended = ended
        self.counts.levels = [len(states) for states in self._levels]
        self.counts.memory_bytes = 2 * sum(states.nbytes for states in self._levels)

    def level(self, number: int) -> Iterable[int]:
        """Return the states of a level, as packed ints."""
        return map(_as_int, self._levels[number])

    def towards(self, target: Target) -> list[dict[int, list[Edge]]]:
        """Return, level by level, all states on shortest paths to a target, with their steps."""
        last = self._levels[target.level]
        marked = [last[self._are_targets(target, last)]]
        for number in range(target.level - 1, -1, -1):
            states = self._levels[number]
            ahead = _sorted(marked[0])
            keep = np.zeros(len(states), bool)
            for begin, batch in self._batches(states):
                moved = self._successors(batch)
                leads = (moved.marks & np.uint64(trees.STOP)) == 0
                lanes = moved.lanes[leads]
                keep[begin + lanes[_found(ahead, self._canonical(moved.states[leads]))]] = True
            marked.insert(0, states[keep])
        sets = [set(map(_as_int, states)) for states in marked]
        return concrete(self.program, sets, target, self.symmetry)

    def unreachable(self, predicate: int) -> Iterator[tuple[int, int]]:
        """Return the states from which ``predicate`` can never come true, with their levels."""
        every = np.concatenate(self._levels)
        order = np.lexsort(every.T)
        sources, targets = [], []
        for begin, batch in self._batches(every):
            moved = self._successors(batch)
            leads = (moved.marks & np.uint64(trees.STOP)) == 0
            ahead = self._canonical(moved.states[leads])
            sources.append(begin + moved.lanes[leads])
            targets.append(order[_places(every[order], ahead)])
        into, out_of = np.concatenate(targets), np.concatenate(sources)
        reached = np.concatenate([self._judged(predicate, b) for _, b in self._batches(every)])
        waiting = reached.copy()
        while waiting.any():
            before = out_of[waiting[into]]
            waiting = np.zeros(len(every), bool)
            waiting[before] = True
            waiting &= ~reached
            reached |= waiting
        begin = 0
        for number, states in enumerate(self._levels):
            for place in np.flatnonzero(~reached[begin : begin + len(states)]):
                yield number, _as_int(states[place])
            begin += len(states)

    def close(self) -> None:
        """Give the memory back."""
        self._levels.clear()
        self._runs.clear()

    def _begin(self) -> None:
        program = self.program
        words = program.packing.words
        initial = _as_words([program.initial], words)
        self._levels: list[Words] = [self._canonical(initial)]
        self._runs = [_sorted(self._levels[0])]
        self.counts = Counts(
            steps=[Hits() for _ in program.model.step_properties],
            predicates=[Hits() for _ in program.model.predicates],
        )
        self._renew()

    def _renew(self) -> None:
        """Take the trees as they are now, as arrays of their parts."""
        grown = self.program.trees
        nodes = np.array(grown.nodes, np.uint64)
        self._kind = (nodes & np.uint64(0xFF)).astype(np.uint8)
        self._mask = nodes >> np.uint64(8) & np.uint64(0xFF)
        self._offset = (nodes >> np.uint64(16) & np.uint64(0xFFFF)).astype(np.int64)
        self._child = (nodes >> np.uint64(32)).astype(np.int64)
        words = grown.words
        leaves = np.array(grown.leaves, np.uint64).reshape(-1, 2 * words + 1)
        self._keep, self._put = leaves[:, :words], leaves[:, words : 2 * words]
        self._marks = leaves[:, 2 * words]
        self._roots = [np.array(roots, np.int64) for roots in self.program.roots]

    def _run(
        self, bounds: Bounds, until: float | None, is_enough: Callable[[Counts], bool] | None
    ) -> str | None:
        most = bounds.states or 1 << 62
        memory = (bounds.memory_bytes or 1 << 62) // (16 * self.program.packing.words)
        while len(self._levels[-1]):
            depth = len(self._levels) - 1
            if bounds.depth is not None and depth >= bounds.depth:
                return space.DEPTH
            self._check_symmetry()
            ended = self._expand_level(depth, min(most, memory), until)
            total = sum(map(len, self._levels))
            if ended or total >= min(most, memory):
                return ended or (space.STATES if most <= memory else space.MEMORY)
            if not self._is_fitted and total > PROBE_STATES:
                self._is_fitted = True
                if self.program.fit():
                    self._begin()
                    return None
            if is_enough is not None and is_enough(self.counts):
                return space.STOPPED
        self._levels.pop()
        return space.COMPLETE

    def _check_symmetry(self) -> None:
        """Look at some of the last level's states: fewer than elsewhere, for Python is slow."""
        if self.symmetry:
            for state in self._levels[-1][:: 1 + len(self._levels[-1]) // 8]:
                check_symmetry(self.program, _as_int(state))
            self._renew()

    def _expand_level(self, depth: int, most: int, until: float | None) -> str:
        """Expand the last level and append the next one; say which bound cut it, if one did."""
        fresh: list[Words] = []
        known = sum(map(len, self._levels))
        ended = ""
        for _, batch in self._batches(self._levels[-1]):
            moved = self._successors(batch)
            self._count(depth, batch, moved)
            leads = (moved.marks & np.uint64(trees.STOP)) == 0
            found = self._new(self._canonical(moved.states[leads]))
            fresh.append(found)
            known += len(found)
            if known >= most:
                break
            if until is not None and time.monotonic() > until:
                ended = space.SECONDS
                break
        following = _sorted(np.concatenate(fresh))
        self._levels.append(following)
        self._runs.append(following)
        # Runs of like sizes are merged, so that there are few of them and merging stays cheap.
        while len(self._runs) > 1 and len(self._runs[-1]) * 2 > len(self._runs[-2]):
            self._runs[-2:] = [_sorted(np.concatenate(self._runs[-2:]))]
        return ended

    def _batches(self, states: Words) -> Iterator[tuple[int, Words]]:
        for begin in range(0, len(states), LANES):
            yield begin, states[begin : begin + LANES]

    def _new(self, states: Words) -> Words:
        states = _sorted(states)
        for run in self._runs:
            if not len(states):
                break
            states = states[~_found(run, states)]
        return states

    def _count(self, depth: int, batch: Words, moved: _Moved) -> None:
        counts = self.counts
        counts.expanded += len(batch)
        counts.generated += len(moved.lanes)
        for number, hits in enumerate(counts.predicates):
            judged = self._judged(number, batch) == self.program.events[number]
            hits.add(depth, int(judged.sum()))
        if moved.marks.any():
            for number, hits in enumerate(counts.steps):
                hits.add(depth, int((moved.marks >> np.uint64(number) & np.uint64(1)).sum()))
            counts.stopped_paths += int((moved.marks >> np.uint64(63)).sum())
        counts.deadlocks.add(depth, int(moved.is_stuck.sum()))

    def _are_targets(self, target: Target, states: Words) -> npt.NDArray[np.bool_]:
        if target.kind == "states":
            return np.array([_as_int(one) in target.states for one in states], bool)
        if target.kind == "event":
            return np.asarray(
                self._judged(target.number, states) == self.program.events[target.number]
            )
        found = np.zeros(len(states), bool)
        for begin, batch in self._batches(states):
            moved = self._successors(batch)
            if target.kind == "deadlock":
                found[begin : begin + len(batch)] = moved.is_stuck
            else:
                hits = (moved.marks >> np.uint64(target.number) & np.uint64(1)).astype(bool)
                found[begin + moved.lanes[hits]] = True
        return found

    def _successors(self, states: Words) -> _Moved:
        """Return every micro-step out of ``states``, learning what is not known yet."""
        lanes, after, marks = [], [], []
        moves = np.zeros(len(states), bool)
        waits = np.zeros(len(states), bool)
        for actor, field in enumerate(self._local_fields()):
            local = (_bits(states, *field)).astype(np.int64)
            while True:
                ends, places = self._walk(states, self._roots[actor][local])
                unknown = np.flatnonzero(self._kind[places] == trees.UNKNOWN)
                if not len(unknown):
                    break
                self.program.expand(actor, _as_int(states[ends[unknown[0]]]))
                self._renew()
            kinds = self._kind[places]
            waits[ends[kinds == trees.BLOCKED]] = True
            is_leaf = kinds == trees.LEAF
            ends, leaf = ends[is_leaf], self._child[places[is_leaf]]
            moves[ends] = True
            lanes.append(ends)
            after.append(states[ends] & self._keep[leaf] | self._put[leaf])
            marks.append(self._marks[leaf])
        return _Moved(
            np.concatenate(lanes), np.concatenate(after), np.concatenate(marks), ~moves & waits
        )

    def _local_fields(self) -> Iterator[tuple[int, int]]:
        packing = self.program.packing
        for actor in range(len(self.program.instances)):
            number = self.program.local_field(actor)
            yield packing.offsets[number], (1 << packing.fields[number].width_bits) - 1

    def _walk(self, states: Words, nodes: Places) -> tuple[Places, Places]:
        """Return the lanes and nodes in which all paths of ``states`` end."""
        lanes = np.arange(len(states))
        done_lanes, done_nodes = [], []
        while len(lanes):
            kinds = self._kind[nodes]
            reads, splits = kinds == trees.READ, kinds == trees.CHOOSE
            ends = ~(reads | splits)
            done_lanes.append(lanes[ends])
            done_nodes.append(nodes[ends])
            split_lanes, split_nodes = self._split(lanes[splits], nodes[splits])
            lanes, nodes = lanes[reads], nodes[reads]
            offset = self._offset[nodes]
            word = states[lanes, offset >> 6] if states.shape[1] > 1 else states[lanes, 0]
            read = word >> (offset & 63).astype(np.uint64) & self._mask[nodes]
            nodes = self._child[nodes] + read.astype(np.int64)
            if len(split_lanes):
                lanes = np.concatenate([lanes, split_lanes])
                nodes = np.concatenate([nodes, split_nodes])
        return np.concatenate(done_lanes), np.concatenate(done_nodes)

    def _split(self, lanes: Places, nodes: Places) -> tuple[Places, Places]:
        """Return a lane for each choice; the number of choices is where reads have an offset."""
        if not len(lanes):
            return lanes, nodes
        counts = self._offset[nodes]
        first = np.repeat(np.cumsum(counts) - counts, counts)
        return (
            np.repeat(lanes, counts),
            np.repeat(self._child[nodes], counts) + np.arange(len(first)) - first,
        )

    def _judged(self, predicate: int, states: Words) -> npt.NDArray[np.bool_]:
        while True:
            roots = np.full(len(states), self.program.predicate_roots[predicate], np.int64)
            lanes, places = self._walk(states, roots)
            unknown = np.flatnonzero(self._kind[places] == trees.UNKNOWN)
            if not len(unknown):
                break
            tree = len(self.program.instances) + predicate
            self.program.expand(tree, _as_int(states[lanes[unknown[0]]]))
            self._renew()
        found = np.zeros(len(states), bool)
        found[lanes] = self._kind[places] == trees.TRUE
        return found

    def _canonical(self, states: Words) -> Words:
        if self.symmetry:
            states = states.copy()
            for of, chunks in self.program.packing.by_set:
                _order(states, of.size, chunks)
        return states


class _Moved:
    """Micro-steps out of a batch: the lane of each, the state after it, its marks."""

    def __init__(self, lanes: Places, states: Words, marks: Words, is_stuck: Any) -> None:
        self.lanes, self.states, self.marks, self.is_stuck = lanes, states, marks, is_stuck


def _order(states: Words, members: int, chunks: list[Chunk]) -> None:
    """Put the members' blocks into descending order, in place: a sorting network of swaps."""
    for last in range(members - 1, 0, -1):
        for one in range(last):
            pairs = [_pair(states, chunk, one) for chunk in chunks]
            is_less = np.zeros(len(states), bool)
            is_same = np.ones(len(states), bool)
            for a, b in pairs:
                is_less |= is_same & (a < b)
                is_same &= a == b
            for chunk, (a, b) in zip(chunks, pairs, strict=True):
                change = np.where(is_less, a ^ b, np.uint64(0))
                for offset in chunk.offsets[one : one + 2]:
                    states[:, offset >> 6] ^= change << np.uint64(offset & 63)


def _pair(states: Words, chunk: Chunk, one: int) -> tuple[Words, Words]:
    mask = (1 << chunk.width_bits) - 1
    a, b = chunk.offsets[one : one + 2]
    return _bits(states, a, mask), _bits(states, b, mask)


def _bits(states: Words, offset: int, mask: int) -> Words:
    return states[:, offset >> 6] >> np.uint64(offset & 63) & np.uint64(mask)


def _as_int(words: Words) -> int:
    return sum(int(word) << 64 * number for number, word in enumerate(words))


def _as_words(states: list[int], words: int) -> Words:
    rows = [[state >> 64 * n & (1 << 64) - 1 for n in range(words)] for state in states]
    return np.array(rows, np.uint64)


def _keys(states: Words) -> Any:
    """Return states as one column that sorts and compares like the rows."""
    if states.shape[1] == 1:
        return states[:, 0]
    big = np.ascontiguousarray(states[:, ::-1]).astype(">u8")
    return big.view(f"V{8 * states.shape[1]}").ravel()


def _sorted(states: Words) -> Words:
    """Return the different states among these, in order."""
    # Not np.unique, whose hashing is slower than a sort of 64-bit numbers.
    ordered = np.sort(states, axis=0) if states.shape[1] == 1 else states[np.lexsort(states.T)]
    if not len(ordered):
        return ordered
    differs = np.ones(len(ordered), bool)
    differs[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return ordered[differs]


def _places(run: Words, states: Words) -> Places:
    """Return where in an ordered run each state is, or would go."""
    return np.asarray(np.searchsorted(_keys(run), _keys(states)))


def _found(run: Words, states: Words) -> npt.NDArray[np.bool_]:
    """Tell which states are in an ordered run."""
    if not len(run):
        return np.zeros(len(states), bool)
    places = np.minimum(_places(run, states), len(run) - 1)
    return np.asarray((run[places] == states).all(axis=1))
