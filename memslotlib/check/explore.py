"""Exploring a model: every interleaving within a bound, and what that says of its properties."""

from __future__ import annotations

import importlib.util
import time

from ..verdict import Verdict
from . import space
from .engine_python import PythonEngine
from .errors import CheckError, nearest
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


def _numpy(program: Program, symmetry: bool) -> Engine:
    # Importing numpy takes longer than many an exploration.
    from .engine_numpy import NumpyEngine

    return NumpyEngine(program, symmetry)


ENGINES = engines()


def explore(
    model: Model,
    *,
    engine: str = "",
    symmetry: bool = True,
    bounds: Bounds | None = None,
    first_violation: bool = False,
    traces: bool = True,
) -> Result:
    """Explore every interleaving of ``model``, breadth first, and judge its properties.

    ``engine`` is ``native``, ``numpy`` or ``python``; without one, the fastest that is here. All
    give the same result. ``symmetry`` counts states that differ by permuting members of a symmetric
    set once. ``first_violation`` ends the exploration with the level of the first violation, and
    then every other verdict is UNDETERMINED. ``traces=False`` leaves the traces out, which sweeps
    do not need.

    A bound that is reached, and Ctrl-C, give UNDETERMINED with what was covered.

    Raises ModelError for whatever is wrong with the model, CheckError for an unknown engine.
    """
    began = time.perf_counter()
    program = Program(model)
    made = _engine(engine, program, symmetry)
    try:
        made.run(bounds or Bounds(), lambda counts: first_violation and _is_broken(model, counts))
        return _Judge(program, made, traces).result(began)
    finally:
        made.close()


def _engine(name: str, program: Program, symmetry: bool) -> Engine:
    name = name or next(iter(ENGINES))
    if name not in ENGINES:
        raise CheckError(f"no engine {name!r}: {nearest(name, ENGINES)}")
    return ENGINES[name](program, symmetry)


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

    def __init__(self, program: Program, engine: Engine, wants_traces: bool) -> None:
        self.program, self.engine, self.wants_traces = program, engine, wants_traces
        self.model, self.counts = program.model, engine.counts
        self.is_complete = self.counts.ended == space.COMPLETE
        self.bound = bound_of(program, engine)
        self.traces: dict[str, Trace] = {}

    def result(self, began: float) -> Result:
        """Return the whole result."""
        found = {one.name: self._judged(one) for one in self.model.properties}
        vacuous = tuple(
            name
            for name, one in found.items()
            if one.about.sort is Sort.SOMETIMES and not one.hits and self.is_complete
        )
        if vacuous:
            why = f"vacuous: {', '.join(vacuous)} never comes true"
            for name, one in found.items():
                if one.is_good:
                    nothing = Verdict.undetermined(why, states=self.counts.distinct)
                    found[name] = PropertyResult(one.about, nothing, one.hits, one.after_steps)
        counts = self.counts
        return Result(
            model=self.model.name,
            digest=self.model.digest,
            engine=self.engine.name,
            verdicts=found,
            states=counts.distinct,
            generated=counts.generated,
            levels=tuple(counts.levels),
            bound=self.bound,
            is_complete=self.is_complete,
            symmetry=self.engine.symmetry,
            partial_order=False,
            vacuous=vacuous,
            words=self.program.packing.words,
            bits=self.program.packing.bits,
            memory_bytes=counts.memory_bytes,
            seconds=time.perf_counter() - began,
            traces=self.traces,
            counts=counts,
            program=self.program,
        )

    def _judged(self, one: Property) -> PropertyResult:
        hits, target = self._event(one)
        is_bad = bool(hits.count) != (one.sort is Sort.SOMETIMES)
        after = -1
        trace: tuple[str, ...] = ()
        if target is not None:
            after = hits.first_level + (target.kind == "step")
            if self.wants_traces:
                self.traces[one.name] = self._trace(target, one.name)
                trace = self.traces[one.name].lines
        verdict = self._verdict(is_bad, bool(hits.count), trace)
        return PropertyResult(one, verdict, hits.count, after)

    def _verdict(self, is_bad: bool, is_certain: bool, trace: tuple[str, ...]) -> Verdict:
        """A violation and a sighting stand even if the search was cut; a proof needs all of it."""
        states = self.counts.distinct
        if not (is_certain or self.is_complete):
            return Verdict.undetermined(self.bound, states=states)
        if not is_bad:
            return Verdict.holds(bound=self.bound, states=states)
        trace = trace or (f"never in {states:,} states" if not is_certain else "(no trace asked)",)
        return Verdict.violated(trace, bound=self.bound, states=states)

    def _event(self, one: Property) -> tuple[Hits, Target | None]:
        """Return how often a property's event was met, and where a trace should lead."""
        if one.sort is Sort.CAN_ALWAYS_REACH:
            return self._dead_ends(self.model.predicates.index(one))
        if one.sort is Sort.NO_DEADLOCK:
            hits, kind, number = self.counts.deadlocks, "deadlock", 0
        elif one.predicate is None:
            number = self.model.step_properties.index(one)
            hits, kind = self.counts.steps[number], "step"
        else:
            number = self.model.predicates.index(one)
            hits, kind = self.counts.predicates[number], "event"
        return hits, Target(kind, hits.first_level, number) if hits.count else None

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

    def _trace(self, target: Target, name: str) -> Trace:
        moves = best_moves(self.engine.towards(target), self.program.initial)
        return trace_of(self.program, moves, name, True)


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
    if engine.symmetry:
        names = dict.fromkeys(chunk.of.name for chunk in program.packing.chunks)
        words += f", up to permutations of {', '.join(names)}"
    if counts.stopped_paths:
        words += f"; {counts.stopped_paths:,} steps end their path at a violation"
    return words
