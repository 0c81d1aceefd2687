"""What each actor may still read and write: the ground for partial-order reduction.

A step of one actor may be explored alone where nobody else can, from their local states on, ever
touch what it touches. What an actor *may* do is known from the paths that were found so far, so an
exploration that finds new ones has to be repeated with them: see :func:`.explore.explore`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import trees
from .forward import moves_of
from .paths import Path, Read
from .program import Program

#: An actor with more outcomes in a state is not explored alone.
OUTCOMES_MAX = 64


@dataclass(frozen=True)
class Futures:
    """For each actor and local state, the bits that it may yet read and write; as masks.

    ``visible`` are the bits that predicates read, ``paths`` how many paths this was made from.
    """

    reads: list[list[int]]
    writes: list[list[int]]
    visible: int
    paths: int


def path_count(program: Program) -> int:
    """Return how many paths are known."""
    return sum(len(role.paths) for role in program.roles) + sum(
        len(paths) for paths in program.predicate_paths
    )


def futures(program: Program) -> Futures:
    """Return what follows from the paths that are known now."""
    reads, writes = [], []
    for actor in range(len(program.instances)):
        role = program.role_of[actor]
        local_reads = [0] * len(role.locals)
        local_writes = [0] * len(role.locals)
        before: list[set[int]] = [set() for _ in role.locals]
        for path in role.paths:
            local_reads[path.local] |= _read_mask(program, actor, path)
            local_writes[path.local] |= _write_mask(program, actor, path)
            if path.kind == trees.LEAF:
                before[path.after].add(path.local)
        _spread(local_reads, before)
        _spread(local_writes, before)
        reads.append(local_reads)
        writes.append(local_writes)
    visible = 0
    for paths in program.predicate_paths:
        for path in paths:
            for one in path.log:
                assert isinstance(one, Read)
                visible |= _mask(program, one.cell)
    return Futures(reads, writes, visible, path_count(program))


def _spread(masks: list[int], before: list[set[int]]) -> None:
    """Add to each local state what those that may come after it do."""
    waiting = list(range(len(masks)))
    while waiting:
        local = waiting.pop()
        for earlier in before[local]:
            if masks[local] & ~masks[earlier]:
                masks[earlier] |= masks[local]
                waiting.append(earlier)


def _mask(program: Program, field: int) -> int:
    packing = program.packing
    return ((1 << packing.fields[field].width_bits) - 1) << packing.offsets[field]


def _read_mask(program: Program, actor: int, path: Path) -> int:
    swap = program.cells_of(actor)
    found = 0
    for one in path.log:
        if isinstance(one, Read):
            found |= _mask(program, swap[one.cell])
    return found


def _write_mask(program: Program, actor: int, path: Path) -> int:
    swap = program.cells_of(actor)
    found = 0
    for cell, _ in path.writes:
        found |= _mask(program, swap[cell])
    return found


def ample(
    program: Program, known: Futures, state: int, is_ahead: Callable[[int], bool]
) -> list[tuple[int, int, int, int]]:
    """Return the micro-steps of one actor that are enough to explore, or none.

    Steps as :func:`.forward.moves` gives them. ``is_ahead`` tells whether a state is still to be
    expanded.
    """
    for actor in range(len(program.instances)):
        paths = program.outcomes(actor, state)
        found = moves_of(program, actor, state)
        if not 1 <= len(found) <= OUTCOMES_MAX or any(marks & trees.STOP for *_, marks in found):
            continue
        reads = writes = 0
        for path in paths:
            reads |= _read_mask(program, actor, path)
            if path.kind == trees.LEAF:
                writes |= _write_mask(program, actor, path)
        if writes & known.visible or not _is_independent(
            program, known, actor, state, reads, writes
        ):
            continue
        if any(is_ahead(after) for _, _, after, _ in found):
            return found
    return []


def _is_independent(
    program: Program, known: Futures, actor: int, state: int, reads: int, writes: int
) -> bool:
    for other in range(len(program.instances)):
        local = program.local_of(state, other)
        if other == actor:
            continue
        if local >= len(known.reads[other]):
            return False  # Nothing is known of what it may do.
        will_read, will_write = known.reads[other][local], known.writes[other][local]
        if writes & (will_read | will_write) or reads & will_write:
            return False
    return True
