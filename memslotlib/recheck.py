"""Running claims again: what each expects, what the model says now, and what its mutants break."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import litmus, litmus_copying, litmus_increments, litmus_logs
from .abi import SimVm
from .check import Bounds, Result, explore
from .claims import Claim, Expectation
from .copying import How
from .evidence import Record
from .host.describe import describe
from .interface import Context
from .litmus_model import POLICIES, api, broken_by, explored, scene
from .protocol import mutants as generated
from .protocol.grammar import orders
from .protocol.model import model
from .protocol.program import Program
from .protocol.properties import stated, violated
from .protocol.scenes import FLIP, HUGE, Scene, everywhere
from .protocol.unran import Line, lines
from .protocol.unran import reasons as unran
from .protocol.world import X86_SLOT_ZAP, Access, World, every
from .provenance import code_digest, here_and_now
from .verdict import Verdict, Word

#: Where what the model said is recorded, and the code whose change makes it stale.
FILE = "model.jsonl"
MODULES = (
    "memslotlib.litmus_model",
    "memslotlib.protocol.grammar",
    "memslotlib.check.explore",
    "memslotlib.check.engine_native",
)

#: The claims that are also run beyond their bound: one step further, and up to so many states.
HEADLINE = ("Q4.3", "Q4.6", "Q5.3", "Q5.4")
EVERY_FRAME = "every frame"
WIDER: Mapping[str, Mapping[str, int]] = {
    EVERY_FRAME: {},
    "4 accesses each": {"more": 1},
    "3 vCPUs": {"vcpus": 3},
}
WIDER_STATES_MAX = 150_000_000
#: Whose API a scene with a smaller bound is searched with as if it left nothing out, and how far.
LEFT_OUT_API = "today"
LEFT_OUT_STATES_MAX = 100_000_000


@dataclass(frozen=True)
class Checked:
    """One cell of a claim: an API under one policy, or in one guest mode.

    ``broken`` lists what the claim's mutant violates until it violates the claim's property, with
    as few accesses as that takes, if there is one to run. ``states``, ``depth`` and ``steps`` (to
    the violation, or -1) are the search's; ``lines_ran`` of ``lines`` of its actors ran. ``unran``
    says for which reason how many did not, ``unexplained`` which did not without a reason, or ran
    although there is one why they should not.
    """

    claim: str
    api: str
    where: str
    expected: str
    word: str
    text: str
    bound: str = ""
    states: int = 0
    depth: int = 0
    steps: int = -1
    lines_ran: int = 0
    lines: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    mutant: str = ""
    broken: tuple[str, ...] = ()
    is_flipped: bool = True
    unran: Mapping[str, int] = field(default_factory=dict)
    unexplained: tuple[str, ...] = ()

    @property
    def is_as_expected(self) -> bool:
        """Whether the word is the one written before the run, and all that it rests on is there.

        That is, a mutant turns a HOLDS, and each line of an actor ran or has a reason why not.
        """
        return self.word == self.expected and self.is_flipped and not self.unexplained

    @property
    def line(self) -> str:
        """The cell in a line of text."""
        good = "ok  " if self.is_as_expected else "FAIL"
        said = f"{self.claim} {self.api} on {self.where}: {self.text}"
        if self.word != self.expected:
            said += f", expected {self.expected}"
        if self.states:
            said += f" ({self.states:,} states)"
        if not self.is_flipped:
            said += f"; the mutant '{self.mutant}' does not break it"
        if self.unexplained:
            said += f"; nothing explains {'; '.join(self.unexplained)}"
        return f"{good} {said}"


def bound(scene: Scene) -> str:
    """Return a scene's bound in words, as a claim about it states it."""
    change = scene.change
    others = [[one for one in scene.outside if one.via == by] for by in ("vhost", "device")]
    parts = [
        f"{scene.vcpus} vCPUs with {scene.accesses_max} accesses each, {which(scene.accesses)}",
        *(f"{World.outside_max} accesses by {by[0].via}, {which(by)}" for by in others if by),
        *([f"one {scene.contender} by another thread"] if scene.contender else []),
        f"{len({*change.before, *change.after})} slots before and after",
        f"{World.gfns} frames, {len(HUGE)} under one huge page",
        f"{change.spaces} address space{'s' * (change.spaces > 1)}",
    ]
    return "; ".join(parts)


