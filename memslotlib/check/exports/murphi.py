"""A model as Murphi, for Rumur: a rule for each micro-step of each actor.

A variable for each actor holds its local state. Without symmetry reduction Rumur finds as many
states as the explorer does without reductions, and fires as many rules as there are micro-steps.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..model import Model, Sort, Variable
from ..space import Bounds
from .table import (
    Codes,
    Move,
    Place,
    Table,
    cells_of,
    indices_of,
    inits_of,
    is_exported,
    is_reference,
    meaning_of,
    one_line,
    shape_of,
    table_of,
    unique_names,
)

_WORDS = """
    alias aliasrule aliasruleset array assert assume begin boolean by case check clear const cover
    do else elsif end endalias endexists endfor endforall endfunction endif endprocedure endrecord
    endrule endruleset endstartstate endswitch endwhile enum error exists false for forall from
    function if import in interleaved invariant ismember isundefined liveness multiset
    multisetadd multisetcount multisetremove multisetremovepred of of_type or procedure program
    property put record return rule ruleset scalarset startstate switch then to true type undefine
    union var while
"""
RESERVED = frozenset(_WORDS.split())


def to_murphi(model: Model, *, bounds: Bounds | None = None, engine: str = "") -> str:
    """Return ``model`` as Murphi, after exploring it with ``engine`` to learn all of its steps.

    Rumur finds as many states as :func:`.explore` with ``symmetry=False``, and fires
    ``generated - 1`` rules. With the constant CHECK set to 1, ``never`` is an assertion, ``always``
    an invariant and ``sometimes`` a cover. ``no deadlock`` is left out: Rumur cannot tell an actor
    that may wait for ever from one that is stuck. So is ``can always reach``.

    Raises CheckError when the exploration reaches one of ``bounds``, and ModelError for whatever
    is wrong with the model.

    >>> from memslotlib.check import Actor, Int, Model
    >>> def tick(m):
    ...     while m.hour < 11:
    ...         m.hour += 1
    ...         yield "tick"
    >>> clock = Model("clock", {"hour": Int(12)}, [Actor(tick)])
    >>> print(next(line for line in to_murphi(clock).splitlines() if "rule" in line))
    rule "tick tick" at_tick = 0 & hour = 0 ==>
    >>> to_murphi(clock, bounds=Bounds(states=5))
    Traceback (most recent call last):
    memslotlib.check.errors.CheckError: clock: not explored to the end (states: 4 of 5 states \
expanded), so its export would lack steps
    """
    return _Murphi(table_of(model, bounds, engine)).text()


class _Murphi:
    """Writes a table down, from the top to the bottom of the file."""

    def __init__(self, table: Table) -> None:
        self.table, self.model = table, table.model
        variables = table.variables
        wanted = [one.name for one in variables] + [f"at {actor}" for actor in table.actors]
        names = unique_names(wanted, RESERVED)
        self.names = dict(zip((one.name for one in variables), names, strict=False))
        self.places = dict(zip(table.actors, names[len(variables) :], strict=True))
        self.cells = {
            cell: self.names[one.name] + "".join(f"[{index}]" for index in indices_of(one, cell))
            for one in variables
            for cell in cells_of(one)
        }
        self.sorts = {one.name: one.sort for one in self.model.properties}

    def text(self) -> str:
        """Return the whole file."""
        parts = [self.head(), self.variables(), self.start()]
        parts += [self.actor(actor, places) for actor, places in self.table.actors.items()]
        parts.append(self.properties())
        return "\n".join("\n".join(part) + "\n" for part in map(list, parts) if part)

    def head(self) -> Iterator[str]:
        """Say what the file is, how it is run, and which properties it lacks."""
        yield from (f"-- {line}" for line in self.table.header)
        yield "--"
        yield "--   rumur --deadlock-detection off --symmetry-reduction off --output x.c FILE"
        yield "--   gcc -O2 -mcx16 -o x x.c -lpthread && ./x"
        for one in self.model.properties:
            if not is_exported(one) or one.sort is Sort.NO_DEADLOCK:
                yield f"-- Not exported: {one.sort.value}: {one_line(one.name)}"
        yield ""
        yield "const CHECK: 0;  -- 1: look at the properties"

    def variables(self) -> Iterator[str]:
        """Declare the shared variables, with the meaning of their codes, and the actors' places."""
        yield "var"
        for one in self.table.variables:
            arrays = "".join(f"array [0..{length - 1}] of " for length in shape_of(one))
            note = meaning_of(one)
            line = f"  {self.names[one.name]}: {arrays}0..{_last_code(one)};"
            yield line + (f"  -- {note}" if note else "")
        for actor, places in self.table.actors.items():
            yield f"  {self.places[actor]}: 0..{len(places) - 1};"

    def start(self) -> Iterator[str]:
        """Give everything its initial value."""
        yield "startstate"
        yield "begin"
        for one in self.table.variables:
            for cell, init in zip(cells_of(one), inits_of(one, self.model.cells), strict=True):
                yield f"  {self.cells[cell]} := {init};"
        for name in self.places.values():
            yield f"  {name} := 0;"
        yield "end;"

    def actor(self, actor: str, places: tuple[Place, ...]) -> Iterator[str]:
        """Write an actor: the rules of each of its places."""
        for number, place in enumerate(places):
            said = "; ".join(filter(None, (place.locals, place.source)))
            yield f"-- {one_line(actor)}, {number}" + (f": {said}" if said else "")
            for move in place.moves:
                yield from self._rule(actor, number, move)

    def properties(self) -> Iterator[str]:
        """Write what is said of states."""
        for one in filter(is_exported, self.model.predicates):
            truths = "\n  | ".join(map(self._all, self.table.truths[one.name])) or "false"
            verb = "invariant" if one.sort is Sort.ALWAYS else "cover"
            yield f'{verb} "{one_line(one.name)}" CHECK = 0 |\n  ({truths});'
        marked = {
            mark.name
            for places in self.table.actors.values()
            for place in places
            for move in place.moves
            for mark in move.marks
        }
        for one in self.model.step_properties:
            if one.sort is Sort.SOMETIMES and one.name not in marked:
                yield f'cover "{one_line(one.name)}" CHECK = 0;  -- no step reaches it'

    def _rule(self, actor: str, number: int, move: Move) -> Iterator[str]:
        name = " ".join(filter(None, (one_line(actor), move.label)))
        guard = " & ".join(filter(None, (f"{self.places[actor]} = {number}", *self._reads(move))))
        yield f'rule "{name}" {guard} ==>'
        yield "begin"
        yield from (f"  {self._marked(mark.name)};" for mark in move.marks)
        yield from (f"  {self.cells[cell]} := {code};" for cell, code in move.writes)
        if move.stops:
            yield "  -- leads nowhere"
        elif move.to != number:
            yield f"  {self.places[actor]} := {move.to};"
        yield "end;"

    def _reads(self, move: Move) -> Iterator[str]:
        return (f"{self.cells[cell]} = {code}" for cell, code in move.reads)

    def _marked(self, name: str) -> str:
        if self.sorts[name] is Sort.NEVER:
            return f'assert CHECK = 0 "{one_line(name)}"'
        return f'cover true "{one_line(name)}"'

    def _all(self, codes: Codes) -> str:
        return " & ".join(f"{self.cells[cell]} = {code}" for cell, code in codes) or "true"


def _last_code(variable: Variable) -> int:
    return 1 if is_reference(variable) else len(variable.kind.values) - 1
