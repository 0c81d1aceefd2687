"""A model as Promela, for SPIN: a process for each actor, a label for each of its local states.

A process's control state *is* its actor's local state, and what one actor does between two yields
is one ``d_step``, so SPIN without partial-order reduction stores as many states as the explorer
finds without reductions. Nothing of the explorer's engines takes part in that count.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import CheckError
from ..model import Model, Property, Sort, Variable
from ..space import Bounds
from .table import (
    Codes,
    Move,
    Place,
    Table,
    cells_of,
    inits_of,
    is_exported,
    is_reference,
    meaning_of,
    one_line,
    shape_of,
    table_of,
    unique_names,
)

#: SPIN numbers processes with a byte, and keeps one of the numbers for itself.
PROCESSES_MAX = 255
#: What a state takes in SPIN unless it is compiled with a larger -DVECTORSZ.
VECTOR_BYTES = 1024

#: What SPIN reads as something else, and what means something to C where its verifier is compiled.
_WORDS = """
    active always arch assert atomic auto bit bool break byte c_code c_decl c_expr c_state c_track
    case chan char const continue d_proctype d_step default define do double else empty enabled
    enum errno eval eventually extern false fi final float for full get_priority goto hidden i386
    if implies in init inline int len linux local long ltl max mtype never next notrace now np_ od
    of pc_value pid printf printm priority proctype provided rand register release return run
    select set_priority short show signed sizeof skip static stderr stdin stdout strong stronguntil
    struct switch timeout trace true typedef uchar uint ulong union unix unless unsigned until
    ushort void volatile weakuntil while xr xs
