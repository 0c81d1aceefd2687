"""Random runs of a model that cannot be exhausted: a sample, and never a proof."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..verdict import Verdict
from .errors import CheckError
from .explore import event
from .forward import moves, waits
from .model import Model, Property, Sort
from .program import OverflowedError, Program
from .replay import trace_of
from .result import PropertyResult, Result
from .space import Counts, Hits
from .trace import Trace

_WORD = (1 << 64) - 1


@dataclass
class Run:
    """One random run: which outcome each step took, and what it met, a level for each step."""

    picks: Sequence[int]
    counts: Counts


class Sampler(Protocol):
    """Whatever makes random runs; the same seed gives the same run everywhere."""

    name: str

    def run(self, seed: int, steps_max: int) -> tuple[Run, int]:
        """Make one run; return it with the seed for the next one."""

    def close(self) -> None:
        """Give memory back."""


class PythonSampler:
    """Random runs in plain Python."""

    name = "python"

    def __init__(self, program: Program) -> None:
        self.program = program

    def run(self, seed: int, steps_max: int) -> tuple[Run, int]:
        """Make one run; return it with the seed for the next one."""
        program, model = self.program, self.program.model
        counts = Counts(
            steps=[Hits() for _ in model.step_properties],
            predicates=[Hits() for _ in model.predicates],
        )
        state = program.initial
        picks: list[int] = []
        while True:
            for number, hits in enumerate(counts.predicates):
                hits.add(len(picks), int(program.holds(number, state) == program.events[number]))
            found = moves(program, state) if len(picks) < steps_max else []
            if not found:
                stuck = len(picks) < steps_max and waits(program, state)
                counts.deadlocks.add(len(picks), int(stuck))
                break
            seed, number = random_number(seed)
            pick = number % len(found)
            _, _, state, marks = found[pick]
            for number, hits in enumerate(counts.steps):
                hits.add(len(picks), marks >> number & 1)
            picks.append(pick)
            if marks >> 63:
                break
        return Run(picks, counts), seed

    def close(self) -> None:
        """Hold no memory of its own."""


class NativeSampler:
    """Random runs in C, on the walker of an engine that explores nothing."""

    name = "native"

    def __init__(self, program: Program) -> None:
        from .engine_native import NativeEngine

        self.engine = NativeEngine(program, False)

    def run(self, seed: int, steps_max: int) -> tuple[Run, int]:
        """Make one run; return it with the seed for the next one."""
        picks, counts, seed = self.engine.sample(seed, steps_max)
        return Run(picks, counts), seed

    def close(self) -> None:
        """Give the walker's memory back."""
        self.engine.close()


def random_number(seed: int) -> tuple[int, int]:
    """Return the next seed and the number that it gives: Vigna's splitmix64.

    >>> random_number(0)[1] == 0xE220A8397B1DCDAF
    True
    """
    seed = (seed + 0x9E3779B97F4A7C15) & _WORD
    x = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & _WORD
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _WORD
    return seed, x ^ x >> 31


def sample(
    model: Model, *, runs: int = 1000, steps_max: int = 1000, seed: int = 0, engine: str = ""
) -> Result:
    """Make random runs of ``model``, each of at most ``steps_max`` micro-steps.

    What a run shows is certain: a violation comes with its trace, though hardly ever the shortest.
    What none shows stays UNDETERMINED. The same ``seed`` makes the same runs with every engine
    (``native`` or ``python``). ``can_always_reach`` is not judged.

    Raises ModelError for whatever is wrong with the model, CheckError for an unknown engine.
    """
    began = time.perf_counter()
    program = Program(model)
    is_native = importlib.util.find_spec("memslotlib.check._walker") is not None
    if engine not in ("", "native", "python"):
        raise CheckError(f"no engine {engine!r} for samples: there are native and python")
    if engine == "native" and not is_native:
        raise CheckError("the native engine is not built")
    is_native = is_native and engine != "python"
    sampler: Sampler = NativeSampler(program) if is_native else PythonSampler(program)
    found = _Collected(program)
    try:
        for _ in range(runs):
            run, seed = _made(sampler, program, seed, steps_max)
            found.add(run)
    finally:
        sampler.close()
    return found.result(sampler.name, runs, steps_max, began)


def _made(sampler: Sampler, program: Program, seed: int, steps_max: int) -> tuple[Run, int]:
    while True:
        try:
            return sampler.run(seed, steps_max)
        except OverflowedError:
            program.widen()
            if isinstance(sampler, NativeSampler):
                sampler.engine.restart()


@dataclass
class _Collected:
    """What all runs met: of each property, how many runs and the shortest one."""

    program: Program
    counts: Counts = field(default_factory=Counts)
    best: dict[str, tuple[int, Sequence[int]]] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    lengths: dict[int, int] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        """Take one run in."""
        self.steps += len(run.picks)
        self.lengths[len(run.picks)] = self.lengths.get(len(run.picks), 0) + 1
        model = self.program.model
        for one in model.properties:
            _, target = event(model, run.counts, one)
            if target is None or one.sort is Sort.CAN_ALWAYS_REACH:
                continue
            self.hits[one.name] = self.hits.get(one.name, 0) + 1
            length = target.after_steps
            if length < self.best.get(one.name, (length + 1, ()))[0]:
                self.best[one.name] = (length, run.picks[:length])

    def result(self, engine: str, runs: int, steps_max: int, began: float) -> Result:
        """Return the whole result."""
        model = self.program.model
        bound = f"a sample: {runs:,} random runs of at most {steps_max:,} steps; no proof"
        traces = {name: self._trace(name, picks) for name, (_, picks) in self.best.items()}
        verdicts = {one.name: self._judged(one, bound, traces) for one in model.properties}
        longest = max(self.lengths, default=0)
        lengths = self.lengths.items()
        going = [sum(n for length, n in lengths if length >= at) for at in range(longest + 1)]
        return Result(
            model=model.name,
            engine=engine,
            verdicts=verdicts,
            states=self.steps + runs,
            generated=self.steps + runs,
            levels=tuple(going),
            bound=bound,
            is_complete=False,
            symmetry=False,
            partial_order=False,
            vacuous=(),
            words=self.program.packing.words,
            bits=self.program.packing.bits,
            memory_bytes=0,
            seconds=(took := time.perf_counter() - began),
            search_seconds=took,
            traces=traces,
            counts=self.counts,
            program=self.program,
            samples=runs,
        )

    def _judged(self, one: Property, bound: str, traces: dict[str, Trace]) -> PropertyResult:
        hits = self.hits.get(one.name, 0)
        after = self.best[one.name][0] if hits else -1
        if not hits:
            verdict = Verdict.undetermined(bound, states=self.steps)
        elif one.sort is Sort.SOMETIMES:
            verdict = Verdict.holds(bound=f"{after} steps show it; {bound}", states=self.steps)
        else:
            verdict = Verdict.violated(traces[one.name].lines, bound=bound, states=self.steps)
        return PropertyResult(one, verdict, hits, after)

    def _trace(self, name: str, picks: Sequence[int]) -> Trace:
        state, steps = self.program.initial, []
        for pick in picks:
            actor, choice, state, _ = moves(self.program, state)[pick]
            steps.append((actor, choice))
        return trace_of(self.program, steps, name, False)
