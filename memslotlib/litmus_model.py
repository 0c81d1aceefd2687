"""The runner that puts a scene to the model: every interleaving, within the scene's bound.

It speaks the words of a model: HOLDS with its bound, VIOLATED with the shortest trace. What an API
cannot do, or a property does not ask of a change, DOES NOT APPLY.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .check import Actor, Bounds, Model, Result, Trace, explore, sometimes
from .errors import MemslotError
from .protocol import failures
from .protocol.apis import APIS, Api
from .protocol.failures import FAILING
from .protocol.logscenes import LOGGING
from .protocol.model import model
from .protocol.program import Program
from .protocol.properties import PROPERTIES, stated, violated
from .protocol.scenes import SCENES, Scene
from .protocol.userspace import SETTLE
from .protocol.vcpu import vcpu
from .protocol.world import (
    ARM64,
    X86,
    X86_BEFORE_5_13,
    X86_PML,
    X86_PREFETCH,
    X86_SHADOW,
    X86_SHADOW_SLOT_ZAP,
    X86_SLOT_ZAP,
    Policy,
    World,
)
from .verdict import Verdict

#: By the names that claims use.
POLICIES = {
    "x86": X86,
    "x86-slot-zap": X86_SLOT_ZAP,
    "x86-pml": X86_PML,
    "x86-prefetch": X86_PREFETCH,
    "x86-shadow": X86_SHADOW,
    "x86-shadow-slot-zap": X86_SHADOW_SLOT_ZAP,
    "x86-before-5.13": X86_BEFORE_5_13,
    "arm64": ARM64,
}
#: Every scene, also those in which updates fail, or logs were read before.
ALL_SCENES: Mapping[str, Scene] = {**SCENES, **FAILING, **LOGGING}
#: A search that comes to so many states is cut, and says UNDETERMINED.
STATES_MAX = 100_000_000


class UnknownSceneError(MemslotError, KeyError):
    """No such scene, API, policy or mutant; the text lists what there is."""

    def __str__(self) -> str:
        return str(self.args[0])


def scene(name: str) -> Scene:
    """Return the scene of this name.

    >>> scene("hva-flip+store").vcpus
    2
    >>> scene("hva-flop+store")
    Traceback (most recent call last):
    memslotlib.litmus_model.UnknownSceneError: no scene 'hva-flop+store'; there are split+load, ...
    """
    if name not in ALL_SCENES:
        raise UnknownSceneError(f"no scene {name!r}; there are {', '.join(ALL_SCENES)}")
    return ALL_SCENES[name]


def api(key: str) -> Api:
    """Return the API that claims call so; UnknownSceneError lists what there is."""
    if key not in APIS:
        raise UnknownSceneError(f"no API {key!r}; there are {', '.join(APIS)}")
    return APIS[key]


@dataclass(frozen=True)
class ModelRun:
    """One scene with one API: the verdict of each property, and all that the search found.

    ``result`` is None where the API cannot make the change; ``refusal`` says why.
    """

    scene: Scene
    api: Api
    policy: Policy
    refusal: str
    result: Result | None

    def verdict(self, identity: str) -> Verdict:
        """Return what the run says of a property, by its id."""
        name = stated(identity).name
        if self.result is None:
            return Verdict.does_not_apply(self.refusal)
        if name not in self.result.verdicts:
            return Verdict.does_not_apply(f"{self.scene.name} does not ask {identity}")
        return self.result.verdicts[name].verdict

    @property
    def violated(self) -> tuple[str, ...]:
        """The ids of the properties that are violated."""
        return () if self.result is None else tuple(violated(self.result))


@dataclass(frozen=True)
class ModelRunner:
    """Runs scenes on the model.

    ``more`` accesses each than the scene says, or another number of ``vcpus``: the bound plus one.
    """

    policy: Policy = X86
    more: int = 0
    vcpus: int = 0
    traces: bool = False

    def run(self, scene: Scene, api: Api) -> ModelRun:
        """Explore every interleaving of the scene with the API's program."""
        refusal = scene.refusal(api)
        result = None
        if not refusal:
            world = scene.world(api, self.policy, more=self.more, vcpus=self.vcpus)
            result = _explored(world, self.traces)
        return ModelRun(scene, api, self.policy, refusal, result)


@functools.lru_cache(maxsize=1024)
def explored(scene_name: str, api_key: str, policy: str = "x86", traces: bool = False) -> ModelRun:
    """Return a run by names; the same again costs nothing."""
    if policy not in POLICIES:
        raise UnknownSceneError(f"no policy {policy!r}; there are {', '.join(POLICIES)}")
    runner = ModelRunner(POLICIES[policy], traces=traces)
    return runner.run(scene(scene_name), api(api_key))


