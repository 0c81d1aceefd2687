"""A model in the form that engines explore: packed states, and a decision tree for each actor.

Trees grow on demand. An engine that meets an unknown path hands the state to
:meth:`Program.expand`, which runs the actor's Python once for each choice and enters the paths;
members of a symmetric set share the code that runs, and each gets the path with its own bits. Every
path runs again, as each other member or as itself: an actor that tells members apart, or does not
repeat itself, is found out before it makes a wrong count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from . import trees as t
from .errors import CheckError, ModelError
from .kinds import Member, Ref
from .model import Actor, Instance, Model, Property, Sort, Variable
from .packing import Field, Packing, pack
from .paths import Choice, Mark, Path, Read, Recorder
from .shared import Blocked, view
from .stepping import LocalState, Stepper, frozen, stand_in

T = TypeVar("T")

#: Bits for each actor's local states to begin with; more where a model needs them.
LOCAL_BITS = 8
LOCAL_BITS_MAX = 20
#: What a choice may branch into, all choices of a step together.
OUTCOMES_MAX = 1 << 16
NESTED_MAX = 60


class OverflowedError(Exception):
    """An actor has more local states than its bits can number: pack again, and start over."""


@dataclass
class Role:
    """An actor's declaration with its instances, and the local states that they have in common."""

    actor: Actor
    instances: list[int]
    locals: list[LocalState] = field(default_factory=list)
    numbers: dict[tuple[Any, ...], int] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    #: Whether it begins after a first ``yield`` that does nothing.
    is_primed: bool = False


class Successor(NamedTuple):
    """A micro-step out of a state: whose, its path, and the state that it leads to."""

    actor: int
    choice: int
    path: Path
    state: int


