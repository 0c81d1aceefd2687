"""Why a line of an actor never ran in a search: each line that did not has to have a reason.

A rule names blocks of source, by function and condition, and says of which worlds it is true that
none of their lines runs. It is held to both: a line that no rule explains was left out by the
search or by the model, and one that ran although a rule fits makes the rule wrong.

What is counted are the lines of steps, of what has a ``yield``; what these only call is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..check import Result
from ..check.blocks import Block, block
from .properties import violated
from .sight import Kind, Sight
from .world import World

#: A step that says that a property breaks.
_FAILS = re.compile(r'm\.fail\("(\S+) ')


class Line(NamedTuple):
    """A line of an actor's source in one search, and what stands before it in its block."""

    file: str
    number: int
    text: str
    block: Block
    is_covered: bool
    before: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.number} {self.block.function}(): {self.text}"


class Place(NamedTuple):
    """The lines of a block, from the one on that begins with ``since``."""

    function: str
    guard: str = ""
    since: str = ""

    def has(self, line: Line) -> bool:
        """Whether a line is one of these."""
        begins = (one.startswith(self.since) for one in (*line.before, line.text))
        return (self.function, self.guard) == tuple(line.block) and any(begins)


@dataclass(frozen=True)
class Rule:
    """Why the lines of some places do not run in worlds that it fits."""

    reason: str
    places: tuple[Place, ...]
    fits: Callable[[Sight], bool]

    def explains(self, line: Line, sight: Sight) -> bool:
        """Whether it says of a line that it does not run."""
        return any(place.has(line) for place in self.places) and self.fits(sight)


def lines(result: Result) -> Iterator[Line]:
    """Yield every line of a search's actors."""
    for file, found in result.coverage.items():
        before: dict[Block, tuple[str, ...]] = {}
        for one in found:
            where, text = block(file, one.number), one.text.strip()
            earlier = before.get(where, ())
            yield Line(Path(file).name, one.number, text, where, one.is_covered, earlier)
            before[where] = (*earlier, text)


def reason(line: Line, sight: Sight, broken: Collection[str], asked: Collection[str]) -> str:
    """Return why a line does not run in a world whose search breaks so much; empty if nothing says.

    Both are ids of properties: those that are broken, and all that the search asks of. The first
    rule that fits tells.
    """
    said = _FAILS.match(line.text)
    if said is not None and said[1] not in broken:
        return HOLDS if said[1] in asked else NOT_ASKED
    return next((rule.reason for rule in RULES if rule.explains(line, sight)), "")


def reasons(w: World, result: Result) -> Iterator[tuple[Line, str]]:
    """Yield each line that did not run, and each for which a rule fits, with the reason."""
    sight, broken = Sight(w), violated(result)
    asked = {name.split()[0] for name in result.verdicts}
    for line in lines(result):
        why = reason(line, sight, broken, asked)
        if why or not line.is_covered:
            yield line, why


def _none(*kinds: Kind, of: str) -> Callable[[Sight], bool]:
    """Whether some who look up find none of these, at any moment."""
    return lambda s: not getattr(s, of) & set(kinds)


def _without(*steps: str) -> Callable[[Sight], bool]:
    return lambda s: not s.steps & set(steps)


#: What a line that says that a property breaks is there for, where it does not.
HOLDS = "the property holds here"
NOT_ASKED = "this scene does not ask for the property"
_PAUSED = "nobody is inside KVM_RUN when that is done"
_NOTHING_REMEMBERED = "this scene does not ask what is remembered of holes"
_NO_PML = "the processor logs no stores"
_NO_NOTIFIER = "nobody invalidates a range"

