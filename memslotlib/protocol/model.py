"""The model of a world: its variables, its actors, and the properties that it is held to."""

from __future__ import annotations

from typing import Any

from ..check import Actor, Model, always, interval, never, no_deadlock, sometimes
from ..check.model import Property
from .agents import contender, device, vhost
from .mmu import interrupt
from .state import variables
from .vcpu import lookup, vcpu
from .world import World


def updater(m: Any, w: World) -> Any:
    """Run one of the world's programs, step by step."""
    program = m.choose(w.programs)
    for number in range(len(program)):
        yield from program[number].step(m, w, *program[number].arguments)


def model(w: World) -> Model:
    """Return the model of a world."""
    actors = [
        Actor(vcpu, w, per=w.cpu),
        Actor(interrupt, per=w.cpu, name="ipi"),
        Actor(updater, w),
    ]
    if w.vhost:
        actors.append(Actor(vhost, w))
    if w.device:
        actors.append(Actor(device, w))
    if w.contender is not None:
        actors.append(Actor(contender, w))
    intervals = [interval("slots_lock", lambda m: m.slots_lock)]
    return Model(w.name, variables(w), actors, properties(w), intervals)


def properties(w: World) -> list[Property]:
    """Return the properties that make sense in a world."""
    frames = [(as_id, gfn) for as_id in w.spaces for gfn in range(w.gfns)]

    def is_accounted(m: Any) -> bool:
        for as_id, gfn in frames:
            owner = m.owner[w.at(as_id, gfn)]
            slot = None if owner == "-" else lookup(m, as_id, gfn)
            if owner != "-" and (slot is None or slot.metadata(gfn) != owner):
                return False
        return not w.huge or all(lies_in_one_slot(m, as_id) for as_id in w.spaces)

    def lies_in_one_slot(m: Any, as_id: int) -> bool:
        one, other = w.huge or (0, 0)
        return not m.huge[as_id] or lookup(m, as_id, one) == lookup(m, as_id, other)

    found = [
        never("I1 no use of a slot that was freed"),
        never("I2 nothing reaches the old page after the update"),
        never("I3a no hole where the page stays"),
        never("I7 both sets are equal at rest"),
        never("I8 no two slots overlap"),
        always("I12 every SPTE is accounted in the slot that a lookup finds", is_accounted),
        no_deadlock("I10 nobody waits for ever"),
        *map(sometimes, w.events),
        sometimes("the update returns", lambda m: m.returned),
    ]
    if w.caches:
        found += [
            never("I15 no access meets a hole where memory is after the update"),
            never("I15' a remembered hole is believed only where no memory is"),
        ]
    if w.caches and w.swaps:
        found.append(never("I6 generations are unique and only grow"))
    if w.untouched:
        found.append(never("I11 an update of one address space does not show in another"))
    if w.mix:
        found += [
            never("I13 one vCPU never sees a mix"),
            never("I13' vCPUs that talk never see a mix"),
        ]
    if w.logs:
        found += [
            never("I5 no dirty page is lost"),
            never("I5' no clean page is called dirty"),
        ]
    if w.ring:
        found.append(never("I5'' an entry of a ring names the page that it was pushed for"))
    if w.moving:
        found += [
            never("I3b no hole where the page changes"),
            never("I4a one vCPU never sees the old page after the new one"),
            never("I4a' no vCPU sees the old page after another saw the new one"),
            never("I4b no write to the old page once it is being copied"),
        ]
    return found