"""
RESERVED = frozenset(_WORDS.split()) | {f"n{word}" for word in ("empty", "full")}


def to_promela(model: Model, *, bounds: Bounds | None = None, engine: str = "") -> str:
    """Return ``model`` as Promela, after exploring it with ``engine`` to learn all of its steps.

    SPIN finds as many states as :func:`.explore` with ``symmetry=False``, and as many transitions
    as ``generated`` says. With ``-DCHECK`` (of steps) and ``-DWATCH`` (of states) the properties
    are assertions, ``sometimes`` too: there, SPIN's counterexample is the example. A deadlock is an
    invalid end state. ``can always reach`` is left out: it is no matter of one state.

    Raises CheckError when the exploration reaches one of ``bounds``, or when SPIN cannot take so
    many processes; ModelError for whatever is wrong with the model.

    >>> from memslotlib.check import Actor, Int, Model
    >>> def tick(m):
    ...     while m.hour < 11:
    ...         m.hour += 1
    ...         yield "tick"
    >>> clock = Model("clock", {"hour": Int(12)}, [Actor(tick)])
    >>> next(line for line in to_promela(clock).splitlines() if "::" in line)
    '    :: d_step { hour == 0 -> hour = 1 }; goto at0  /* tick */'
    >>> to_promela(clock, bounds=Bounds(states=5))
    Traceback (most recent call last):
    memslotlib.check.errors.CheckError: clock: not explored to the end (states: 4 of 5 states \
expanded), so its export would lack steps
    """
    # Each predicate has a process too, with -DWATCH.
    processes = len(model.instances) + len(model.predicates)
    if processes > PROCESSES_MAX:
        raise CheckError(
            f"{model.name}: {processes} processes, and SPIN runs {PROCESSES_MAX} at most"
        )
    return _Promela(table_of(model, bounds, engine)).text()


class _Promela:
    """Writes a table down, from the top to the bottom of the file."""

    def __init__(self, table: Table) -> None:
        self.table, self.model = table, table.model
        variables = table.variables
        names = unique_names([one.name for one in variables] + list(table.actors), RESERVED)
        self.names = dict(zip((one.name for one in variables), names, strict=False))
        self.processes = dict(zip(table.actors, names[len(variables) :], strict=True))
        self.cells = {
            cell: self.names[one.name] + (f"[{cell - one.first}]" if shape_of(one) else "")
            for one in variables
            for cell in cells_of(one)
        }
        self.numbers = {one.name: n for n, one in enumerate(self.model.properties, 1)}
        deadlocks = self.model.of_sort(Sort.NO_DEADLOCK)
        self.deadlock = self.numbers[deadlocks[0].name] if deadlocks else 0

    def text(self) -> str:
        """Return the whole file."""
        parts = [self.head(), self.variables()]
        parts += [self.process(actor, places) for actor, places in self.table.actors.items()]
        parts.append(self.watchers())
        return "\n".join("\n".join(part) + "\n" for part in map(list, parts) if part)

    def head(self) -> Iterator[str]:
        """Say what the file is, how it is run, and which properties it has."""
        more = "" if self._vector_bytes() <= VECTOR_BYTES else f" -DVECTORSZ={4 * VECTOR_BYTES}"
        first, *rest = self.table.header
        yield f"/* {first}"
        yield from (f" * {line}" for line in rest)
        yield f" * SPIN counts the initial state as a transition too: {self.table.generated:,}."
        yield " *"
        yield " *     spin -o2 -a FILE     (without -o2, variables that nobody reads are left out)"
        yield f" *     gcc -O2 -DSAFETY -DNOREDUCE{more} -o pan pan.c"
        yield " *     ./pan -m1000000 -E"
        yield " *"
        yield " * spin -DCHECK and pan -c0 look at what steps break and reach, and at deadlocks;"
        yield " * spin -DWATCH and pan -c0 -E at what is said of states. There a state that an"
        yield " * always or a sometimes is about steps to itself, so none is ever stuck."
        if self.numbers:
            yield ' * "assertion violated !(1)" is about the first of these:'
        for one in self.model.properties:
            yield f" * {self.numbers[one.name]:3} {one.sort.value}: {one_line(one.name)}{_how(one)}"
        yield " */"
        yield "#ifdef CHECK"
        yield "#define BREAKS(property) assert(!property)"
        yield "#else"
        yield "#define BREAKS(property) skip"
        yield "#endif"
        yield "#define REACHES(property) BREAKS(property)"

    def variables(self) -> Iterator[str]:
        """Declare the shared variables, with the meaning of their codes."""
        for one in self.table.variables:
            shape, inits = shape_of(one), inits_of(one, self.model.cells)
            declared = f"{_type(one)} {self.names[one.name]}"
            if shape:
                declared += f"[{len(inits)}]"
            if len(set(inits)) == 1:
                declared += f" = {inits[0]}" if inits[0] else ""
            else:
                declared += f" = {{{', '.join(map(str, inits))}}}"
            notes = [meaning_of(one)]
            if len(shape) > 1:
                notes.append(f"row by row: {' x '.join(map(str, shape))}")
            note = "; ".join(filter(None, notes))
            yield f"{declared};" + (f"  /* {note} */" if note else "")

    def process(self, actor: str, places: tuple[Place, ...]) -> Iterator[str]:
        """Write an actor: each place a label, and each move of it an option."""
        yield f"active proctype {self.processes[actor]}()"
        yield "{"
        labels = [self._label(number, place) for number, place in enumerate(places)]
        for number, place in enumerate(places):
            said = "; ".join(filter(None, (place.locals, place.source)))
            yield f"{labels[number]}:" + (f"  /* {said} */" if said else "")
            options = [self._option(move, labels) for move in place.moves]
            if self._is_mixed(place):
                options += self._stuck(place, labels[number])
            if not place.moves:
                yield "    false;"
            else:
                yield from ("    if", *options, "    fi;")
        yield "}"

    def watchers(self) -> Iterator[str]:
        """Write a process for each predicate, which sees every state and changes none."""
        watched = [one for one in self.model.predicates if is_exported(one)]
        if not watched:
            return
        yield "#ifdef WATCH"
        for one in watched:
            number, truths = self.numbers[one.name], self._either(self.table.truths[one.name])
            event = f"!({truths})" if one.sort is Sort.ALWAYS else truths
            yield f"active proctype property_{number}()  /* {one_line(one.name)} */"
            yield "{"
            yield f"    do :: d_step {{ {event} -> assert(!{number}) }} od"
            yield "}"
        yield "#endif"

    def _label(self, number: int, place: Place) -> str:
        """Return a place's label; SPIN takes it for no deadlock to stay at one called end."""
        is_end = place.ends or (place.waits and not self.deadlock)
        return f"{'end' if is_end else 'at'}{number}"

    def _is_mixed(self, place: Place) -> bool:
        """Whether it depends on the state if staying here for ever is a deadlock."""
        return bool(place.ends and place.waits and self.deadlock)

    def _stuck(self, place: Place, label: str) -> list[str]:
        stuck = f"timeout && ({self._either(place.waits)}) -> BREAKS({self.deadlock})"
        return ["#ifdef CHECK", f"    :: d_step {{ {stuck} }}; goto {label}", "#endif"]

    def _option(self, move: Move, labels: list[str]) -> str:
        commands = [self._marked(mark.name) for mark in move.marks]
        commands += [f"{self.cells[cell]} = {code}" for cell, code in move.writes]
        note = "leads nowhere; " * move.stops + move.label
        return (
            f"    :: d_step {{ {self._all(move.reads)} -> {'; '.join(commands) or 'skip'} }}; "
            f"goto {labels[move.to]}" + (f"  /* {note} */" if note else "")
        )

    def _marked(self, name: str) -> str:
        number = self.numbers[name]
        is_never = self.model.properties[number - 1].sort is Sort.NEVER
        return f"{'BREAKS' if is_never else 'REACHES'}({number})"

    def _all(self, codes: Codes) -> str:
        return " && ".join(f"{self.cells[cell]} == {code}" for cell, code in codes) or "true"

    def _either(self, alternatives: tuple[Codes, ...]) -> str:
        if not alternatives:
            return "false"
        # Before a line break, or else SPIN reads a semicolon there.
        return " ||\n       ".join(map(self._all, alternatives))

    def _vector_bytes(self) -> int:
        """Return an upper bound of what SPIN takes for a state: 8 bytes a process, and cells."""
        processes = len(self.processes) + len(self.model.predicates)
        return 16 + 8 * processes + 4 * len(self.cells)


def _type(variable: Variable) -> str:
    """Return the smallest type that holds a variable's codes; ``short`` has a sign."""
    width_bits = variable.kind.width_bits
    if width_bits == 1 or is_reference(variable):
        return "bit"
    return "byte" if width_bits <= 8 else "short" if width_bits <= 15 else "int"


def _how(one: Property) -> str:
    """Return how SPIN tells of a property, where that is not as for the others."""
    if one.sort is Sort.NO_DEADLOCK:
        return " (an invalid end state)"
    if one.sort is Sort.SOMETIMES:
        return " (what SPIN finds is the example)"
    return "" if is_exported(one) else " (not exported)"
