"""A model: declared variables, actors that are generator functions, and properties."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

from .errors import ModelError, nearest
from .kinds import Array, Kind, Member, Ref, Symmetric
from .told import Told

#: How many properties of each sort a model may have: a word of 64 bits marks what a state, or a
#: step, comes to, and three sorts can be about a state.
PROPERTIES_MAX = 20


class Sort(Enum):
    """What a property says; the value is the word that results print."""

    ALWAYS = "always"
    SOMETIMES = "sometimes"
    NEVER = "never"
    NO_DEADLOCK = "no deadlock"
    CAN_ALWAYS_REACH = "can always reach"


@dataclass(frozen=True)
class Property:
    """One property; ``predicate`` takes the shared state and is missing where a step decides."""

    name: str
    sort: Sort
    predicate: Callable[[Any], Any] | None = None


def always(name: str, predicate: Callable[[Any], Any]) -> Property:
    """``predicate`` is true in every reachable state."""
    return Property(name, Sort.ALWAYS, predicate)


def sometimes(name: str, predicate: Callable[[Any], Any] | None = None) -> Property:
    """``predicate`` is true in some reachable state; without one, some step calls ``m.reach``.

    A model one of whose ``sometimes`` never comes true proves nothing: its result is vacuous.
    """
    return Property(name, Sort.SOMETIMES, predicate)


def never(name: str) -> Property:
    """No step calls ``m.fail(name, ...)``.

    The name stands in the text of some step as it is: one that none names is vacuous.
    """
    return Property(name, Sort.NEVER)


def no_deadlock(name: str = "no deadlock") -> Property:
    """In every state some actor can step, unless each has returned or waits with ``end=True``."""
    return Property(name, Sort.NO_DEADLOCK)


def can_always_reach(name: str, predicate: Callable[[Any], Any]) -> Property:
    """From every reachable state some continuation comes to a state where it is true."""
    return Property(name, Sort.CAN_ALWAYS_REACH, predicate)


@dataclass(frozen=True)
class Interval:
    """A stretch of a trace worth seeing, such as a lock that is held: see :func:`interval`."""

    name: str
    predicate: Callable[[Any], Any]


def interval(name: str, predicate: Callable[[Any], Any]) -> Interval:
    """Declare that pictures of a trace shade the stretches in which ``predicate`` is true."""
    return Interval(name, predicate)


class Actor:
    """A generator function that runs as one actor, or as one for each member of a symmetric set.

    It is called with the shared state, then the member if there is a ``per``, then ``arguments``.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        per: Symmetric | None = None,
        name: str = "",
    ) -> None:
        is_plain = isinstance(function, types.FunctionType | types.MethodType)
        if not (is_plain and inspect.isgeneratorfunction(function)):
            raise ModelError(f"{function!r} is no generator function: it has no yield")
        self.function, self.arguments, self.per = function, arguments, per
        self.name = name or function.__name__

    def __repr__(self) -> str:
        return f"Actor({self.name})"


@dataclass(frozen=True)
class Instance:
    """One running actor: the declaration, and which member it is if it is one of several."""

    actor: Actor
    member: Member | None = None

    @property
    def name(self) -> str:
        """The actor's name, with the member's number: ``vcpu1``."""
        return self.actor.name + ("" if self.member is None else str(self.member.index))

    def start(self, shared: object) -> Any:
        """Return the generator, as Python runs it."""
        member = () if self.member is None else (self.member,)
        return self.actor.function(shared, *member, *self.actor.arguments)


