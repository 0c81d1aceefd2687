"""Memslots as a model sees them: slots, the contents of a set of them, and what a set can become.

A kernel holds two sets of slots for each address space, one active, one about to be. An update
edits the inactive one and publishes it. Here a set is a value, :class:`Contents`, and all that an
update's edits can make of it are known before the search begins.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple


@functools.cache
def page_number(hva: str, gfn: int) -> int:
    """Return which page of a mapping a frame has; a number at the end of its name shifts it.

    >>> page_number("A", 1) == page_number("A-1", 2)
    True
    """
    shift = re.search(r"[+-]\d+$", hva)
    return gfn + int(shift.group()) if shift else gfn


@dataclass(frozen=True)
class Slot:
    """One ``struct kvm_memory_slot``: ``npages`` pages from ``base_gfn`` on, backed by ``hva``.

    ``hva`` names a mapping of all frames to pages: slots with the same name map a frame to the same
    page, and ``A-1`` maps it to the page of ``A`` one frame below. ``arch`` and ``bitmap`` say, for
    each frame, whose metadata (rmap, huge-page counts, write tracking) and whose dirty bitmap it is
    in; the slot's own if empty. An INVALID copy has those of
    the slot that it is a copy of, and so has what takes them over. ``number`` is the id by which
    userspace and the entries of dirty rings call it; a slot may have that of one which is gone.
    """

    name: str
    base_gfn: int
    npages: int
    hva: str = "A"
    as_id: int = 0
    readonly: bool = False
    log: bool = False
    is_invalid: bool = False
    is_disabled: bool = False
    is_userfault: bool = False
    arch: tuple[str, ...] = ()
    bitmap: tuple[str, ...] = ()
    number: int = 0

    @property
    def gfns(self) -> range:
        """The frames of the slot."""
        return range(self.base_gfn, self.base_gfn + self.npages)

    @property
    def invalid(self) -> Slot:
        """The copy with KVM_MEMSLOT_INVALID that takes the slot's place while it goes."""
        return replace(self.taken_over(self.name + "!"), is_invalid=True)

    @property
    def disabled(self) -> Slot:
        """The slot with the proposed KVM_MEM_DISABLED: who accesses it leaves to userspace."""
        return replace(self.taken_over(self.name + "~"), is_disabled=True)

    @property
    def userfault(self) -> Slot:
        """The slot with the proposed KVM_MEM_USERFAULT: page faults may leave to userspace."""
        return replace(self.taken_over(self.name + "?"), is_userfault=True)

    def taken_over(self, name: str) -> Slot:
        """Return a copy with another name and this slot's own metadata and bitmap."""
        arch = tuple(map(self.metadata, self.gfns))
        return replace(self, name=name, arch=arch, bitmap=tuple(map(self.dirty_bitmap, self.gfns)))

    def part(self, name: str, gfns: range) -> Slot:
        """Return a slot for some of the frames, with this slot's metadata and bitmap for them."""
        return replace(
            self,
            name=name,
            base_gfn=gfns.start,
            npages=len(gfns),
            arch=tuple(map(self.metadata, gfns)),
            bitmap=tuple(map(self.dirty_bitmap, gfns)),
        )

    def metadata(self, gfn: int) -> str:
        """Return whose metadata accounts for the SPTE of a frame."""
        return self.arch[gfn - self.base_gfn] if self.arch else self.name

    def dirty_bitmap(self, gfn: int) -> str:
        """Return in whose dirty bitmap a frame is."""
        return self.bitmap[gfn - self.base_gfn] if self.bitmap else self.name

    def page(self, gfn: int) -> int:
        """Return the number of a frame's page: so logs count, and a page keeps it when it moves."""
        return page_number(self.hva, gfn)

    def __str__(self) -> str:
        return self.name


