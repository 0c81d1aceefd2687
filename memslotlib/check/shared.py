"""What an actor's code sees of the shared state: variables as attributes, and five methods.

The same view serves every way to run an actor. What reads, writes and choices do is up to its
*port*: record a path (:mod:`.paths`), or change a state that is there (:mod:`.replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol

from .errors import ModelError, nearest
from .kinds import Member, Ref, Symmetric
from .model import RESERVED, Model, Sort, Step, Variable

#: The most outcomes of one ``choose``.
CHOICES_MAX = 1 << 15


class Blocked(BaseException):
    """A ``wait`` whose condition is false: no step from here. No ``except Exception`` stops it."""

    def __init__(self, is_end: bool) -> None:
        super().__init__(is_end)
        self.is_end = is_end


class Port(Protocol):
    """Where the view's reads, writes and choices go; codes, never values.

    ``own`` is the member whose step it is; None stands for the first one too.
    """

    own: Member | None

    def read(self, cell: int) -> int:
        """Return the code in a cell."""

    def write(self, cell: int, code: int) -> None:
        """Put a code into a cell."""

    def choose(self, count: int, of: Symmetric | None) -> int:
        """Return one of ``range(count)``; ``of`` if these are the members of a set."""

    def mark(self, name: str, message: str, stop: bool) -> None:
        """Note that a step property was broken, or reached."""


class Shared:
    """The shared state, as actors and predicates see it: see :func:`view`.

    Variables are attributes (``m.seq``), arrays are indexed (``m.slot[g]``, ``m.tlb[v, g]``).
    """

    _port: Port
    _model: Model
    _kept: dict[str, Any]

    def choose(self, options: int | Iterable[Any]) -> Any:
        """Return any of ``range(options)``, or any element of an iterable: each is explored.

        With nothing to choose from, the step is not possible. A set has no order, and a trace
        would not say which element it chose: ModelError.
        """
        if isinstance(options, int):
            return self._port.choose(_counted(options), None) if options > 0 else self.wait(False)
        if isinstance(options, set | frozenset):
            raise ModelError(
                "a choice among the elements of a set, whose order is not the same in every run: "
                "sort them"
            )
        chosen = options.members if isinstance(options, Symmetric) else tuple(options)
        of = options if isinstance(options, Symmetric) else None
        if not chosen:
            return self.wait(False)
        if of is None and all(isinstance(one, Member) for one in chosen):
            # Every member's choices are numbered as the first member's that exchanged the two.
            chosen = tuple(sorted(chosen, key=self._rank))
        return chosen[self._port.choose(_counted(len(chosen)), of)]

    def _rank(self, member: Member) -> int:
        own = self._port.own
        if own is None or own.of is not member.of:
            return member.index
        return {0: own.index, own.index: 0}.get(member.index, member.index)

    def wait(self, condition: object, *, end: bool = False) -> None:
        """Let the micro-step happen only if ``condition`` is true.

        ``end=True`` says that waiting here for ever is no deadlock.
        """
        if not condition:
            raise Blocked(end)

    def fail(self, name: str, message: str = "", *, stop: bool = False) -> None:
        """Say that this step breaks the property ``never(name)``; exploration goes on.

        ``stop=True`` where the path makes no sense beyond: the step then leads nowhere.
        """
        self._declared(name, Sort.NEVER)
        self._port.mark(name, message, stop)

    def reach(self, name: str) -> None:
        """Say that this step reaches ``sometimes(name)``."""
        self._declared(name, Sort.SOMETIMES)
        self._port.mark(name, "", False)

    def replacement(self, step: Step) -> Callable[..., Any]:
        """Return the function that runs in the place of a step of this model."""
        return self._model.steps.get(step, step.function)

    def _declared(self, name: str, sort: Sort) -> None:
        known = [one.name for one in self._model.of_sort(sort) if one.predicate is None]
        if name not in known:
            raise ModelError(f"no property {sort.value}({name!r}): {nearest(name, known)}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = [*self._model.variables, *sorted(RESERVED)]
        raise ModelError(f"no shared variable {name!r}: {nearest(name, known)}")

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._model.variables:
            object.__setattr__(self, name, value)
        else:
            known = self._model.variables
            raise ModelError(f"no shared variable {name!r}: {nearest(name, known)}")

    def __repr__(self) -> str:
        return f"shared state of {self._model.name}"


def _counted(count: int) -> int:
    if count > CHOICES_MAX:
        raise ModelError(f"a choice among {count:,}: {CHOICES_MAX:,} at most")
    return count


class Elements:
    """An array as actors see it."""

    __slots__ = ("_each", "_first", "_is_plain", "_owner", "_port", "_shape", "_variable")

    def __init__(self, owner: Shared, variable: Variable, port: Port) -> None:
        self._owner, self._variable, self._port = owner, variable, port
        self._shape, self._first, self._each = variable.shape, variable.first, variable.cells_each
        self._is_plain = variable.per is None and len(variable.shape) == 1

    @property
    def name(self) -> str:
        """The name of the variable."""
        return self._variable.name

    def __getitem__(self, index: Any) -> Any:
        cell = self._first + self._place(index) * self._each
        return read(self._port, self._variable, cell)

    def __setitem__(self, index: Any, value: Any) -> None:
        place = self._place(index)
        write(self._port, self._variable, self._first + place * self._each, value, index)

    def __len__(self) -> int:
        return self._shape[0]

    def __iter__(self) -> Any:
        # Python would count up until an IndexError, which members do not give.
        per = self._variable.per
        return (self[i] for i in (per or range(self._shape[0])))

    def _place(self, index: Any) -> int:
        if type(index) is int and self._is_plain and 0 <= index < self._shape[0]:
            return index
        indices = index if isinstance(index, tuple) else (index,)
        if len(indices) != len(self._shape):
            self._refuse(index, f"{len(self._shape)} indices are needed")
        place, per = 0, self._variable.per
        for one, length in zip(indices, self._shape, strict=True):
            if isinstance(one, Member):
                if per is not one.of:
                    self._refuse(index, f"{one} is no index here")
                one = one.index
            elif per is not None:
                self._refuse(index, f"its index is a member of {per.name}")
            if not (isinstance(one, int) and 0 <= one < length):
                self._refuse(index, f"{one!r} is not in range(0, {length})")
            place, per = place * length + one, None
        return place

    def _refuse(self, index: Any, why: str) -> NoReturn:
        raise ModelError(f"{_said(self._variable, index)}: {why}")

    def __repr__(self) -> str:
        return f"shared array {self._variable.name}"


def read(port: Port, variable: Variable, cell: int) -> Any:
    """Return the value of the element that begins at ``cell``."""
    kind = variable.kind
    if isinstance(kind, Ref):
        for member in kind.of:
            if port.read(cell + member.index):
                return member
        return None
    return kind.values[port.read(cell)]


def write(port: Port, variable: Variable, cell: int, value: Any, index: Any = None) -> None:
    """Set the element that begins at ``cell``; ModelError when the value is out of its range."""
    kind = variable.kind
    try:
        code = kind.codes[value]
    except (KeyError, TypeError):
        raise ModelError(f"{_said(variable, index)} = {value!r} is not in {kind}") from None
    if isinstance(kind, Ref):
        for member in kind.of:
            port.write(cell + member.index, int(member is value))
    else:
        port.write(cell, code)


def _said(variable: Variable, index: Any) -> str:
    if index is None:
        return variable.name
    text = ", ".join(map(str, index)) if isinstance(index, tuple) else str(index)
    return f"{variable.name}[{text}]"


def view(model: Model, port: Port) -> Shared:
    """Return the shared state of ``model`` with ``port`` behind it."""
    members: dict[str, Any] = {"_port": port, "_model": model}
    for variable in model.layout:
        members[variable.name] = _scalar(variable, port)
    shared: Shared = type("Shared", (Shared,), members)()
    for variable in model.layout:
        if variable.shape:
            elements = Elements(shared, variable, port)
            setattr(type(shared), variable.name, _array(variable, elements))
    return shared


def _scalar(variable: Variable, port: Port) -> property:
    first = variable.first
    if isinstance(variable.kind, Ref):

        def get(_: Shared) -> Any:
            return read(port, variable, first)
    else:
        values, fetch = variable.kind.values, port.read

        def get(_: Shared) -> Any:
            return values[fetch(first)]

    def put(_: Shared, value: Any) -> None:
        write(port, variable, first, value)

    return property(get, put)


def _array(variable: Variable, elements: Elements) -> property:
    def get(_: Shared) -> Elements:
        return elements

    def put(_: Shared, value: Any) -> None:
        raise ModelError(f"{variable.name} is an array: set its elements, {variable.name}[i] = ...")

    return property(get, put)
