"""Scenes in the middle of a migration: a round of the log is over, and a logged slot changes.

What logs is mapped, and protected as the policy has it: read-only, or with clean D bits. So the
first store through a translation is logged, by KVM or by the processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .apis import Api
from .kernel import LOCK
from .program import Op, Program
from .ring import reaped, settle_rings
from .scenes import MOVE, NO_LOG, OTHER, SPLIT, TRUNCATE, Scene, logged
from .slots import Change, Contents, Slot
from .userspace import SEND, fetch_bitmap
from .world import X86, Access, Policy, World, every

Ops = tuple[Op, ...]

#: The APIs that are several ioctls: userspace has a moment before new slots come.
STEPPED = ("today", "pause", "attributes", "user-exit")


@dataclass(frozen=True)
class LoggedScene(Scene):
    """A scene in which a round of the log is over."""

    def world(self, api: Api, policy: Policy = X86, *, more: int = 0, vcpus: int = 0) -> World:
        """Return the scene with the API's program; with PML the processor has to log a store."""
        w = super().world(api, policy, more=more, vcpus=vcpus)
        by_processor = ("the processor logs a store", "a PML buffer is emptied")
        return replace(w, mapped=True, events=(*w.events, *(by_processor if policy.pml else ())))


@dataclass(frozen=True)
class RingScene(LoggedScene):
    """A scene whose VM has dirty rings, which userspace reads at some moment of the update.

    ``reads``: "before" the update, or where the API reads a log; "late", in the last moment before
    new slots come, if the API has one; or "after" it. What is left is read when all is over: by the
    new slots, and, after it, by the old ones whose ids no new one has.
    """

    accesses_max: int = 2
    smaller: str = (
        f"two accesses of each vCPU, as userspace reads rings as well; {NO_LOG}; the guest stores "
        "to two frames, and KVM itself to one"
    )
    reads: str = "after"

    def world(self, api: Api, policy: Policy = X86, *, more: int = 0, vcpus: int = 0) -> World:
        """Return the scene with the API's program, in which rings are read in place of bitmaps."""
        w = super().world(api, policy, more=more, vcpus=vcpus)
        (whole,) = w.programs
        before, after = self.change.before, self.change.after
        known = Contents((*after, *(before if self.reads == "after" else ())))
        ops = self._read(whole.ops[:-1], api, known)
        program = Program((*ops, Op(settle_rings, (known,))), whole.name)
        return replace(w, ring=True, programs=(program,))

    def _read(self, ops: Ops, api: Api, known: Contents) -> Ops:
        """Put the reading of rings to its place, and take that of bitmaps away."""
        place, kept = 0, [op for op in ops if op != SEND]
        while fetch := next((n for n, op in enumerate(kept) if op.step is fetch_bitmap), 0):
            is_ioctl = kept[fetch - 1] == LOCK
            place = place or (fetch - 1) * is_ioctl
            del kept[fetch - is_ioctl : fetch + 1 + 3 * is_ioctl]
        if self.reads == "after":
            return (*kept, *reaped(known))
        if self.reads == "late":
            place = come(kept, self.change) if api.key in STEPPED else 0
        return (*kept[:place], *reaped(Contents(self.change.before)), *kept[place:])


def come(ops: list[Op], change: Change) -> int:
    """Return where the ioctl begins that brings the first new slot."""
    names = {slot.name for slot in change.come}
    edit = next(n for n, op in enumerate(ops) if any(str(one.new) in names for one in op.edits))
    return max(n for n, op in enumerate(ops[:edit]) if op == LOCK)


def numbered(change: Change, *, reused: bool = False) -> Change:
    """Return the change with an id for each slot: new ones, or those of the slots that go first."""
    known = [slot for slot in change.before if slot in change.after]
    first = len(known) if reused else len(change.before)
    numbers = {slot.name: n for n, slot in enumerate((*known, *change.gone))}
    numbers |= {slot.name: first + n for n, slot in enumerate(change.come)}

    def told(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        return tuple(replace(slot, number=numbers[slot.name]) for slot in slots)

    return Change(told(change.before), told(change.after))


def _stores(*guest: int, emulator: int) -> tuple[Access, ...]:
    by_kvm = every(("store",), (emulator,), ("emulator",))
    return (*every(("store",), guest, ("guest",)), *by_kvm)


def _rings(name: str, change: Change, accesses: tuple[Access, ...], reads: str) -> RingScene:
    return RingScene(f"{name}-logged+ring-{reads}", numbered(logged(change)), accesses, reads=reads)


_LOW, _HIGH = _stores(1, 2, emulator=1), _stores(2, 3, emulator=2)
_TWO_FRAMES = f"{NO_LOG}; frame 3 is not accessed"
#: The first frame of a slot goes.
CUT = Change((OTHER, Slot("old", 1, 3)), (OTHER, Slot("tail", 2, 2)))

_ALL: tuple[Scene, ...] = (
    LoggedScene("truncate-logged+round", logged(TRUNCATE), _LOW, smaller=_TWO_FRAMES),
    LoggedScene("split-logged+round", logged(SPLIT), _LOW, smaller=_TWO_FRAMES),
    LoggedScene(
        "move-logged+round",
        logged(MOVE),
        (*_stores(1, 2, emulator=2), *every(("store",), (3,), ("emulator",))),
        smaller=f"{NO_LOG}; frame 3 is stored to by KVM itself alone",
    ),
    *(_rings("truncate", TRUNCATE, _LOW, reads) for reads in ("before", "late", "after")),
    *(_rings("split", SPLIT, _LOW, reads) for reads in ("before", "late", "after")),
    RingScene("cut-logged+ring-reused", numbered(logged(CUT), reused=True), _HIGH, reads="late"),
    RingScene(
        "truncate-logged+ring-reused",
        numbered(logged(TRUNCATE), reused=True),
        _stores(1, 3, emulator=1),
        reads="after",
    ),
)

#: By the name that claims use.
LOGGING: Mapping[str, Scene] = {scene.name: scene for scene in _ALL}