class Contents(tuple[Slot, ...]):
    """The slots of one set, in the order of their names."""

    __slots__ = ()

    def lookup(self, gfn: int) -> Slot | None:
        """Return the slot that holds a frame, the first one if two do."""
        for slot in self:
            if gfn in slot.gfns:
                return slot
        return None

    def edited(self, edit: Edit) -> Contents:
        """Return the set after an edit."""
        kept = [slot for slot in self if slot != edit.old]
        if edit.new is not None and edit.new not in kept:
            kept.append(edit.new)
        return Contents(sorted(kept, key=str))

    @property
    def overlaps(self) -> bool:
        """Whether two slots hold the same frame."""
        gfns = [gfn for slot in self for gfn in slot.gfns]
        return len(gfns) != len(set(gfns))

    def __str__(self) -> str:
        return "{" + " ".join(slot.name for slot in self) + "}"


class Edit(NamedTuple):
    """``kvm_replace_memslot()``: one slot of a set goes, another comes; either may be missing."""

    old: Slot | None
    new: Slot | None

    @property
    def as_id(self) -> int:
        """The address space whose set it changes."""
        slot = self.old or self.new
        assert slot is not None
        return slot.as_id

    def __str__(self) -> str:
        return f"{self.old or '-'} by {self.new or '-'}"


def reachable(initial: Contents, edits: Iterable[Edit]) -> tuple[Contents, ...]:
    """Return everything that edits, in any order and number, can make of a set."""
    edits = tuple(edits)
    found = [initial]
    for one in found:
        for edit in edits:
            after = one.edited(edit)
            if after not in found:
                found.append(after)
    return tuple(found)


@dataclass(frozen=True)
class Change:
    """What an update is for: the slots before, and the slots after.

    A slot that is in both stays as it is, whatever the update does to the others.

    >>> old, low = Slot("old", 0, 4), Slot("low", 0, 2)
    >>> change = Change((old,), (low,))
    >>> change.keeps(0, 1), change.keeps(0, 3)
    (True, False)
    """

    before: tuple[Slot, ...]
    after: tuple[Slot, ...]

    @property
    def gone(self) -> tuple[Slot, ...]:
        """The slots that are not there any more."""
        return tuple(slot for slot in self.before if slot not in self.after)

    @property
    def come(self) -> tuple[Slot, ...]:
        """The slots that were not there before."""
        return tuple(slot for slot in self.after if slot not in self.before)

    @property
    def spaces(self) -> int:
        """How many address spaces have slots."""
        return 1 + max(slot.as_id for slot in (*self.before, *self.after))

    def page_before(self, as_id: int, gfn: int) -> str:
        """Return the page that a frame maps before the update; empty where there is none."""
        return _page(self.before, as_id, gfn)

    def page_after(self, as_id: int, gfn: int) -> str:
        """Return the page that a frame maps after the update; empty where there is none."""
        return _page(self.after, as_id, gfn)

    def keeps(self, as_id: int, gfn: int) -> bool:
        """Whether a frame maps the same page before and after."""
        before = self.page_before(as_id, gfn)
        return before != "" and before == self.page_after(as_id, gfn)

    @property
    def moves_memory(self) -> bool:
        """Whether some frame gets another page, whose content userspace has to copy."""
        frames = [(slot.as_id, gfn) for slot in self.before for gfn in slot.gfns]
        return any(self.repoints(*frame) for frame in frames)

    def becomes_readonly(self, as_id: int, gfn: int) -> bool:
        """Whether a frame is READONLY after the update."""
        slot = _slot(self.after, as_id, gfn)
        return slot is not None and slot.readonly

    def may_refuse_writes(self, as_id: int, gfn: int) -> bool:
        """Whether a frame is READONLY before or after the update."""
        slots = _slot(self.before, as_id, gfn), _slot(self.after, as_id, gfn)
        return any(slot is not None and slot.readonly for slot in slots)

    def repoints(self, as_id: int, gfn: int) -> bool:
        """Whether a frame maps one page before, and another one after."""
        before, after = self.page_before(as_id, gfn), self.page_after(as_id, gfn)
        return "" not in (before, after) and before != after


def _page(slots: Sequence[Slot], as_id: int, gfn: int) -> str:
    slot = _slot(slots, as_id, gfn)
    return slot.hva if slot else ""


def _slot(slots: Sequence[Slot], as_id: int, gfn: int) -> Slot | None:
    for slot in slots:
        if slot.as_id == as_id and gfn in slot.gfns:
            return slot
    return None