class Program:
    """The compiled form of a model, for one exploration after another.

    ``roots[actor][local]`` is the tree of an actor in a local state; the trees of predicates come
    after those of the actors, with one root each.
    """

    def __init__(self, model: Model, least_words: int = 1) -> None:
        self.model, self.least_words = model, least_words
        self.recorder = Recorder(pack([]))
        self.shared = view(model, self.recorder)
        self.stepper = Stepper(model, self.shared)
        self.instances: tuple[Instance, ...] = model.instances
        self.roles: list[Role] = []
        for number, instance in enumerate(self.instances):
            if not self.roles or self.roles[-1].actor is not instance.actor:
                self.roles.append(Role(instance.actor, []))
            self.roles[-1].instances.append(number)
        self.role_of = [role for role in self.roles for _ in role.instances]
        self.bit_of = {one.name: number for number, one in enumerate(model.step_properties)}
        #: Of each predicate, the truth value that is an event: that `always` is false, say.
        self.events = [one.sort is not Sort.ALWAYS for one in model.predicates]
        self.predicate_paths: list[list[Path]] = [[] for _ in model.predicates]
        self.expansions = 0
        #: The lines that ran before any micro-step.
        self.started: list[tuple[str, int]] = []
        for role in self.roles:
            self._start(role)
        self.pack_again(dict.fromkeys(range(len(self.roles)), LOCAL_BITS))

    # Packing: cells first, then the local state of each actor.

    def pack_again(self, bits: dict[int, int]) -> None:
        """Lay the state out anew, with so many bits for the local states of each role."""
        self.local_bits = [bits[number] for number in range(len(self.roles))]
        fields = self._fields(bits)
        self.packing: Packing = pack(fields, self.least_words)
        self.trees = t.Trees(self.packing.words)
        self.path_at: dict[int, Path] = {}
        self.roots: list[list[int]] = [[] for _ in self.instances]
        self.predicate_roots = [self.trees.root() for _ in self.model.predicates]
        self._swaps = [self._swap(number) for number in range(len(self.instances))]
        for role in self.roles:
            for _ in role.locals:
                self._add_roots(role)
            for path in role.paths:
                self._enter(role, path)
        for number, paths in enumerate(self.predicate_paths):
            for path in paths:
                self._enter_predicate(number, path)

    def retried(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, done again from the start whenever states got wider.

        For work outside of an engine: it must not keep packed states from one try to the next.
        """
        while True:
            try:
                return work()
            except OverflowedError:
                self.widen()

    def fit(self) -> bool:
        """Pack as tightly as the local states found so far allow; tell whether that saves words.

        What is left of the last word is room for local states that are yet to be found, and goes
        to the roles with the least.
        """
        before = self.packing.words
        found = [len(role.locals) for role in self.roles]
        bits = {number: (count - 1).bit_length() for number, count in enumerate(found)}
        tight = pack(self._fields(bits), self.least_words).words
        if tight == before:
            return False
        wider = [number for number in bits if bits[number] < self.local_bits[number]]
        while wider:
            fullest = max(wider, key=lambda number: found[number] / (1 << bits[number]))
            more = {**bits, fullest: bits[fullest] + 1}
            if pack(self._fields(more), self.least_words).words == tight:
                bits = more
            if bits is not more or bits[fullest] == self.local_bits[fullest]:
                wider.remove(fullest)
        self.pack_again(bits)
        return True

    def _fields(self, bits: dict[int, int]) -> list[Field]:
        fields = [Field(cell.width_bits, cell.member, cell.has_spare) for cell in self.model.cells]
        for number, role in enumerate(self.roles):
            fields += [Field(bits[number], self.instances[i].member) for i in role.instances]
        return fields

    def widen(self) -> None:
        """Give the roles whose local states do not fit two more bits each, and pack again."""
        bits = dict(enumerate(self.local_bits))
        for number, role in enumerate(self.roles):
            while len(role.locals) > 1 << bits[number]:
                bits[number] += 2
            if bits[number] > LOCAL_BITS_MAX:
                raise CheckError(
                    f"{role.actor.name} has over {1 << LOCAL_BITS_MAX:,} local states: keep what "
                    "it counts in shared variables, or bound it"
                )
        self.pack_again(bits)

    # States.

    @property
    def initial(self) -> int:
        """The packed initial state."""
        state = 0
        for index, cell in enumerate(self.model.cells):
            state = self.packing.put(state, index, cell.init)
        return state  # Every actor begins in its local state 0.

    def local_field(self, actor: int) -> int:
        """Return the field that holds the local state of an actor."""
        return len(self.model.cells) + actor

    def local_of(self, state: int, actor: int) -> int:
        """Return the number of an actor's local state."""
        return self.packing.get(state, self.local_field(actor))

    def codes(self, state: int) -> tuple[int, ...]:
        """Return the code of each cell, then the local state of each actor."""
        return tuple(self.packing.get(state, i) for i in range(len(self.packing.fields)))

    def state_of(self, codes: Iterable[int]) -> int:
        """Return the packed state with these codes: the inverse of :meth:`codes`."""
        state = 0
        for index, code in enumerate(codes):
            state = self.packing.put(state, index, code)
        return state

    def values(self, state: int) -> dict[str, Any]:
        """Return the value of each variable; of an array, its elements row by row."""
        found = {one.name: self.value(one, state) for one in self.model.layout}
        shaped = {one.name for one in self.model.layout if one.shape}
        return {name: value if name in shaped else value[0] for name, value in found.items()}

    def value(self, variable: Variable, state: int) -> tuple[Any, ...]:
        """Return the values of a variable's elements, row by row."""
        each, kind = variable.cells_each, variable.kind
        found = []
        for first in range(variable.first, variable.first + len(variable.inits) * each, each):
            codes = [self.packing.get(state, cell) for cell in range(first, first + each)]
            if isinstance(kind, Ref):
                codes = [codes.index(1) + 1 if 1 in codes else 0]
            found.append(kind.values[codes[0]])
        return tuple(found)

    def said(self, state: int) -> str:
        """Return the shared variables of a state as text."""
        return " ".join(f"{name}={_shown(value)}" for name, value in self.values(state).items())

    # Successors, in Python.

    def successors(self, state: int) -> list[Successor]:
        """Return every micro-step out of ``state``, actor by actor, in the order of choices."""
        found = []
        for actor in range(len(self.instances)):
            choice = 0
            for path in self.outcomes(actor, state):
                if path.kind == t.LEAF:
                    found.append(Successor(actor, choice, path, self.after(actor, path, state)))
                    choice += 1
        return found

    def outcomes(self, actor: int, state: int) -> list[Path]:
        """Return the paths of an actor's next micro-step in ``state``, the blocked ones too."""
        root = self.roots[actor][self.local_of(state, actor)]
        while True:
            ends = t.outcomes(self.trees, root, state)
            if self.trees.nodes[ends[-1]] != t.UNKNOWN:
                return [self.path_at[end] for end in ends]
            self.expand(actor, state)

    def after(self, actor: int, path: Path, state: int) -> int:
        """Return the state that a path of an actor leads to."""
        for cell, code in path.writes:
            state = self.packing.put(state, self._swaps[actor][cell], code)
        return self.packing.put(state, self.local_field(actor), path.after)

    def holds(self, predicate: int, state: int) -> bool:
        """Tell whether a predicate is true in ``state``."""
        while True:
            (end,) = t.outcomes(self.trees, self.predicate_roots[predicate], state)
            if self.trees.nodes[end] != t.UNKNOWN:
                return self.trees.nodes[end] == t.TRUE
            self.expand(len(self.instances) + predicate, state)

    # Growing the trees.

    def expand(self, tree: int, state: int) -> None:
        """Learn what tree number ``tree`` does in ``state``.

        Raises ModelError for whatever is wrong with the actor or predicate, and
        :class:`OverflowedError` when its next local state has no number left.
        """
        self.expansions += 1
        if tree >= len(self.instances):
            self._expand_predicate(tree - len(self.instances), state)
            return
        role, instance = self.role_of[tree], self.instances[tree]
        number = self.local_of(state, tree)
        own = state
        if instance.member is not None:
            own = self.packing.swapped(state, instance.member.of, 0, instance.member.index)
        paths = self._paths(role, number, own, 0, instance.name)
        self._confirm(role, number, own, paths, instance.name)
        for path in paths:
            try:
                self._enter(role, path)
            except t.ConflictError:
                self._unrepeatable(path, instance.name, own)
            role.paths.append(path)
        if len(role.locals) > 1 << self.local_bits[self.roles.index(role)]:
            raise OverflowedError

    def _paths(self, role: Role, number: int, state: int, copy: int, name: str) -> list[Path]:
        """Run a micro-step of one of a role's instances once for each of its choices."""
        found: list[Path] = []
        chosen: list[int] | None = []
        while chosen is not None:
            found.append(self._record(role, number, state, chosen, copy, name))
            chosen = self.recorder.next_choices()
            nested = sum(isinstance(one, Choice) for one in found[-1].log)
            if len(found) > OUTCOMES_MAX or nested > NESTED_MAX:
                raise ModelError(
                    f"a step with over {NESTED_MAX} choices or {OUTCOMES_MAX:,} outcomes",
                    actor=name,
                    state=self.said(state),
                )
        return found

    def _confirm(self, role: Role, number: int, state: int, paths: list[Path], name: str) -> None:
        """Run it all again: as the other members in its place, or as itself if there are none.

        The first member's paths stand for all of theirs, so each has to come to the same.
        """
        expected = [self._came_to(role, path, state, 0) for path in paths]
        for copy in range(1, len(role.instances)):
            of = self._member(role, copy).of
            other = self.packing.swapped(state, of, 0, copy)
            again = self._paths(role, number, other, copy, name)
            found = [self._came_to(role, path, other, copy) for path in again]
            # In the same order, mostly; a choice of a member may come to the same in another one.
            if found == expected or Counter(found) == Counter(expected):
                continue
            if self._paths(role, number, state, 0, name) != paths:
                self._unrepeatable(paths[0], name, state)
            raise ModelError(
                f"members {of[0]} and {of[copy]} of {of.name} are told apart: in each other's "
                "place, they do different things",
                where="{}:{}".format(*paths[0].lines[paths[0].first]) if paths[0].lines else "",
                actor=name,
                state=self.said(state),
            )
        if len(role.instances) == 1 and self._paths(role, number, state, 0, name) != paths:
            self._unrepeatable(paths[0], name, state)

    def _came_to(self, role: Role, path: Path, state: int, copy: int) -> tuple[object, ...]:
        """Return what a path led to, in terms of the first member."""
        if path.kind != t.LEAF:
            return (path.kind,)
        for cell, code in path.writes:
            state = self.packing.put(state, cell, code)
        if copy:
            state = self.packing.swapped(state, self._member(role, copy).of, 0, copy)
        return path.kind, state, path.after, self.marks_of(path.marks)

    def _member(self, role: Role, copy: int) -> Member:
        member = self.instances[role.instances[copy]].member
        assert member is not None
        return member

    def _unrepeatable(self, path: Path, name: str, state: int) -> None:
        where = "{}:{}".format(*path.lines[path.first]) if path.lines else ""
        raise ModelError(
            "the actor does not repeat itself: run twice in the same state, its step does "
            "different things; what it does may depend on its locals and the shared state alone",
            where=where,
            actor=name,
            state=self.said(state),
        )

    def _record(
        self, role: Role, number: int, state: int, chosen: list[int], copy: int, name: str
    ) -> Path:
        recorder, stepper = self.recorder, self.stepper
        stepper.lines.clear()
        recorder.begin(self.packing, state, chosen, stepper.lines)
        recorder.own = self.instances[role.instances[copy]].member
        local = role.locals[number]
        if copy:
            local = stand_in(local, self._member(role, 0), self._member(role, copy))
        kind, after, label = t.LEAF, 0, None
        try:
            after, label = stepper.guarded(
                name, lambda: self.said(state), lambda: self._moved(role, local, copy)
            )
        except Blocked as blocked:
            kind = t.END if blocked.is_end else t.BLOCKED
        is_step = kind == t.LEAF
        return Path(
            number,
            tuple(recorder.log),
            kind,
            after,
            tuple(sorted(recorder.written.items())) if is_step else (),
            tuple(recorder.marks) if is_step else (),
            label,
            tuple(stepper.lines),
            max(0, recorder.first),
        )

    def _moved(self, role: Role, local: LocalState, copy: int) -> tuple[int, Any]:
        """Make a micro-step; return the number of the local state after it, and its label."""
        if not local:
            raise Blocked(True)  # An actor that has returned waits for ever: that is no deadlock.
        after, label = self.stepper.step(local)
        return self._number(role, after, copy), label

    def _start(self, role: Role) -> None:
        instance = self.instances[role.instances[0]]
        guarded = self.stepper.guarded
        local, role.is_primed = guarded(
            instance.name, lambda: "", lambda: self.stepper.start(instance)
        )
        self.started += self.stepper.lines
        guarded(instance.name, lambda: "", lambda: self._number(role, local))

    def _number(self, role: Role, local: LocalState, copy: int = 0) -> int:
        """Return the number of a local state; -1 for one that only a copy comes to."""
        key = frozen(local, self.instances[role.instances[copy]].member, self.shared)
        number = role.numbers.get(key, -1)
        if number < 0 and not copy:
            number = role.numbers[key] = len(role.locals)
            role.locals.append(local)
            if hasattr(self, "roots"):
                self._add_roots(role)
        return int(number)

    def _add_roots(self, role: Role) -> None:
        for instance in role.instances:
            self.roots[instance].append(self.trees.root())

    def _enter(self, role: Role, path: Path) -> None:
        """Enter a path, recorded by the first instance of a role, into the tree of each."""
        trees, leaf, offsets, fields = self.trees, 0, self.packing.offsets, self.packing.fields
        own = self.local_field(role.instances[0])
        effect = self.packing.effect((*path.writes, (own, path.after)))
        for actor in role.instances:
            node = self.roots[actor][path.local]
            swap = self._swaps[actor]
            member = self.instances[actor].member
            for one in path.log:
                if isinstance(one, Read):
                    cell = swap[one.cell]
                    node = trees.read(node, offsets[cell], fields[cell].width_bits, one.code)
                else:
                    node = trees.choose(node, one.options, one.made_by(member))
            if path.kind == t.LEAF:
                keep, put = effect
                if member is not None and member.index:
                    keep = self.packing.swapped(keep, member.of, 0, member.index)
                    put = self.packing.swapped(put, member.of, 0, member.index)
                leaf = trees.leaf(keep, put, self.marks_of(path.marks))
            trees.end(node, path.kind, leaf)
            self.path_at[node] = path

    def marks_of(self, marks: tuple[Mark, ...]) -> int:
        """Return the marks as an engine sees them: a bit each."""
        found = 0
        for mark in marks:
            found |= 1 << self.bit_of[mark.name] | (t.STOP if mark.stop else 0)
        return found

    def _read(self, node: int, cell: int, code: int) -> int:
        width = self.packing.fields[cell].width_bits
        return self.trees.read(node, self.packing.offsets[cell], width, code)

    def cells_of(self, actor: int) -> list[int]:
        """Return the cell that an actor touches for each that its role's first one would."""
        return self._swaps[actor]

    def _swap(self, actor: int) -> list[int]:
        """Return, for each cell, the one that an actor touches in its place."""
        found = list(range(len(self.model.cells)))
        member = self.instances[actor].member
        if member is None or member.index == 0:
            return found
        blocks: dict[int, list[int]] = {0: [], member.index: []}
        for index, cell in enumerate(self.model.cells):
            if cell.member is not None and cell.member.of is member.of:
                blocks.get(cell.member.index, []).append(index)
        for one, other in zip(blocks[0], blocks[member.index], strict=True):
            found[one], found[other] = other, one
        return found

    def _expand_predicate(self, number: int, state: int) -> None:
        one = self.model.predicates[number]
        paths = [self._judge(one, state) for _ in range(2)]
        if paths[0] != paths[1]:
            raise ModelError("the predicate does not repeat itself", actor=one.name)
        try:
            self._enter_predicate(number, paths[0])
        except t.ConflictError:
            raise ModelError("the predicate does not repeat itself", actor=one.name) from None
        self.predicate_paths[number].append(paths[0])

    def _judge(self, one: Property, state: int) -> Path:
        recorder = self.recorder
        assert one.predicate is not None
        predicate = one.predicate
        self.stepper.lines.clear()
        recorder.begin(self.packing, state, [], self.stepper.lines)
        recorder.is_predicate = True
        said = self.stepper.guarded(
            one.name, lambda: self.said(state), lambda: bool(predicate(self.shared))
        )
        return Path(0, tuple(recorder.log), t.TRUE if said else t.FALSE)

    def _enter_predicate(self, number: int, path: Path) -> None:
        node = self.predicate_roots[number]
        for one in path.log:
            assert isinstance(one, Read)
            node = self._read(node, one.cell, one.code)
        self.trees.end(node, path.kind)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{' '.join(map(str, value))}]"
    return str(value)