def which(accesses: Sequence[Access]) -> str:
    """Return in words which accesses there are to choose from."""
    frames = len({(part.as_id, part.gfn) for one in accesses for part in one.parts})
    return f"any of {len(accesses)}, to {frames} frame{'s' * (frames > 1)}"


def check(claim: Claim, *, mutants: bool = True) -> Iterator[Checked]:
    """Run every cell of a claim again, and the mutants of what holds."""
    for one, where in claim.cells:
        if claim.is_modelled:
            yield _modelled(claim, one, where, mutants)
        else:
            yield _simulated(claim, one, Context(where))


def record(claim: Claim) -> Record:
    """Return what the model says of a claim, as a record with its provenance."""
    return Record(
        experiment=f"claim-{claim.id}",
        parameters={"litmus": claim.litmus, "property": claim.keeps},
        result={"cells": [asdict(one) for one in check(claim)]},
        provenance=here_and_now(describe().as_dict()),
        code=code_digest(*MODULES),
    )


def record_orders() -> Record:
    """Return what every order of the steps comes to that re-points a slot without a pause.

    Two accesses of each of two vCPUs to one frame: a violation needs no more, and there is no
    HOLDS for which they would have to do.
    """
    counts: Counter[str] = Counter()
    states = 0
    for program in orders(FLIP):
        result = ordered(program)
        counts[", ".join(violated(result))] += 1
        states += result.states
    return Record(
        experiment="orders-hva-flip",
        parameters={"change": "FLIP", "vcpus": 2, "accesses": 2},
        result={"violated": dict(counts), "states": states},
        provenance=here_and_now(describe().as_dict()),
        code=code_digest(*MODULES),
    )


def ordered(program: Program) -> Result:
    """Explore one order of the steps."""
    world = World(
        name=program.name,
        change=FLIP,
        programs=(program,),
        accesses=every(("load", "store"), (1,), ("guest",)),
        accesses_max=2,
        policy=X86_SLOT_ZAP,
        huge=HUGE,
    )
    return explore(model(world), traces=False)


def record_mutants() -> Record:
    """Return what every mutant of the sound protocols comes to: killed, or alive for a reason."""
    rows = []
    for key in generated.SOUND:
        tried = list(generated.sweep(key))
        rows.append(
            {
                "api": key,
                "scenes": [w.name for w in generated.worlds(key)],
                "killed": dict(Counter(one.killed_by for one in tried if one.killed_by)),
                "survivors": [[one.key, one.reason] for one in tried if not one.killed_by],
            }
        )
    return Record(
        experiment="mutants",
        parameters={
            "vcpus": 2,
            "accesses": generated.ACCESSES,
            "scenes": list(generated.EXERCISED),
        },
        result={"rows": rows},
        provenance=here_and_now(describe().as_dict()),
        code=code_digest(*MODULES, "memslotlib.protocol.mutants"),
    )


