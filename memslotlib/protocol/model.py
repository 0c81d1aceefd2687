"""The model of a world: its variables, its actors, and the properties that it is held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..check import Actor, Model, always, interval, never, no_deadlock, sometimes
from ..check.model import Property
from .agents import contender, device, device_access, vhost
from .exits import fault_and_exit
from .kernel import edit_inactive
from .mmu import interrupt
from .pointer import access_by_pointer, device_by_pointer, edit_watched
from .shadow import walk
from .state import variables
from .straddle import access_in_parts
from .vcpu import kvm_access, lookup, page_fault, vcpu
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
    made = Model(w.name, variables(w), actors, properties(w), intervals)
    if w.exits:
        made = made.with_step(page_fault, fault_and_exit)
    if w.shadows:
        return made.with_step(kvm_access, walk)
    if w.pointers:
        made = made.with_step(kvm_access, access_by_pointer)
        made = made.with_step(edit_inactive, edit_watched)
        return made.with_step(device_access, device_by_pointer)
    return made.with_step(kvm_access, access_in_parts) if w.exits or w.straddles else made


#: Properties that make sense in some worlds only, and in which.
_WHERE: tuple[tuple[Callable[[World], object], tuple[str, ...]], ...] = (
    (
        lambda w: w.caches,
        (
            "I15 no access meets a hole where memory is after the update",
            "I15' a remembered hole is believed only where no memory is",
        ),
    ),
    (lambda w: w.caches and w.swaps, ("I6 generations are unique and only grow",)),
    (lambda w: w.untouched, ("I11 an update of one address space does not show in another",)),
    (
        lambda w: w.mix,
        ("I13 one vCPU never sees a mix", "I13' vCPUs that talk never see a mix"),
    ),
    (lambda w: w.logs, ("I5 no dirty page is lost", "I5' no clean page is called dirty")),
    (lambda w: w.ring, ("I5'' an entry of a ring names the page that it was pushed for",)),
    (
        lambda w: w.moving,
        (
            "I3b no hole where the page changes",
            "I4a one vCPU never sees the old page after the new one",
            "I4a' no vCPU sees the old page after another saw the new one",
            "I4b no write to the old page once it is being copied",
        ),
    ),
    (lambda w: w.exits, ("I2' no load brings a value of the old page after the update",)),
    (
        lambda w: w.exits and w.moving,
        ("I4b' no write to the new page before it is copied to",),
    ),
    (
        lambda w: w.straddles,
        ("I14 one access never sees a mix", "I14' no part of an access is made twice"),
    ),
    (lambda w: w.pointers, ("I16 no set is edited while somebody looks in it",)),
)


def properties(w: World) -> list[Property]:
    """Return the properties that make sense in a world."""
    frames = [(as_id, gfn) for as_id in w.spaces for gfn in range(w.gfns)]

    def is_accounted(m: Any) -> bool:
        for as_id, gfn in frames:
            owner = m.owner[w.at(as_id, gfn)]
            slot = None if owner == "-" else lookup(m, as_id, gfn)
            if owner != "-" and (slot is None or slot.metadata(gfn) != owner):
                return False
            if w.shadows and not is_shadow_accounted(m, as_id, gfn):
                return False
        return not w.huge or all(lies_in_one_slot(m, as_id) for as_id in w.spaces)

    def is_shadow_accounted(m: Any, as_id: int, gfn: int) -> bool:
        shadowed = m.shadowed[w.at(as_id, gfn)]
        slot = lookup(m, as_id, gfn)
        return shadowed == "-" or (slot is not None and slot.metadata(gfn) == shadowed)

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
    return found + [never(name) for is_asked, names in _WHERE if is_asked(w) for name in names]
