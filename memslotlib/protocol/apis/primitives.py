"""Grow, truncate, split, merge and READONLY as operations of their own: a slot is re-sliced.

Source: message-id YzYQe2Lc+l2KpLBl@google.com. Metadata and dirty bitmap stay with the frames that
keep their page, and nothing of these is zapped. The order of the steps was not proposed; it is what
this model shows to be needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields

from ..kernel import LOCK, RETURN, UNLOCK, free, replace, swap
from ..mmu import disallow_huge, flush, write_protect, zap_gfns
from ..program import Op, Program
from ..slots import Change, Slot
from ..world import Policy


def update(change: Change, policy: Policy, huge: tuple[int, int] | None = None) -> Program:
    """Re-slice: frames that lose their page are blocked and flushed before they go.

    In order: no new huge page across a boundary to come, and the old one zapped; one swap to the
    new slots, with INVALID ones in the place of what goes; zap that; one swap that drops it.
    """
    come = tuple(_carrying(slot, change) for slot in change.come)
    lost = tuple(part for slot in change.gone for part in _lost(slot, change))
    protected = tuple(gfn for slot in come if slot.readonly for gfn in slot.gfns)
    stay = [*(replace(slot, None) for slot in change.gone), *(replace(None, s) for s in come)]
    block = [*stay, *(replace(None, slot) for slot in lost)]
    (as_id,) = {slot.as_id for slot in (*change.gone, *change.come)}
    ops = [LOCK, *_shattered(change, huge), *block, *swap(as_id)]
    if lost or protected:
        zapped = [Op(zap_gfns, (as_id, tuple(slot.gfns))) for slot in lost]
        zapped += [Op(write_protect, (as_id, protected))] if protected else []
        ops += [*zapped, *flush()]
    drop = [replace(slot, None) for slot in lost]
    if lost:
        ops += [*stay, *drop, *swap(as_id), *drop]
    else:
        ops += stay
    ops += [Op(free, (slot,)) for slot in (*change.gone, *lost)]
    return Program((*ops, UNLOCK, RETURN), "primitives")


def in_turn(
    layouts: Sequence[tuple[Slot, ...]], policy: Policy, huge: tuple[int, int] | None = None
) -> Program:
    """Several operations one after the other, each its own ioctl, from layout to layout.

    A slot that is in two layouts in a row stays, with whatever it carries from before.
    """
    ops: list[Op] = []
    now = {slot: slot for slot in layouts[0]}
    for layout in layouts[1:]:
        change = Change(tuple(now.values()), tuple(now.get(slot, slot) for slot in layout))
        ops += [op for op in update(change, policy, huge) if op != RETURN]
        now = {slot: now.get(slot) or _carrying(slot, change) for slot in layout}
    return Program((*ops, RETURN), "primitives in turn")


def refusal(change: Change) -> str:
    """Return why a change is no re-slicing; empty if it is."""
    spaces = {slot.as_id for slot in (*change.gone, *change.come)}
    if len(spaces) > 1:
        return "one operation is about one address space"
    frames = {(slot.as_id, gfn) for slot in change.gone for gfn in slot.gfns}
    if any(change.repoints(*frame) for frame in frames):
        return "grow, truncate, split and merge keep the hva of every frame"
    return ""


def _carrying(slot: Slot, change: Change) -> Slot:
    """Return a slot that comes with the metadata and bitmap of the frames that stay."""
    arch, bitmap = [], []
    for gfn in slot.gfns:
        old = next((one for one in change.gone if gfn in one.gfns), None)
        kept = old if old is not None and old.hva == slot.hva else None
        arch.append(kept.metadata(gfn) if kept else slot.name)
        bitmap.append(kept.dirty_bitmap(gfn) if kept and kept.log else slot.name)
    return with_fields(slot, arch=tuple(arch), bitmap=tuple(bitmap))


def _lost(slot: Slot, change: Change) -> tuple[Slot, ...]:
    """Return INVALID slots for the frames of a slot that have no page afterwards."""
    gone = [gfn for gfn in slot.gfns if not change.page_after(slot.as_id, gfn)]
    runs: list[list[int]] = []
    for gfn in gone:
        if runs and runs[-1][-1] == gfn - 1:
            runs[-1].append(gfn)
        else:
            runs.append([gfn])
    parts = [range(run[0], run[-1] + 1) for run in runs]
    return tuple(
        with_fields(slot.part(f"{slot.name}[{one.start}:{one.stop}]!", one), is_invalid=True)
        for one in parts
    )


def _shattered(change: Change, huge: tuple[int, int] | None) -> tuple[Op, ...]:
    """Take a huge page apart that no slot will hold whole."""
    if huge is None:
        return ()
    holders = [slot for slot in change.gone if all(gfn in slot.gfns for gfn in huge)]
    if not holders or any(all(gfn in slot.gfns for gfn in huge) for slot in change.come):
        return ()
    as_id = holders[0].as_id
    return Op(disallow_huge, (as_id,)), Op(zap_gfns, (as_id, huge)), *flush()