def record_coverage(claims: Sequence[Claim]) -> Record:
    """Return which lines of actors ran in no cell, and for which reasons others did not in some."""
    ran: set[Line] = set()
    never: dict[Line, set[str]] = {}
    reasons: Counter[str] = Counter()
    searches = {
        (claim.litmus, one.api, policy)
        for claim in claims
        if claim.is_modelled
        for one, policy in claim.cells
    }
    count = 0
    for key in sorted(searches):
        run = explored(*key)
        if run.result is None:
            continue
        count += 1
        ran |= {line for line in lines(run.result) if line.is_covered}
        silent = list(unran(run.scene.world(run.api, run.policy), run.result))
        reasons.update({why for _, why in silent})
        for line, why in silent:
            never.setdefault(line._replace(is_covered=True), set()).add(why)
    rows = [
        [f"{line.file}: {line.block.function}", line.text, sorted(never[line])]
        for line in sorted(never.keys() - ran)
    ]
    return Record(
        experiment="coverage",
        parameters={"claims": [claim.id for claim in claims if claim.is_modelled]},
        result={"searches": count, "lines": len(ran | never.keys()), "never": rows}
        | {"reasons": dict(reasons.most_common())},
        provenance=here_and_now(describe().as_dict()),
        code=code_digest(*MODULES, "memslotlib.protocol.unran"),
    )


def record_left_out(claims: Sequence[Claim]) -> Record:
    """Return how many states scenes with a smaller bound have, and would have without it."""
    asked = dict.fromkeys(scene(one.litmus) for one in claims if one.is_modelled)
    return Record(
        experiment="left-out",
        parameters={"api": LEFT_OUT_API, "states": LEFT_OUT_STATES_MAX},
        result={"scenes": {one.name: left_out(one) for one in asked if one.smaller}},
        provenance=here_and_now(describe().as_dict()),
        code=code_digest(*MODULES),
    )


def left_out(asked: Scene, states: int = LEFT_OUT_STATES_MAX) -> dict[str, Any]:
    """Return a scene's states, and those with three accesses in its every way to every frame."""
    whole = replace(asked, accesses=everywhere(asked), accesses_max=Scene.accesses_max)
    found = explore(
        model(whole.world(api(LEFT_OUT_API))), traces=False, bounds=Bounds(states=states)
    )
    bound = explored(asked.name, LEFT_OUT_API).result
    assert bound is not None, f"{asked.name}: {LEFT_OUT_API} makes every change"
    return {"states": bound.states, "whole": found.states, "is_complete": found.is_complete}


def record_headline(claims: Sequence[Claim]) -> Record:
    """Return what the claims of :data:`HEADLINE` come to beyond their bound, where they hold."""
    chosen = [claim for claim in claims if claim.id in HEADLINE]
    return Record(
        experiment="headline",
        parameters={"claims": [claim.id for claim in chosen], "states": WIDER_STATES_MAX},
        result={"cells": [asdict(one) for claim in chosen for one in widened(claim)]},
        provenance=here_and_now(describe().as_dict()),
        code=code_digest(*MODULES),
    )


@dataclass(frozen=True)
class Widened:
    """A cell of a claim beyond its bound; UNDETERMINED where that many states were not enough.

    ``accesses`` says which ones: with more vCPUs these may be fewer.
    """

    claim: str
    api: str
    where: str
    wider: str
    accesses: str
    word: str
    bound: str
    states: int
    depth: int


def widened(claim: Claim, states: int = WIDER_STATES_MAX) -> Iterator[Widened]:
    """Run each cell that is expected to hold with one access more, and with one vCPU more.

    Under the first of the claim's policies; and with every frame, where its scene has fewer.
    """
    made = scene(claim.litmus)
    is_whole = set(everywhere(made)) == set(made.accesses)
    for one, policy in claim.cells:
        is_asked = one.model is Word.HOLDS and policy == claim.policies[0]
        for wider in WIDER if is_asked else ():
            if wider == EVERY_FRAME and is_whole:
                continue
            world = _beyond(claim.litmus, one.api, policy, wider)
            result = _wider(claim.litmus, one.api, policy, wider, states)
            verdict = result.verdicts[stated(claim.keeps).name].verdict
            where = (claim.id, one.api, policy, wider, which(world.accesses))
            yield Widened(*where, verdict.word.value, verdict.bound, result.states, result.depth)