RULES: tuple[Rule, ...] = (
    Rule(
        "nobody pauses vCPUs",
        (
            Place("enter_guest", "w.pauses and m.paused"),
            Place("kvm_access", "w.pauses and m.mode[v] == OUT and (m.srcu[v] == OUTSIDE)"),
            Place("access_in_parts", "w.pauses and m.mode[v] == OUT"),
            Place("access_by_pointer", "w.pauses and m.mode[v] == OUT"),
            Place("walk", "w.pauses and m.mode[v] == OUT"),
            Place("complete", "w.pauses"),
        ),
        lambda s: not s.world.pauses,
    ),
    Rule(
        _PAUSED,
        (Place("begin_grace_period", "m.srcu[v] == READING"),),
        lambda s: s.is_always_paused("begin_grace_period"),
    ),
    Rule(
        _PAUSED,
        (Place("sync_dirty_log", "m.mode[v] == IN"),),
        lambda s: s.is_always_paused("fetch_bitmap"),
    ),
    Rule(
        "nobody is asked to flush or to leave the guest",
        (
            Place("interrupt", "True", "m.mode[v] = OUT"),
            Place("enter_guest", "m.request[v] != '-'"),
        ),
        _without("zap_all", "request_flush", "pause", "fetch_bitmap"),
    ),
    Rule(
        "no fault is on a frame that is denied",
        (
            Place("page_fault", "access.gfn in w.denied and m.is_denied"),
            Place("exit_until", "why == 'denied'"),
        ),
        _none("denied", of="faults"),
    ),
    Rule(
        "no slot has the userfault flag",
        (
            Place("page_fault", "slot.is_userfault and (not m.is_clear)"),
            Place("exit_until", "not (why == 'denied')"),
        ),
        _none("userfault", of="faults"),
    ),
    Rule(
        "no slot is disabled",
        (Place("page_fault", "slot.is_disabled"),),
        _none("disabled", of="faults"),
    ),
    Rule(
        "no slot is disabled",
        (
            Place("kvm_access", "True", "yield from exit_disabled"),
            Place("attempt", "slot is not None and slot.is_disabled"),
            Place("access_by_pointer", "slot is not None and slot.is_disabled"),
            Place("walk", "slot.is_disabled"),
        ),
        _none("disabled", of="own"),
    ),
    Rule(
        "no slot is disabled",
        (Place("device_access", "w.waits and slot is not None and slot.is_disabled"),),
        _none("disabled", of="device"),
    ),
    Rule(
        "this device does not wait",
        (Place("device_access", "w.waits and slot is not None and slot.is_disabled"),),
        lambda s: not s.world.waits,
    ),
    Rule(
        "no fault finds a frame without a slot",
        (
            Place("page_fault", "slot is None"),
            Place("page_fault", "w.caches and is_noslot(w, slot)"),
            Place("page_fault", "not is_stale"),
        ),
        _none("none", of="faults"),
    ),
    Rule(
        "no fault finds an INVALID slot",
        (Place("page_fault", "slot.is_invalid and w.policy.retries"),),
        _none("invalid", of="faults"),
    ),
    Rule(
        "a fault on an INVALID slot is not retried",
        (Place("page_fault", "slot.is_invalid and w.policy.retries"),),
        lambda s: not s.world.policy.retries,
    ),
    Rule(
        "a fault on an INVALID slot is retried, and none is a store to a READONLY one",
        (Place("page_fault", "slot.is_invalid or (slot.readonly and access.is_write)"),),
        lambda s: s.world.policy.retries and "read-only" not in s.faults,
    ),
    Rule(
        "no fault finds an INVALID slot, or stores to a READONLY one",
        (Place("page_fault", "slot.is_invalid or (slot.readonly and access.is_write)"),),
        _none("invalid", "read-only", of="faults"),
    ),
    Rule(
        "no fault meets a hole",
        (Place("guest_access", "is_over"), Place("fault_and_exit", "is_over")),
        lambda s: s.finds_no_hole,
    ),
    Rule(
        _NOTHING_REMEMBERED,
        (
            Place("publish", "w.caches"),
            Place("page_fault", "w.caches and is_noslot(w, slot)"),
            Place("page_fault", "not is_stale"),
            Place("guest_access", "w.caches and believes(m, w, v, access)"),
            Place("kvm_access", "w.caches and is_kept(m, w, v, access)"),
        ),
        lambda s: not s.world.caches,
    ),
    Rule(
        "what is remembered of a hole is asked before the slot",
        (Place("page_fault", "slot is None"),),
        lambda s: s.world.caches,
    ),
    Rule(
        "a hole is remembered before the access is emulated",
        (
            Place("kvm_access", "slot is None"),
            Place(
                "kvm_access",
                "slot is None or slot.is_invalid or (slot.readonly and access.is_write)",
            ),
        ),
        lambda s: s.remembers_first,
    ),
    Rule(
        "no root becomes obsolete",
        (
            Place("page_fault", "m.request[v] == RELOAD"),
            Place("no_slot", "m.request[v] == RELOAD"),
            Place("walk", "m.request[v] == RELOAD"),
        ),
        _without("zap_all"),
    ),
    Rule(
        "no vCPU is inside KVM_RUN, or no fault has a slot, when roots become obsolete",
        (Place("page_fault", "m.request[v] == RELOAD"),),
        lambda s: s.zaps_what_is_blocked,
    ),
    Rule(
        "no fault is on a frame without a slot when roots become obsolete",
        (Place("no_slot", "m.request[v] == RELOAD"),),
        lambda s: "none" not in s.at("zap_all"),
    ),
    Rule(
        "no slot comes while a fault without one is under way",
        (Place("no_slot", "m.spte[frame] != ABSENT"),),
        lambda s: s.holes_stay,
    ),
    Rule(
        "tags of MMIO SPTEs do not wrap within an update",
        (
            Place("memslots_updated", "(number - number % len(w.spaces)) % w.tags == 0"),
            Place("memslots_updated", "v in w.cpu"),
        ),
        lambda s: s.world.tags > len(s.world.spaces) * len(list(s.world.ops)),
    ),
    Rule(
        "no fault has a page to map",
        (
            Place("guest_access", "m.spte[frame].permits(access)"),
            Place("guest_access", "m.tlb[v, frame].serves(access)"),
            Place("page_fault", "w.notifies"),
            Place("page_fault", "w.notifies and (m.is_invalidating or m.invalidate_seq != seq)"),
        ),
        _none("usable", of="faults"),
    ),
    Rule(
        "no fault finds a slot",
        (Place("page_fault", "", "if slot is None:"),),
        lambda s: s.world.caches and s.faults <= {"none", "denied"},
    ),
    Rule(
        "what the guest accesses is mapped from the beginning, and stays so",
        (
            Place("page_fault", "", "if slot.is_invalid and w.policy.retries:"),
            Place("page_fault", "m.request[v] == RELOAD"),
        ),
        lambda s: s.stays_mapped,
    ),
    Rule(
        "what the guest accesses is mapped from the beginning until roots become obsolete",
        (Place("page_fault", "m.request[v] == RELOAD"),),
        lambda s: s.faults_after_zap,
    ),
    Rule(
        _NO_NOTIFIER,
        (
            Place("page_fault", "w.notifies"),
            Place("page_fault", "w.notifies and (m.is_invalidating or m.invalidate_seq != seq)"),
        ),
        lambda s: not s.world.notifies,
    ),
    Rule(
        "a page that only the log protects is mapped again under mmu_lock",
        (Place("page_fault", "w.policy.fixes_fast and is_only_protected(m, w, access, slot)"),),
        lambda s: not s.world.policy.fixes_fast,
    ),
    Rule(
        "the guest stores to no slot with a log",
        (Place("page_fault", "w.policy.fixes_fast and is_only_protected(m, w, access, slot)"),),
        lambda s: s.protects_nothing,
    ),
    Rule(
        "KVM itself stores to no slot with a log",
        (Place("kvm_access", "access.is_write and slot.log"),),
        lambda s: s.logs_no_store,
    ),
    Rule(
        "KVM's own accesses find a slot at every moment",
        (Place("kvm_access", "slot is None"),),
        _none("none", of="own"),
    ),
    Rule(
        "KVM's own accesses find a slot to use at every moment",
        (
            Place(
                "kvm_access",
                "slot is None or slot.is_invalid or (slot.readonly and access.is_write)",
            ),
        ),
        _none("none", "invalid", "read-only", of="own"),
    ),
    Rule(
        "the device finds a slot to use at every moment",
        (
            Place("device_access", "slot is None or slot.is_invalid or slot.is_disabled"),
            Place("device_by_pointer", "slot is None or slot.is_invalid or slot.is_disabled"),
        ),
        lambda s: (
            not s.device & {"none", "invalid"} and (s.world.waits or "disabled" not in s.device)
        ),
    ),
    Rule(
        "there is no device",
        (
            Place("begin_grace_period", "w.device and m.device_srcu == READING"),
            Place("end_grace_period", "w.device"),
        ),
        lambda s: not s.world.device,
    ),
    Rule(
        "userspace does not stop vhost",
        (Place("vhost", "w.uses('stop_vhost')"),),
        lambda s: not s.world.uses("stop_vhost"),
    ),
    Rule(
        "userspace can complete each of these accesses",
        (Place("complete", "access.kind == 'fetch' or access.via not in ('guest', 'emulator')"),),
        lambda s: all(
            one.kind != "fetch" and one.via in ("guest", "emulator") for one in s.world.accesses
        ),
    ),
    Rule(
        "userspace does not hold exits back",
        (Place("complete", "w.uses('hold_exits')"),),
        lambda s: not s.world.uses("hold_exits"),
    ),
    Rule(
        "userspace completes no part of an access here",
        (Place("access_in_parts", "part in in_holes(access, reached) if w.exits else ()"),),
        lambda s: not s.world.exits,
    ),
    Rule(
        "no part of an access meets a hole",
        (Place("access_in_parts", "part in in_holes(access, reached) if w.exits else ()"),),
        _none("none", "invalid", "read-only", of="own"),
    ),
    Rule(
        "no slot of the change leads to another page",
        (
            Place(
                "ioctl_fails",
                "m.spte[w.at(as_id, gfn)].page not in ('', w.change.page_before(as_id, gfn))",
            ),
        ),
        lambda s: len({slot.hva for sets in s.world.contents for one in sets for slot in one}) == 1,
    ),
    Rule(
        "no slot has a dirty bitmap",
        (
            Place("free", "gfn in slot.gfns if slot.log and (not w.ring) else ()"),
            Place("free", "w.bit(slot, gfn) not in kept"),
        ),
        lambda s: not s.world.logs or s.world.ring,
    ),
    Rule(
        "another slot has taken the bitmap over",
        (Place("free", "w.bit(slot, gfn) not in kept"),),
        lambda s: s.hands_bitmaps_on,
    ),
    Rule(
        _NO_PML,
        (
            Place("enter_guest", "w.has_pml"),
            Place("page_fault", "w.has_pml"),
            Place("kvm_access", "w.has_pml"),
            Place("kvm_access", "w.has_pml and m.mode[v] == OUT"),
            Place("switch_space", "w.has_pml"),
            Place("vcpu", "w.has_pml"),
            Place("fetch_bitmap", "w.has_pml"),
            Place("guest_access", "is_logged(m, w, v, access)"),
        ),
        lambda s: not s.world.has_pml,
    ),
    Rule(
        "there is a slot that logs wherever the processor logged a store",
        (Place("drain", "slot is None or not slot.log"),),
        lambda s: all(
            (slot := moment.slot(one)) is not None and slot.log
            for moment in s.moments
            if not moment.is_paused
            for one in s.guest
        ),
    ),
    Rule(
        "there is one address space",
        (Place("vcpu", "len(w.spaces) > 1 and m.smm[v] != bool(access.as_id)"),),
        lambda s: len(s.world.spaces) == 1,
    ),
    Rule(
        "this scene does not ask for a state save",
        (Place("switch_space", "w.smram is not None"),),
        lambda s: s.world.smram is None,
    ),
    Rule(
        "no access is the guest's",
        (
            Place("vcpu", "access.via == 'guest'"),
            Place("interrupt", "True", "m.mode[v] = OUT"),
        ),
        lambda s: not s.guest,
    ),
    Rule(
        "all accesses are the guest's",
        (Place("vcpu", "not (access.via == 'guest')"),),
        lambda s: all(one.via == "guest" for one in s.world.accesses),
    ),
)
