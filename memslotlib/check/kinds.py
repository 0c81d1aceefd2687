"""What a shared variable may hold: ints, flags, enumerations, references; scalars and arrays.

Every kind is bounded and enumerates its values, so that a state packs into a few words of bits. A
:class:`Symmetric` set names actors that are interchangeable: arrays have one element for each
member, and what only permutes members is explored once.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import ModelError

#: The largest number of values that one variable may take.
VALUES_MAX = 1 << 16


class Symmetric:
    """A set of interchangeable members, such as the vCPUs of a machine.

    A dimension of an array (one element a member), the ``per`` of an actor (one copy a member), an
    iterable of its members, and something to ``choose`` from. A member is opaque: it indexes
    arrays and equals itself. That is what makes the members interchangeable, so ``v == 0``, ``v +
    1`` or keeping somebody else's member in a local variable over a ``yield`` are refused; a
    shared variable of kind :class:`Ref` keeps a member.

    Raises ModelError when ``size`` is not between 1 and 16.

    >>> cpu = Symmetric("cpu", 2)
    >>> list(cpu)
    [cpu0, cpu1]
    >>> cpu[0] == 0
    Traceback (most recent call last):
    memslotlib.check.errors.ModelError: cpu0 is compared with 0: members of cpu are \
interchangeable, and a number tells them apart
    """

    def __init__(self, name: str, size: int) -> None:
        if not 1 <= size <= 16:
            raise ModelError(f"{name}: a symmetric set has 1 to 16 members, not {size}")
        self.name, self.size = name, size
        self.members = tuple(Member(self, index) for index in range(size))

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __getitem__(self, index: int) -> Member:
        return self.members[index]

    def __repr__(self) -> str:
        return f"Symmetric({self.name!r}, {self.size})"


class Member:
    """One member of a symmetric set; it indexes arrays and equals itself, and nothing else."""

    __slots__ = ("index", "of")

    def __init__(self, of: Symmetric, index: int) -> None:
        self.of, self.index = of, index

    def __eq__(self, other: object) -> bool:
        if other is None:
            return False
        if not isinstance(other, Member) or other.of is not self.of:
            raise ModelError(
                f"{self} is compared with {other!r}: members of {self.of.name} are "
                "interchangeable, and a number tells them apart"
            )
        return other is self

    def __hash__(self) -> int:
        return hash((self.of.name, self.index))

    def __repr__(self) -> str:
        return f"{self.of.name}{self.index}"


@dataclass(frozen=True)
class Kind:
    """The values of a variable in the order of their codes, and the one that it starts with."""

    values: tuple[Any, ...]
    init: Any
    codes: Mapping[Any, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.values) <= VALUES_MAX:
            raise ModelError(f"a variable takes 1 to {VALUES_MAX:,} values, not {len(self.values)}")
        codes = {value: code for code, value in enumerate(self.values)}
        if len(codes) != len(self.values):
            raise ModelError(f"a value is listed twice in {self.values!r}")
        object.__setattr__(self, "codes", codes)
        self.encode(self.init)

    @property
    def width_bits(self) -> int:
        """How many bits a value takes; a variable with one value takes none."""
        return (len(self.values) - 1).bit_length()

    @property
    def has_spare(self) -> bool:
        """Whether no value has the highest code of these bits."""
        return len(self.values) < 1 << self.width_bits

    def encode(self, value: object) -> int:
        """Return the code of ``value``; ModelError when it is outside."""
        try:
            return self.codes[value]
        except (KeyError, TypeError):
            raise ModelError(f"{value!r} is not in {self}") from None

    def __str__(self) -> str:
        return f"{{{', '.join(map(str, self.values))}}}"


class Int(Kind):
    """An integer in ``range(stop)`` or ``range(start, stop)``; it starts with 0 if it can.

    >>> Int(4).encode(3)
    3
    >>> Int(-1, 2).encode(2)
    Traceback (most recent call last):
    memslotlib.check.errors.ModelError: 2 is not in range(-1, 2)
    """

    def __init__(self, start: int, stop: int | None = None, *, init: int | None = None) -> None:
        values = range(start) if stop is None else range(start, stop)
        if init is None:
            init = 0 if 0 in values else values.start
        if not 1 <= len(values) <= VALUES_MAX:
            raise ModelError(f"{values} has {len(values)} values: 1 to {VALUES_MAX:,} are possible")
        super().__init__(tuple(values), init)

    def __str__(self) -> str:
        return f"range({self.values[0]}, {self.values[-1] + 1})"


class Flag(Kind):
    """True or False; it starts as False. 0 and 1 will do."""

    def __init__(self, *, init: bool = False) -> None:
        super().__init__((False, True), init)


class OneOf(Kind):
    """One of the values given, or of the members of an enumeration; it starts with the first.

    >>> OneOf("absent", "valid").encode("invalid")
    Traceback (most recent call last):
    memslotlib.check.errors.ModelError: 'invalid' is not in {absent, valid}
    """

    def __init__(self, *values: Any, init: Any = ...) -> None:
        if len(values) == 1 and isinstance(values[0], type) and issubclass(values[0], enum.Enum):
            values = tuple(values[0])
        if not values:
            raise ModelError("OneOf() names no value")
        super().__init__(values, values[0] if init is ... else init)


class Ref(Kind):
    """A member of a symmetric set, or None; it starts as None. A lock's owner, for example."""

    def __init__(self, of: Symmetric) -> None:
        super().__init__((None, *of.members), None)
        object.__setattr__(self, "of", of)

    of: Symmetric