@functools.lru_cache(maxsize=64)
def _wider(litmus: str, key: str, policy: str, wider: str, states: int) -> Result:
    """Explore a cell beyond its bound; two claims about the same scene share it."""
    world = _beyond(litmus, key, policy, wider)
    return explore(model(world), traces=False, bounds=Bounds(states=states))


def _beyond(litmus: str, key: str, policy: str, wider: str) -> World:
    made = scene(litmus)
    if wider == EVERY_FRAME:
        made = replace(made, accesses=everywhere(made))
    return made.world(api(key), POLICIES[policy], **WIDER[wider])


def cells(made: Record) -> list[Checked]:
    """Return the cells that a record holds."""
    rows: list[dict[str, Any]] = made.result["cells"]
    tuples = ("broken", "unexplained")
    return [Checked(**row | {one: tuple(row.get(one, ())) for one in tuples}) for row in rows]


def _modelled(claim: Claim, one: Expectation, policy: str, mutants: bool) -> Checked:
    run = explored(claim.litmus, one.api, policy)
    verdict = run.verdict(claim.keeps)
    found = _cell(claim, one, policy, verdict)
    result = run.result
    if result is None or verdict.word is Word.DOES_NOT_APPLY:
        return found
    broken: tuple[str, ...] = ()
    if one.mutant and mutants:
        changed = scene(claim.litmus), api(one.api), POLICIES[policy], one.mutant
        broken = broken_by(*changed, claim.keeps)
    lines = [line for file in result.coverage.values() for line in file]
    silent = list(unran(scene(claim.litmus).world(api(one.api), POLICIES[policy]), result))
    name = stated(claim.keeps).name
    of_property = result.verdicts[name]
    changes: dict[str, Any] = {
        "bound": result.bound,
        "states": result.states,
        "depth": result.depth,
        "steps": of_property.after_steps,
        "lines_ran": sum(line.is_covered for line in lines),
        "lines": len(lines),
        "events": {
            name: v.after_steps
            for name, v in result.verdicts.items()
            if v.about.sort.value == "sometimes"
        },
        "mutant": one.mutant,
        "broken": broken,
        "is_flipped": not (one.mutant and mutants) or name.split()[0] in broken,
        "unran": dict(Counter(why for line, why in silent if why and not line.is_covered)),
        "unexplained": tuple(str(line) for line, why in silent if line.is_covered or not why),
    }
    return Checked(**{**asdict(found), **changes})


def _simulated(claim: Claim, one: Expectation, context: Context) -> Checked:
    found = _cell(claim, one, context.value, simulated(claim, one.api, context))
    if not one.mutant:
        return found
    word = litmus_increments.modelled(one.api, one.mutant).word
    broken = (claim.keeps,) if word is Word.VIOLATED else ()
    return replace(found, mutant=one.mutant, broken=broken, is_flipped=bool(broken))


def simulated(claim: Claim, key: str, context: Context) -> Verdict:
    """Return what a claim comes to that the model of interleavings does not decide."""
    if claim.litmus in litmus.TESTS:
        runner = litmus.BoundaryRunner(SimVm)
        keeps = litmus.Property(claim.keeps)
        return runner.run(litmus.get(claim.litmus), keeps, key, context).verdict
    if claim.litmus == litmus_copying.NAME:
        return litmus_copying.simulated(SimVm, How(key))
    if claim.litmus == litmus_increments.NAME:
        return litmus_increments.modelled(key)
    if claim.litmus not in litmus_logs.TESTS:
        # One of a host's own tests, which no model is asked.
        return Verdict.not_run("asked of a host alone")
    wanted = litmus_logs.Keeps(claim.keeps)
    return litmus_logs.simulated(SimVm, claim.litmus, wanted, key, context)


def _cell(claim: Claim, one: Expectation, where: str, verdict: Verdict) -> Checked:
    return Checked(
        claim=claim.id,
        api=one.api,
        where=where,
        expected=one.model.value,
        word=verdict.word.value,
        text=verdict.text,
        bound=verdict.bound,
        states=verdict.states,
    )
