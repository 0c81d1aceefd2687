"""A model that was explored to the end, as a table of guarded commands: what exports are made of.

Nothing here runs Python code of the model any more. Each actor has numbered *places*, its local
states; each place has its *moves*: if these cells hold these codes, set those cells, go to that
place. Moves of one place with the same condition are the outcomes of a choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from .. import trees as t
from ..errors import CheckError, nearest
from ..explore import ENGINES
from ..kinds import Int, Member, Ref
from ..model import Cell, Model, Property, Sort, Variable
from ..paths import Mark, Path, Read
from ..program import Program, Role
from ..shared import Elements, Shared
from ..space import COMPLETE, Bounds
from ..stepping import LocalState
from ..trace import source_line

#: Cells with their codes: a condition when they are read, a command when they are written.
Codes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Move:
    """One micro-step out of a place: ``to`` is the place that it leads to.

    ``marks`` holds the step properties that it breaks or reaches. A step that leads nowhere, after
    ``m.fail(..., stop=True)``, writes nothing and comes back to its own place: that adds a
    transition and no state, as the explorer counts it.
    """

    reads: Codes
    writes: Codes
    to: int
    marks: tuple[Mark, ...]
    stops: bool
    label: str


@dataclass(frozen=True)
class Place:
    """A local state of an actor, its moves, and the conditions under which it cannot move.

    ``waits`` are those in which it would be stuck, ``ends`` those in which it may stay for ever.
    ``source`` is the line where the next step begins, ``locals`` what the actor remembers.
    """

    source: str
    locals: str
    moves: tuple[Move, ...]
    waits: tuple[Codes, ...]
    ends: tuple[Codes, ...]


@dataclass(frozen=True)
class Table:
    """All places of each actor, by its name, and when each predicate is true.

    ``states`` and ``generated`` are the explorer's counts without reductions.
    """

    model: Model
    actors: dict[str, tuple[Place, ...]]
    truths: dict[str, tuple[Codes, ...]]
    states: int
    generated: int

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variables that hold anything: one that takes a single value is left out."""
        return tuple(one for one in self.model.layout if is_reference(one) or one.kind.width_bits)

    @property
    def header(self) -> list[str]:
        """What an exported file says of itself, a line each."""
        name = one_line(self.model.name, columns_max=40)
        steps = self.generated - 1
        return [
            f"{name} (model {self.model.digest}), exported by memslotlib.check.",
            f"Without reductions: {self.states:,} states, and {steps:,} steps out of them.",
        ]


def table_of(model: Model, bounds: Bounds | None = None, engine: str = "") -> Table:
    """Explore ``model`` to the end, without reductions, and return its table.

    Raises CheckError when a bound is reached first, since then steps are missing, and whatever
    :func:`.explore` raises.
    """
    engine = engine or next(iter(ENGINES))
    if engine not in ENGINES:
        raise CheckError(f"no engine {engine!r}: {nearest(engine, ENGINES)}")
    program = Program(model)
    made = ENGINES[engine](program, False)
    try:
        made.run(bounds or Bounds(), lambda _: False)
        counts = made.counts
    finally:
        made.close()
    if counts.ended != COMPLETE:
        raise CheckError(
            f"{model.name}: not explored to the end ({counts.ended}: {counts.expanded:,} of "
            f"{counts.distinct:,} states expanded), so its export would lack steps"
        )
    actors: dict[str, tuple[Place, ...]] = {}
    for role in program.roles:
        places = _RoleTable(program, role)
        for actor in role.instances:
            actors[model.actor_names[actor]] = places.of(actor)
    truths = {
        one.name: tuple(
            sorted(
                _reads(path, range(len(model.cells)))
                for path in program.predicate_paths[number]
                if path.kind == t.TRUE
            )
        )
        for number, one in enumerate(model.predicates)
    }
    return Table(model, actors, truths, counts.distinct, counts.generated)


class _RoleTable:
    """The places of a role, numbered in the order in which a walk over its paths meets them.

    The numbers of local states depend on the order of the exploration; these do not.
    """

    def __init__(self, program: Program, role: Role) -> None:
        self.program, self.role = program, role
        # A path is recorded again when another outcome of the same step is new.
        known = {(path.local, tuple(one[:2] for one in path.log)): path for path in role.paths}
        self.paths: dict[int, list[Path]] = {}
        for (local, _), path in sorted(known.items(), key=lambda item: item[0]):
            self.paths.setdefault(local, []).append(path)
        order = dict.fromkeys([0])
        waiting = [0]
        for local in waiting:
            for path in self.paths.get(local, ()):
                if path.kind == t.LEAF and not path.stops and path.after not in order:
                    order[path.after] = None
                    waiting.append(path.after)
        self.order = list(order)

    def of(self, actor: int) -> tuple[Place, ...]:
        """Return the places of one instance, whose cells are its own."""
        return tuple(self._place(actor, local) for local in self.order)

    def _place(self, actor: int, local: int) -> Place:
        swap = self.program.cells_of(actor)
        paths = self.paths.get(local, [])
        blocked: dict[int, list[Codes]] = {t.BLOCKED: [], t.END: []}
        for path in paths:
            if path.kind != t.LEAF:
                blocked[path.kind].append(_reads(path, swap))
        return Place(
            _source(paths) if self.role.locals[local] else "",
            said_locals(self.role.locals[local], self.program.shared),
            tuple(self._move(path, swap) for path in paths if path.kind == t.LEAF),
            tuple(dict.fromkeys(blocked[t.BLOCKED])),
            tuple(dict.fromkeys(blocked[t.END])),
        )

    def _move(self, path: Path, swap: Sequence[int]) -> Move:
        cells = self.program.model.cells
        writes = tuple(
            sorted((swap[cell], code) for cell, code in path.writes if cells[cell].width_bits)
        )
        label = "" if path.label is None else one_line(str(path.label))
        reads = _reads(path, swap)
        if path.stops:
            return Move(reads, (), self.order.index(path.local), path.marks, True, label)
        return Move(reads, writes, self.order.index(path.after), path.marks, False, label)


