"""Exploring a model: every interleaving within a bound, and what that says of its properties."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import replace

from ..verdict import Verdict
from . import space
from .engine_python import PythonEngine
from .errors import CheckError, nearest
from .independence import Futures, futures, path_count
from .model import Model, Property, Sort
from .program import Program
from .replay import trace_of
from .result import PropertyResult, Result
from .space import Bounds, Counts, Engine, Hits, Target
from .trace import Trace, best_moves


def engines() -> dict[str, space.MakeEngine]:
    """Return the engines that are here, the fastest first."""
    found: dict[str, space.MakeEngine] = {}
    if importlib.util.find_spec("memslotlib.check._walker") is not None:
        from .engine_native import NativeEngine

        found["native"] = NativeEngine
    if importlib.util.find_spec("numpy") is not None:
        found["numpy"] = _numpy
    return found | {"python": PythonEngine}


def _numpy(program: Program, symmetry: bool, known: Futures | None = None) -> Engine:
    # Importing numpy takes longer than many an exploration.
    from .engine_numpy import NumpyEngine

    return NumpyEngine(program, symmetry, known)


ENGINES = engines()
#: The sorts of properties whose violation is seen at a state or a step.
_VIOLABLE = (Sort.NEVER, Sort.ALWAYS, Sort.NO_DEADLOCK)
#: How many states are looked at before partial order begins.
PROBE_STATES = 20_000
#: How many times the states of an exploration with partial order its traces may cost again.
RESEARCH_FACTOR = 50


def explore(
    model: Model,
    *,
    engine: str = "",
    symmetry: bool = True,
    bounds: Bounds | None = None,
    first_violation: bool | str = False,
    partial_order: bool = False,
    traces: bool = True,
) -> Result:
    """Explore every interleaving of ``model``, breadth first, and judge its properties.

    ``engine`` is ``native``, ``numpy`` or ``python``; without one, the fastest that is here. All
    give the same result. ``symmetry`` counts states that differ by permuting members of a symmetric
    set once. ``first_violation`` ends the exploration with the level of the first violation, of the
    property that it names or else of any; every verdict without one is UNDETERMINED then.
    ``partial_order`` explores fewer interleavings, which proves the same and finds traces that are
    not the shortest; those are searched for again without it. It refuses ``can_always_reach``.
    ``traces=False`` leaves the traces out, which sweeps do not need.

    A bound that is reached, and Ctrl-C, give UNDETERMINED with what was covered.

    Raises ModelError for whatever is wrong with the model, CheckError for an unknown engine.
    """
    began = time.perf_counter()
    bounds = bounds or Bounds()

    is_enough = _enough(model, first_violation)
    searching = began
    if partial_order:
        made = _explored_partially(model, engine, symmetry, bounds, is_enough)
    else:
        made = _engine(engine, Program(model), symmetry)
        searching = time.perf_counter()
        _run(made, bounds, is_enough)
    searched = time.perf_counter() - searching
    try:
        return _Judge(made, traces).result(began, searched)
    finally:
        made.close()


def _run(made: Engine, bounds: Bounds, is_enough: Callable[[Counts], bool] | None) -> None:
    """Run an engine; whatever is wrong with the model, its memory goes back."""
    try:
        made.run(bounds, is_enough)
    except BaseException:
        made.close()
        raise


def _explored_partially(
    model: Model,
    engine: str,
    symmetry: bool,
    bounds: Bounds,
    is_enough: Callable[[Counts], bool] | None,
) -> Engine:
    """Explore with partial order until what it was grounded on is all that was found."""
    refused = model.of_sort(Sort.CAN_ALWAYS_REACH)
    if refused:
        raise CheckError(
            f"{refused[0].name!r} cannot be judged under partial order: what is left out may be "
            "the continuation that it asks for"
        )
    name = engine or next(name for name in ENGINES if name != "numpy")
    program = Program(model, least_words=2)
    # A look at the beginning, without reductions of this kind, finds most of what actors do.
    probe = _engine(name, program, symmetry)
    first = min(PROBE_STATES, bounds.states or PROBE_STATES)
    _run(probe, replace(bounds, states=first), is_enough)
    probe.close()
    while True:
        known = futures(program)
        made = ENGINES[name](program, symmetry, known)
        _run(made, bounds, is_enough)
        if made.counts.ended != space.COMPLETE or path_count(program) == known.paths:
            return made
        made.close()


def _engine(name: str, program: Program, symmetry: bool) -> Engine:
    name = name or next(iter(ENGINES))
    if name not in ENGINES:
        raise CheckError(f"no engine {name!r}: {nearest(name, ENGINES)}")
    return ENGINES[name](program, symmetry)


def _enough(model: Model, first_violation: bool | str) -> Callable[[Counts], bool] | None:
    """Return what tells, after each level, whether to go on; None where nothing has to."""
    if not first_violation:
        return None
    if first_violation is True:
        return lambda counts: _is_broken(model, counts)
    violable = {one.name: one for one in model.properties if one.sort in _VIOLABLE}
    if first_violation not in violable:
        raise CheckError(
            f"no property {first_violation!r} to be violated: {nearest(first_violation, violable)}"
        )
    named = violable[first_violation]
    return lambda counts: bool(event(model, counts, named)[0].count)


def _is_broken(model: Model, counts: Counts) -> bool:
    steps = zip(model.step_properties, counts.steps, strict=True)
    states = zip(model.predicates, counts.predicates, strict=True)
    broken = [hits.count for one, hits in steps if one.sort is Sort.NEVER]
    broken += [hits.count for one, hits in states if one.sort is Sort.ALWAYS]
    if model.of_sort(Sort.NO_DEADLOCK):
        broken.append(counts.deadlocks.count)
    return any(broken)


class _Judge:
    """Turns what an engine counted into verdicts."""

    def __init__(self, engine: Engine, wants_traces: bool) -> None:
        self.engine, self.wants_traces = engine, wants_traces
        self.program = program = engine.program
        self.model, self.counts = program.model, engine.counts
        self.is_complete = self.counts.ended == space.COMPLETE
        self.bound = bound_of(program, engine)
        self.traces: dict[str, Trace] = {}

    def result(self, began: float, searched: float) -> Result:
        """Return the whole result."""
        found = {one.name: self._judged(one) for one in self.model.properties}
        nothing_hit = [name for name, one in found.items() if self.is_complete and not one.hits]
        unseen = [name for name in nothing_hit if found[name].about.sort is Sort.SOMETIMES]
        unnamed = [name for name in nothing_hit if self._is_unnamed(found[name].about)]
        if unseen:
            why = f"vacuous: {', '.join(unseen)} never comes true"
            for name, one in found.items():
                if one.is_good:
                    nothing = Verdict.undetermined(why, states=self.counts.distinct)
                    found[name] = PropertyResult(one.about, nothing, one.hits, one.after_steps)
        counts = self.counts
        return Result(
            model=self.model.name,
            engine=self.engine.name,
            verdicts=found,
            states=counts.distinct,
            generated=counts.generated,
            levels=tuple(counts.levels),
            bound=self.bound,
            is_complete=self.is_complete,
            symmetry=self.engine.symmetry,
            partial_order=self.engine.futures is not None,
            vacuous=(*unseen, *unnamed),
            words=self.program.packing.words,
            bits=self.program.packing.bits,
            memory_bytes=counts.memory_bytes,
            seconds=time.perf_counter() - began,
            search_seconds=searched,
            traces=self.traces,
            counts=counts,
            program=self.program,
        )

    def _is_unnamed(self, one: Property) -> bool:
        """Whether a ``never`` is broken by no step for the reason that no text of any names it."""
        return one.sort is Sort.NEVER and one.name not in self.model.text

    def _judged(self, one: Property) -> PropertyResult:
        hits, target = self._event(one)
        is_bad = bool(hits.count) != (one.sort is Sort.SOMETIMES)
        after = -1
        trace: tuple[str, ...] = ()
        if target is not None:
            after = target.after_steps
            if self.wants_traces:
                self.traces[one.name] = found = self._trace(target, one)
                trace = found.lines
                if self.engine.futures is not None:
                    after = len(found)
        shown = f"{after} steps show it; " if hits.count and not self.is_complete else ""
        is_unnamed = not hits.count and self._is_unnamed(one)
        verdict = self._verdict(is_bad, bool(hits.count), trace, shown, is_unnamed)
        return PropertyResult(one, verdict, hits.count, after)

    def _verdict(
        self, is_bad: bool, is_certain: bool, trace: tuple[str, ...], shown: str, is_unnamed: bool
    ) -> Verdict:
        """A violation and a sighting stand even if the search was cut; a proof needs all of it."""
        states = self.counts.distinct
        if not (is_certain or self.is_complete):
            return Verdict.undetermined(self.bound, states=states)
        if is_unnamed:
            return Verdict.undetermined("vacuous: no step's text names it", states=states)
        if not is_bad:
            return Verdict.holds(bound=shown + self.bound, states=states)
        if not is_certain:
            trace = (f"never in {states:,} states",)
        elif not trace:
            trace = ("the initial state" if self.wants_traces else "(no trace asked)",)
        return Verdict.violated(trace, bound=self.bound, states=states)

    def _event(self, one: Property) -> tuple[Hits, Target | None]:
        """Return how often a property's event was met, and where a trace should lead."""
        if one.sort is Sort.CAN_ALWAYS_REACH:
            return self._dead_ends(self.model.predicates.index(one))
        return event(self.model, self.counts, one)

    def _dead_ends(self, predicate: int) -> tuple[Hits, Target | None]:
        hits, first = Hits(), set()
        if not self.is_complete:
            return hits, None
        for level, state in self.engine.unreachable(predicate):
            hits.add(level)
            if level == hits.first_level:
                first.add(state)
        if not hits.count:
            return hits, None
        return hits, Target("states", hits.first_level, states=frozenset(first))

    def _trace(self, target: Target, one: Property) -> Trace:
        engine, is_shortest = self.engine, True
        if engine.futures is not None:
            engine, target, is_shortest = self._again(target, one)
        try:
            moves = best_moves(engine.towards(target), engine.program.initial)
        finally:
            if engine is not self.engine:
                engine.close()
        return trace_of(self.program, moves, one.name, is_shortest)

    def _again(self, target: Target, one: Property) -> tuple[Engine, Target, bool]:
        """Search without partial order for the shortest way to an event that it found."""
        # A program of its own: two searches cannot let the same trees grow.
        plain = ENGINES[self.engine.name](Program(self.model), self.engine.symmetry)
        _run(
            plain,
            Bounds(depth=target.level + 1, states=RESEARCH_FACTOR * self.counts.distinct),
            lambda counts: bool(event(self.model, counts, one)[0].count),
        )
        _, shortest = event(self.model, plain.counts, one)
        if shortest is not None:
            return plain, shortest, True
        plain.close()
        return self.engine, target, False


