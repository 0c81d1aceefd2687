"""What a look-up may find while a world's updates run: an upper bound, from the programs alone.

A program is straight, so its active sets follow from its edits and swaps. Who looks at the wrong
moment finds what is there at that moment; whether somebody can, only a search tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from .kernel import edit_inactive, free, publish, release_slots_lock, take_slots_lock
from .program import Op, Program
from .slots import Contents, Slot
from .world import Access, World

#: What a look-up for an access comes to. A fault on a frame that is denied does not ask the slot.
Kind = Literal["none", "invalid", "disabled", "userfault", "read-only", "usable", "denied"]


class Moment(NamedTuple):
    """After a step of an update: the active set of each space, and what keeps vCPUs away."""

    op: Op | None
    active: tuple[Contents, ...]
    is_paused: bool = False
    denied: tuple[int, ...] = ()

    @property
    def step(self) -> str:
        """What the step is called; empty at the beginning."""
        return self.op.step.__name__ if self.op else ""

    def slot(self, access: Access) -> Slot | None:
        """Return the slot that a look-up for an access finds."""
        return self.active[access.as_id].lookup(access.gfn)


def moments(w: World) -> Iterator[Moment]:
    """Yield every moment of each program, also with another thread's ioctl in between."""
    for program in w.programs:
        for ops in _interleaved(program, w.contender):
            yield from _run(ops, w)


def _interleaved(program: Program, contender: Program | None) -> Iterator[tuple[Op, ...]]:
    """Yield a program's steps, with those of the other wherever slots_lock is free."""
    if contender is None:
        yield program.ops
        return
    is_locked = False
    for place, op in enumerate((*program.ops, None)):
        if not is_locked:
            yield (*program.ops[:place], *contender.ops, *program.ops[place:])
        if op is not None and op.step in (take_slots_lock, release_slots_lock):
            is_locked = op.step is take_slots_lock


def _run(ops: tuple[Op, ...], w: World) -> Iterator[Moment]:
    sets = [[one[0], one[0]] for one in w.contents]
    found = Moment(None, tuple(one for one, _ in sets))
    yield found
    for op in ops:
        name = op.step.__name__
        if op.step is edit_inactive:
            (edit,) = op.edits
            sets[edit.as_id][1] = sets[edit.as_id][1].edited(edit)
        elif op.step is publish:
            sets[op.arguments[0]].reverse()
        found = Moment(
            op,
            tuple(one for one, _ in sets),
            name == "await_paused" or (found.is_paused and name != "resume"),
            op.arguments[0] if name == "deny" else () if name == "allow" else found.denied,
        )
        yield found


