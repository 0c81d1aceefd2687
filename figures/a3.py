"""Appendix A3: what the explorer did for a model, its counts against published ones, its speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from memslotlib.check import Model, Result, explore
from memslotlib.check.examples import increment, two_phase_commit
from memslotlib.check.explore import ENGINES
from memslotlib.check.kinds import VALUES_MAX
from memslotlib.check.model import PROPERTIES_MAX
from memslotlib.check.packing import WORD_BITS, WORDS_MAX
from memslotlib.check.program import LOCAL_BITS_MAX
from memslotlib.check.shared import CHOICES_MAX
from memslotlib.evidence import DATA, Record, read
from memslotlib.views.prose import Said, say
from memslotlib.views.tables import Cell, Table

from . import a2

#: The benchmarks that are about the explorer, in the order in which the page shows them.
BENCHMARKS = ("bench-spin", "bench-explorer")


class Published(NamedTuple):
    """Counts that somebody else published; what they did not is None."""

    name: str
    make: Callable[[], Model]
    symmetry: bool
    states: int
    generated: int | None
    depth: int | None
    source: str


PUBLISHED = (
    Published("two-thread increment", increment, False, 13, None, None, "Stateright"),
    Published("the same, with symmetry", increment, True, 8, None, None, "Stateright"),
    Published("two-phase commit of 3", two_phase_commit, False, 288, 1146, 11, "TLC"),
    Published(
        "two-phase commit of 5", lambda: two_phase_commit(5), False, 8832, None, None, "Stateright"
    ),
)


def published() -> Table:
    """Explore the published specifications; a row each, with both counts."""
    rows = []
    for one in PUBLISHED:
        found = explore(one.make(), symmetry=one.symmetry, traces=False)
        here = (found.states, found.generated, found.depth)
        there = (one.states, one.generated, one.depth)
        same = all(b is None or a == b for a, b in zip(here, there, strict=True))
        agrees = Cell("equal", "verdict holds") if same else Cell("DIFFERENT", "verdict violated")
        rows.append((one.name, _counts(*there), one.source, _counts(*here), agrees))
    return Table(("Model", "Published", "By", "Here", ""), rows)


def work(result: Result) -> Said:
    """Return what the exploration of a model cost in Python, in a sentence."""
    program = result.program
    return say(
        "For the proof above, Python ran {paths:,} paths; they stand for {steps:,} micro-steps out "
        "of {states:,} states of {bits} bits.",
        paths=sum(len(role.paths) for role in program.roles),
        steps=result.generated - 1,
        states=result.states,
        bits=result.bits,
    )


def engines(model: Model) -> Table:
    """Explore a model with every engine and reduction that is here."""
    rows = []
    for name in ENGINES:
        rows.append(_explored(name, "", explore(model, engine=name, symmetry=False)))
        rows.append(_explored(name, "symmetry", explore(model, engine=name)))
    partial = explore(model, partial_order=True)
    rows.append(_explored(partial.engine, "symmetry, partial order", partial))
    columns = ("Engine", "Reduction", "States", "Generated", "Depth", "Properties that hold")
    return Table(columns, rows)


def limits() -> Said:
    """Return what a model may have at most, from the constants that refuse more."""
    return say(
        "At most {words} words of {bits} bits a state, {values:,} values a variable, {choices:,} "
        "values a choice, {local_states:,} local states an actor, {properties} properties of each "
        "sort: more is an error that says so.",
        words=WORDS_MAX,
        bits=WORD_BITS,
        values=VALUES_MAX,
        choices=CHOICES_MAX,
        local_states=1 << LOCAL_BITS_MAX,
        properties=PROPERTIES_MAX,
    )


def speed(records: Sequence[Record] | None = None) -> Table | Said:
    """Return the recorded benchmarks of the explorer; one row each number."""
    ours = _ours(records)
    return a2.table(ours) if ours else Said("`make bench` measures on your host.")


def source(records: Sequence[Record] | None = None) -> Said:
    """Return where and when the explorer was measured."""
    return a2.source(_ours(records))


def _ours(records: Sequence[Record] | None) -> list[Record]:
    records = read(DATA / a2.FILE) if records is None else records
    return [record for record in records if record.experiment in BENCHMARKS]


def _explored(engine: str, reduction: str, result: Result) -> tuple[object, ...]:
    good = sum(one.is_good for one in result.verdicts.values())
    held = f"{good} of {len(result.verdicts)}"
    return engine, reduction, result.states, result.generated, result.depth, held


def _counts(states: int, generated: int | None, depth: int | None) -> str:
    parts = [f"{states:,} states"]
    parts += [f"{generated:,} generated"] if generated is not None else []
    parts += [f"depth {depth}"] if depth is not None else []
    return ", ".join(parts)