@dataclass(frozen=True)
class Array:
    """An array of one kind; each dimension is a number or a :class:`Symmetric` set.

    ``m.tlb[v, g]`` is an element of ``Array(Int(5), cpu, 2)``. ``init`` is one value for all
    elements, or a (nested) sequence of their values. Only the first dimension may be symmetric, and
    its elements start alike: members that differ are not interchangeable.

    Raises ModelError naming what is wrong with the dimensions or ``init``.

    >>> Array(Int(4), 2, init=[0, 1]).flat()
    [0, 1]
    >>> Array(Int(4), 2, init=[0, 1, 2])
    Traceback (most recent call last):
    memslotlib.check.errors.ModelError: 3 initial values for a dimension of 2
    """

    kind: Kind
    dimensions: tuple[int | Symmetric, ...]
    init: Any = ...

    def __init__(self, kind: Kind, *dimensions: int | Symmetric, init: Any = ...) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "dimensions", dimensions)
        object.__setattr__(self, "init", kind.init if init is ... else init)
        if not dimensions or min(self.shape) < 1:
            raise ModelError(f"an array has dimensions of at least 1, not {list(self.shape)}")
        if any(isinstance(one, Symmetric) for one in dimensions[1:]):
            raise ModelError("only the first dimension of an array may be symmetric")
        if self.per and isinstance(kind, Ref):
            raise ModelError("an array with an element a member cannot hold members")
        values = self.flat()
        if self.per:
            block = len(values) // len(self.per)
            if values != values[:block] * len(self.per):
                raise ModelError(f"members of {self.per.name} start with different values")

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""
        return tuple(n if isinstance(n, int) else len(n) for n in self.dimensions)

    @property
    def per(self) -> Symmetric | None:
        """The symmetric set of the first dimension, if it is one."""
        return self.dimensions[0] if isinstance(self.dimensions[0], Symmetric) else None

    def flat(self) -> list[Any]:
        """Return the initial values, row by row."""
        return list(_spread(self.init, self.shape, self.kind))


def _spread(value: Any, shape: Sequence[int], kind: Kind) -> Iterator[Any]:
    if not shape:
        kind.encode(value)
        yield value
        return
    if isinstance(value, list | tuple):
        if len(value) != shape[0]:
            raise ModelError(f"{len(value)} initial values for a dimension of {shape[0]}")
        parts: Sequence[Any] = value
    else:
        parts = [value] * shape[0]
    for part in parts:
        yield from _spread(part, shape[1:], kind)