@dataclass(frozen=True, eq=False)
class Sight:
    """What look-ups in a world may find."""

    world: World

    @cached_property
    def moments(self) -> tuple[Moment, ...]:
        """Every moment of its updates."""
        return tuple(moments(self.world))

    @cached_property
    def steps(self) -> frozenset[str]:
        """The steps that its programs have, by name; not those that they are mutants of."""
        return frozenset(one.step for one in self.moments)

    @cached_property
    def guest(self) -> tuple[Access, ...]:
        """The accesses that go through page tables."""
        return tuple(one for one in self.world.accesses if one.via == "guest")

    @cached_property
    def kvm(self) -> tuple[Access, ...]:
        """The accesses that KVM makes for a vCPU, the guest's own among them where it emulates."""
        w = self.world
        own = [part for one in w.accesses for part in one.parts if one.via != "guest" or w.caches]
        if w.smram is not None:
            own += [Access("store", w.smram, "smi", 1), Access("load", w.smram, "rsm", 1)]
        return tuple(own)

    def finds(self, moment: Moment, access: Access) -> Kind:
        """Return what a page fault, or an access of KVM's own, finds at a moment."""
        slot = moment.slot(access)
        if access.via == "guest" and access.gfn in moment.denied:
            return "denied"
        if slot is None:
            return "none"
        if slot.is_invalid:
            return "invalid"
        if slot.is_disabled:
            return "disabled"
        if slot.readonly and access.is_write:
            return "read-only"
        return "userfault" if slot.is_userfault else "usable"

    def _found(self, accesses: tuple[Access, ...], *, paused: bool = False) -> frozenset[Kind]:
        looked = [one for one in self.moments if paused or not one.is_paused]
        return frozenset(self.finds(one, access) for one in looked for access in accesses)

    @cached_property
    def faults(self) -> frozenset[Kind]:
        """What page faults may find."""
        return self._found(self.guest)

    @cached_property
    def own(self) -> frozenset[Kind]:
        """What KVM's own accesses for a vCPU may find."""
        return self._found(self.kvm)

    @cached_property
    def asked(self) -> frozenset[Kind]:
        """The same of those that do not begin with a page fault."""
        return self._found(tuple(one for one in self.kvm if one.via != "guest"))

    @cached_property
    def device(self) -> frozenset[Kind]:
        """What a device may find, which no pause keeps away."""
        return self._found(self.world.device, paused=True)

    def at(self, step: str) -> frozenset[Kind]:
        """Return what page faults may find when a step is made."""
        found = [one for one in self.moments if one.step == step and not one.is_paused]
        return frozenset(self.finds(one, access) for one in found for access in self.guest)

    def is_always_paused(self, step: str) -> bool:
        """Whether no vCPU is inside KVM_RUN whenever a step is made."""
        return all(one.is_paused for one in self.moments if one.step == step)

    @property
    def finds_no_hole(self) -> bool:
        """Whether no page fault is told that there is no memory."""
        return not self.faults & {"none", "read-only"} and (
            self.world.policy.retries or "invalid" not in self.faults
        )

    @property
    def zaps_what_is_blocked(self) -> bool:
        """Whether no fault has a slot to map from at the moment at which roots become obsolete."""
        return "usable" not in self.at("zap_all")

    @property
    def holes_stay(self) -> bool:
        """Whether no frame that a fault finds without a slot has one a swap later."""
        pairs = [
            (before, after)
            for before, after in zip(self.moments, self.moments[1:], strict=False)
            if after.step == "publish" and not after.is_paused
        ]
        hole = {"none"} if self.world.policy.retries else {"none", "invalid"}
        return not any(
            self.finds(before, one) in hole and self.finds(after, one) == "usable"
            for before, after in pairs
            for one in self.guest
        )

    @property
    def begins_mapped(self) -> bool:
        """Whether all that the guest accesses is mapped from the beginning."""
        w = self.world
        return all(w.first_slots[w.at(one.as_id, one.gfn)] for one in self.guest)

    @property
    def stays_mapped(self) -> bool:
        """Whether that is never zapped either."""
        zapped = [op for op in self.world.ops if op.step.__name__ == "zap_gfns"]
        gfns = {gfn for op in zapped for gfn in op.arguments[1]}
        is_safe = not self.steps & {"zap_all", "zap_slot"} and not gfns & {
            one.gfn for one in self.guest
        }
        return is_safe and self.begins_mapped

    @property
    def faults_after_zap(self) -> bool:
        """Whether there is no page fault before all is zapped, which happens once."""
        zaps = [one.step for one in self.moments if one.step.startswith("zap")]
        return zaps == ["zap_all"] and self.world.has_pml and self.begins_mapped

    @property
    def hands_bitmaps_on(self) -> bool:
        """Whether some slot of the active set has each bit of every slot that is freed."""
        w = self.world
        for moment in self.moments:
            if moment.op is not None and moment.op.step is free and moment.op.arguments[0].log:
                slot = moment.op.arguments[0]
                alive = [one for one in moment.active[slot.as_id] if one.log]
                kept = {w.bit(one, gfn) for one in alive for gfn in one.gfns}
                if any(w.bit(slot, gfn) not in kept for gfn in slot.gfns):
                    return False
        return True

    @property
    def remembers_first(self) -> bool:
        """Whether a hole that the guest meets is remembered before its access is emulated."""
        is_still = self.is_always_paused("mark_in_progress")
        return self.world.caches and is_still and not self.asked & {"none", "invalid", "read-only"}

    @property
    def logs_no_store(self) -> bool:
        """Whether KVM itself never stores to a slot that logs."""
        return not any(
            (slot := moment.slot(one)) is not None and slot.log
            for moment in self.moments
            for one in self.kvm
            if one.is_write
        )

    @property
    def protects_nothing(self) -> bool:
        """Whether no store of the guest meets a translation that the log protects."""
        return not self.world.logs or not any(one.is_write for one in self.guest)