@dataclass(frozen=True)
class Variable:
    """A declared variable, its elements laid out one after the other from cell ``first`` on.

    An element that refers to a member takes one cell for each member, which says whether it is
    the one: permuting members then permutes cells, and nothing else.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    per: Symmetric | None
    first: int
    inits: tuple[Any, ...]

    @property
    def cells_each(self) -> int:
        """How many cells an element takes."""
        return len(self.kind.of) if isinstance(self.kind, Ref) else 1


@dataclass(frozen=True)
class Cell:
    """The smallest thing that is read or written: an element, or one bit of a reference.

    ``has_spare`` says that its kind has fewer values than its bits have codes.
    """

    width_bits: int
    init: int
    member: Member | None
    has_spare: bool = False


@dataclass(frozen=True)
class Model:
    """Everything that can be explored: a name, shared variables, actors and properties.

    ``variables`` maps names to kinds (:class:`.Int`, :class:`.Flag`, :class:`.OneOf`,
    :class:`.Ref`) and arrays of them. Actors step in any order, one micro-step at a time; what an
    actor does between two ``yield`` is atomic.

    Raises ModelError for a name that is no identifier or declared twice, a member's actor without
    its set, and more than 20 properties of a sort.

    >>> from memslotlib.check import Int
    >>> def tick(m):
    ...     while m.hours < 11:
    ...         m.hours += 1
    ...         yield
    >>> Model("clock", {"hours": Int(12)}, [Actor(tick)]).actor_names
    ('tick',)
    >>> Model("clock", {"24": Int(12)}, [Actor(tick)])
    Traceback (most recent call last):
    memslotlib.check.errors.ModelError: clock: '24' is no name for a variable
    """

    name: str
    variables: Mapping[str, Kind | Array]
    actors: Sequence[Actor]
    properties: Sequence[Property] = ()
    intervals: Sequence[Interval] = ()
    steps: Mapping[Callable[..., Any], Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in self.variables.items():
            if not name.isidentifier() or name.startswith("_") or name in RESERVED:
                raise ModelError(f"{self.name}: {name!r} is no name for a variable")
            if not isinstance(kind, Kind | Array):
                raise ModelError(f"{self.name}: {name} is declared as {kind!r}: say Int, Flag, ...")
        if not self.actors:
            raise ModelError(f"{self.name}: no actor, so nothing happens")
        for what, names in (
            ("actors", self.actor_names),
            ("properties", tuple(one.name for one in self.properties)),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ModelError(f"{self.name}: two {what} are called {twice[0]!r}")
        for sort in Sort:
            if len(self.of_sort(sort)) > PROPERTIES_MAX:
                raise ModelError(f"{self.name}: over {PROPERTIES_MAX} properties: {sort.value}")

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """Every actor that runs, members one after the other."""
        return tuple(
            Instance(actor, member)
            for actor in self.actors
            for member in (actor.per if actor.per is not None else (None,))
        )

    @cached_property
    def actor_names(self) -> tuple[str, ...]:
        """The name of each instance."""
        return tuple(instance.name for instance in self.instances)

    @cached_property
    def layout(self) -> tuple[Variable, ...]:
        """The variables in the order of their declaration, with their first cells."""
        found, first = [], 0
        for name, declared in self.variables.items():
            array = declared if isinstance(declared, Array) else None
            kind = array.kind if array else declared
            assert isinstance(kind, Kind)
            inits = tuple(array.flat()) if array else (kind.init,)
            per = array.per if array else None
            one = Variable(name, kind, array.shape if array else (), per, first, inits)
            found.append(one)
            first += len(inits) * one.cells_each
        return tuple(found)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, in order."""
        return tuple(cell for variable in self.layout for cell in _cells(variable))

    @cached_property
    def element_names(self) -> tuple[str, ...]:
        """For each cell, the name of the element that it is a part of: ``tlb[1,0]``."""
        names: list[str] = []
        for variable in self.layout:
            for index in itertools.product(*map(range, variable.shape)):
                name = variable.name + (f"[{','.join(map(str, index))}]" if index else "")
                names += [name] * variable.cells_each
        return tuple(names)

    @cached_property
    def symmetric_sets(self) -> tuple[Symmetric, ...]:
        """The symmetric sets that variables and actors speak of, each once."""
        sets = [actor.per for actor in self.actors]
        sets += [variable.per for variable in self.layout]
        sets += [v.kind.of for v in self.layout if isinstance(v.kind, Ref)]
        return tuple(dict.fromkeys(one for one in sets if one is not None))

    @cached_property
    def predicates(self) -> tuple[Property, ...]:
        """The properties that a state has or has not."""
        sorts = Sort.ALWAYS, Sort.SOMETIMES, Sort.CAN_ALWAYS_REACH
        return tuple(one for one in self.of_sort(*sorts) if one.predicate is not None)

    @cached_property
    def step_properties(self) -> tuple[Property, ...]:
        """The properties that a step breaks or reaches."""
        return tuple(
            one for one in self.of_sort(Sort.NEVER, Sort.SOMETIMES) if one.predicate is None
        )

    @cached_property
    def digest(self) -> str:
        """Six hexadecimal digits that change with the model's text and parameters.

        The text is that of actors, predicates and steps, and of the functions that they call by
        name, but for Python's own; parameters are what any of them takes from around it.
        """
        said = self.text + Told().value((self.name, self.variables, self.properties))
        return hashlib.sha256(said.encode()).hexdigest()[:6]

    @cached_property
    def text(self) -> str:
        """What the actors are made of: their text, that of what they call, and their parameters."""
        actors = [(one.name, one.per, one.arguments, one.function) for one in self.actors]
        return Told().value((actors, self.steps))

    def of_sort(self, *sorts: Sort) -> tuple[Property, ...]:
        """Return the properties of these sorts, in order."""
        return tuple(one for one in self.properties if one.sort in sorts)

    def with_step(self, old: Callable[..., Any], new: Callable[..., Any]) -> Model:
        """Return the model with ``new`` in the place of the step ``old``: a fault injected.

        ``old`` is a function decorated with :func:`step`; ModelError when it is not, or when one
        of the two is a generator function and the other is not: calling them differs.
        """
        if not isinstance(old, Step):
            raise ModelError(f"{old!r} is not decorated with @step, so nothing can replace it")
        new = new.function if isinstance(new, Step) else new
        if inspect.isgeneratorfunction(old.function) != inspect.isgeneratorfunction(new):
            raise ModelError(f"{old} and what replaces it: one has a yield, the other has none")
        return replace(self, steps={**self.steps, old: new})

    def variable(self, name: str) -> Variable:
        """Return a variable by its name; ModelError with the nearest name when there is none."""
        for one in self.layout:
            if one.name == name:
                return one
        raise ModelError(f"no variable {name!r}: {nearest(name, self.variables)}")


class Step:
    """A part of an actor that a model can replace: see :func:`step`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, m: Any, *arguments: Any, **named: Any) -> Any:
        """Call what stands in the place of this step in the model that runs."""
        return m.replacement(self)(m, *arguments, **named)

    def __repr__(self) -> str:
        return f"step {self.__name__}"


def step(function: Callable[..., Any]) -> Step:
    """Decorate a function whose first argument is the shared state, so that it can be replaced.

    A plain function is a part of one micro-step; a generator function, called with ``yield from``,
    has micro-steps of its own. :meth:`Model.with_step` puts another in its place.
    """
    return Step(function)


#: What the shared state answers to besides its variables.
RESERVED = frozenset({"choose", "wait", "fail", "reach", "replacement"})


def _cells(variable: Variable) -> Iterable[Cell]:
    kind = variable.kind
    if isinstance(kind, Ref):
        for init in variable.inits:
            yield from (Cell(1, int(init is member), member) for member in kind.of)
        return
    block = len(variable.inits) // len(variable.per) if variable.per else 0
    for number, init in enumerate(variable.inits):
        member = variable.per[number // block] if variable.per else None
        yield Cell(kind.width_bits, kind.encode(init), member, kind.has_spare)