def _reads(path: Path, swap: Sequence[int]) -> Codes:
    return tuple((swap[one.cell], one.code) for one in path.log if isinstance(one, Read))


def _source(paths: Iterable[Path]) -> str:
    """Return the lines where the paths of a place begin: most often one."""
    found = dict.fromkeys(source_line(path) for path in paths if path.lines)
    said = [f"{PurePath(where).name}: {text}" for where, text in found]
    return one_line(said[0]) + (" ..." if len(said) > 1 else "") if said else ""


def said_locals(local: LocalState, shared: Shared) -> str:
    """Return what an actor remembers, in words; nothing of the shared state and who it is."""
    said = []
    for frame in local:
        names = frame.code.names.get(frame.block, ())
        for name, value in zip(names, frame.saved, strict=False):
            if value is shared or callable(value) or isinstance(value, Elements | Member):
                continue
            # What a for runs through is in its line; where it is has no name there.
            if not name.startswith("__rows"):
                said.append(f"{name.removeprefix('__').rstrip('0123456789')}={value!r}")
    return one_line(" ".join(said)) if local else "returned"


def is_reference(variable: Variable) -> bool:
    """Whether a variable holds members, each element as one cell a member."""
    return isinstance(variable.kind, Ref)


def cells_of(variable: Variable) -> range:
    """Return the numbers of a variable's cells."""
    return range(variable.first, variable.first + len(variable.inits) * variable.cells_each)


def indices_of(variable: Variable, cell: int) -> tuple[int, ...]:
    """Return the indices of a variable's cell: those of the element, then the member's."""
    number, indices = cell - variable.first, []
    for length in reversed(shape_of(variable)):
        number, index = divmod(number, length)
        indices.append(index)
    return tuple(reversed(indices))


def shape_of(variable: Variable) -> tuple[int, ...]:
    """Return the dimensions of a variable's cells; those of a reference have one more."""
    kind = variable.kind
    return (*variable.shape, len(kind.of)) if isinstance(kind, Ref) else variable.shape


def meaning_of(variable: Variable) -> str:
    """Say what a variable's codes mean; nothing where they are the values."""
    kind = variable.kind
    if isinstance(kind, Ref):
        return f"1: it is this member of {one_line(kind.of.name)}; all 0: None"
    plain = (False, True), tuple(range(len(kind.values)))
    if kind.values in plain:
        return ""
    if isinstance(kind, Int):
        return f"{kind.values[0]} to {kind.values[-1]}, as 0 to {len(kind.values) - 1}"
    return one_line(", ".join(f"{code}: {value}" for code, value in enumerate(kind.values)))


def inits_of(variable: Variable, cells: Sequence[Cell]) -> list[int]:
    """Return the initial codes of a variable's cells."""
    return [cells[number].init for number in cells_of(variable)]


def one_line(text: str, columns_max: int = 70) -> str:
    """Return text that can stand in a comment: on one line, and not ending it.

    >>> one_line("a  */ b")
    'a * / b'
    """
    text = " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *").replace('"', "'")
    text = text.replace("\\", "/")
    return text if len(text) <= columns_max else text[: columns_max - 3] + "..."


def unique_names(wanted: Sequence[str], reserved: frozenset[str]) -> list[str]:
    """Return a plain identifier for each name, all of them different and none reserved.

    >>> unique_names(["slot", "do", "vcpu 0", "vcpu_0"], frozenset({"do"}))
    ['slot', 'do_', 'vcpu_0', 'vcpu_0_']
    """
    found: list[str] = []
    for name in wanted:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        # Capitals are for the macros of what reads the file.
        plain = plain if re.match(r"[a-z]", plain) else f"v_{plain}"
        while plain in reserved or plain in found:
            plain += "_"
        found.append(plain)
    return found


def is_exported(one: Property) -> bool:
    """Whether a property can be decided by looking at one state or one step."""
    return one.sort is not Sort.CAN_ALWAYS_REACH