def mutant(world: World, text: str) -> World:
    """Return the world with the mutant that a claim names.

    "without STEP" leaves out the first step whose text begins so; "without every STEP" all of them,
    or of "STEP or STEP"; "without the last STEP" the last one; "STEP earlier" exchanges its first
    with the one before; "STEP right after STEP" moves each to the last of the other before it.
    "without role.smm" is a world whose address spaces share their page tables.
    "with the steps of API" takes those of another one, where no single step matters.
    "fails after STEP" is an update that fails later than it does, after the first such step of its
    success, and undoes nothing. Of several programs those are changed that have the step.

    Raises UnknownSceneError when no program has such a step.
    """
    if text.startswith("with the steps of "):
        other = api(text.removeprefix("with the steps of "))
        steps = other.build(world.change, world.policy, world.huge)
        last_round = tuple(op for op in world.programs[0] if op == SETTLE)
        return world.mutated(Program((*steps, *last_round), steps.name))
    if text == "without role.smm":
        return replace(world, name=f"{world.name}, {text}", has_role_smm=False)
    whole = world.origin if text.startswith("fails after ") else world.programs
    changed = [_mutated(one, text) for one in whole if _found(one, text)]
    if not changed:
        raise UnknownSceneError(f"{whole[-1]} has no step {_step(text)!r}:\n{whole[-1].text}")
    name = f"{world.name}, {text}"
    origin = (*world.origin, *world.programs)
    return replace(world, name=name, programs=tuple(changed), origin=origin)


def _step(text: str) -> str:
    step = text.removeprefix("without ").removeprefix("every ").removeprefix("fails after ")
    return step.removeprefix("the last ").removesuffix(" earlier").partition(" right after ")[0]


def _found(program: Program, text: str) -> list[int]:
    steps = tuple(_step(text).split(" or "))
    return [n for n, op in enumerate(program) if str(op).startswith(steps)]


def _moved(program: Program, found: list[int], other: str) -> Program:
    """Return the program with each step found right after the last other one before it."""
    ops = list(program)
    for number in found:
        place = max(n for n, op in enumerate(ops[:number]) if str(op).startswith(other))
        ops.insert(place + 1, ops.pop(number))
    return Program(tuple(ops), f"{program[found[0]]} right after {other}")


def _mutated(program: Program, text: str) -> Program:
    found, step = _found(program, text), _step(text)
    if text.startswith("fails after "):
        return failures.late(program, found[-1] if "the last" in text else found[0])
    if " right after " in text:
        return _moved(program, found, text.partition(" right after ")[2])
    if text.endswith(" earlier"):
        return program.swapped(found[0] - 1)
    if text.startswith("without every "):
        kept = tuple(op for n, op in enumerate(program) if n not in found)
        return Program(kept, f"without every {step}")
    return program.without(found[-1] if text.startswith("without the last ") else found[0])


def broken_by(
    scene: Scene, api: Api, policy: Policy, text: str, identity: str = ""
) -> tuple[str, ...]:
    """Return the ids of the properties that a mutant of the API's program violates.

    With the id of one, the search ends where that one breaks, and begins with one access of each
    vCPU: what breaks with fewer accesses breaks within the bound, and costs less to find.
    """
    world = mutant(scene.world(api, policy), text)
    if not identity:
        return tuple(violated(_explored(world, False)))
    name = stated(identity).name
    for count in range(1, world.accesses_max + 1):
        found = violated(_explored(replace(world, accesses_max=count), False, name))
        if name.split()[0] in found:
            break
    return tuple(found)


def shortest(scene_name: str, api_key: str, identity: str, policy: str = "x86") -> Trace:
    """Return the shortest trace that violates a property, from a search that ends with it.

    Raises CheckError when nothing violates it.
    """
    world = scene(scene_name).world(api(api_key), POLICIES[policy])
    name = stated(identity).name
    return _explored(world, True, name).trace(name)


def undisturbed(scene_name: str, api_key: str, policy: str = "x86") -> Trace:
    """Return the shortest run in which an access is over that began after the update's first swap.

    Each vCPU makes one, to a frame of a slot that goes. Of an update without swaps it begins when
    that has returned.
    """
    world = scene(scene_name).world(api(api_key), POLICIES[policy])
    gone = {(slot.as_id, gfn) for slot in world.change.gone for gfn in slot.gfns}
    to = [one for one in world.accesses if (one.as_id, one.gfn) in gone]
    world = replace(world, accesses=tuple(to) or world.accesses, accesses_max=1, events=())
    made = _model(world)
    late = Actor(_late, world, per=world.cpu, name=vcpu.__name__)
    actors = [late if one.function is vcpu else one for one in made.actors]
    over = sometimes("an access that began after the first swap is over", lambda m: m.finished > 0)
    made = replace(made, actors=actors, properties=[*made.properties, over])
    return explore(made).trace(over.name)


def _late(m: Any, v: Any, w: World) -> Any:
    """A vCPU that begins when an update has swapped a set of slots, or is over."""
    m.wait(any(m.active) or m.returned)
    yield from vcpu(m, v, w)


def asked(scene: Scene) -> Iterator[str]:
    """Yield the ids of the properties that a scene asks, in order."""
    world = scene.world(next(one for one in APIS.values() if not scene.refusal(one)))
    for one in _model(world).properties:
        identity = one.name.split()[0]
        if identity in PROPERTIES:
            yield identity


def _explored(world: World, traces: bool, until: str = "") -> Result:
    bounds = Bounds(states=STATES_MAX)
    return explore(_model(world), traces=traces, bounds=bounds, first_violation=until or False)


def _model(world: World) -> Model:
    return failures.model(world) if failures.fails(world) else model(world)