def event(model: Model, counts: Counts, one: Property) -> tuple[Hits, Target | None]:
    """Return how often a property's event was counted, and where a trace of it would lead."""
    if one.sort is Sort.NO_DEADLOCK:
        hits, kind, number = counts.deadlocks, "deadlock", 0
    elif one.predicate is None:
        number = model.step_properties.index(one)
        hits, kind = counts.steps[number], "step"
    else:
        number = model.predicates.index(one)
        hits, kind = counts.predicates[number], "event"
    return hits, Target(kind, hits.first_level, number) if hits.count else None


def bound_of(program: Program, engine: Engine) -> str:
    """Return what was explored, in words."""
    counts = engine.counts
    if counts.ended == space.COMPLETE:
        words = "every interleaving"
    else:
        reasons = {
            space.STOPPED: "stopped at the first violation",
            space.INTERRUPTED: "interrupted",
        }
        reason = reasons.get(counts.ended, f"bound on {counts.ended} reached")
        words = f"{reason}: {counts.expanded:,} of {counts.distinct:,} states expanded"
    names = dict.fromkeys(chunk.of.name for chunk in program.packing.chunks)
    same = [f"permutations of {', '.join(names)}"] if engine.symmetry else []
    same += ["the order of independent steps"] if engine.futures is not None else []
    if same:
        words += f", up to {' and '.join(same)}"
    if counts.stopped_paths:
        words += f"; {counts.stopped_paths:,} steps end their path at a violation"
    return words
