"""What is left when memory runs out: for each API, a program for each allocation that may fail.

An update that fails is a straight program like any other. What the kernel undoes is in it, and what
userspace can undo before a vCPU is able to see it: while vCPUs are paused, or their accesses wait.
Such an update is a change of nothing, so each frame has to keep its page all along.

Source: ``kvm_set_memslot()`` and its callees in Linux 6.12 for what exists. Nobody wrote down how
a proposal fails; where one hands over everything at once, it can allocate before it publishes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..check import Model, never, step
from .apis import Api, attributes, flags, move, rfc_list, today, user_exit
from .history import error_path
from .history.bug import extended
from .kernel import LOCK, RETURN, UNLOCK, free, invalidate, swap
from .kernel import replace as edit
from .mmu import flush_shadow
from .model import model as plain_model
from .program import Op, Program
from .scenes import HUGE, MOVE, SCENES, TRUNCATE, Scene
from .slots import Change, Contents, Slot
from .userspace import PAUSE, RESUME, SETTLE
from .world import X86, Policy, World

Steps = Any
Ops = tuple[Op, ...]


@step
def ioctl_fails(m: Any, w: World) -> Steps:
    """The update has returned an error: the slots, and so what frames map, are as before it."""
    for as_id in w.spaces:
        if unlike(m.sets[as_id, m.active[as_id]], w, as_id):
            m.fail("I9a a failed update leaves everything as it was", f"as_id {as_id}")
        for gfn in range(w.gfns):
            if m.spte[w.at(as_id, gfn)].page not in ("", w.change.page_before(as_id, gfn)):
                m.fail("I9a a failed update leaves everything as it was", f"SPTE of gfn {gfn}")
    m.returned = True
    yield "the update has returned an error"


def unlike(slots: Contents, w: World, as_id: int) -> bool:
    """Whether a set differs from the initial one; a slot created again may have another name."""
    before = [_said(slot) for slot in w.change.before if slot.as_id == as_id]
    return sorted(before) != sorted(map(_said, slots))


def _said(slot: Slot) -> tuple[object, ...]:
    """What an API says of a slot, without what the kernel hangs on to it."""
    place = slot.as_id, slot.base_gfn, slot.npages, slot.hva
    return (*place, slot.readonly, slot.log, slot.is_invalid, slot.is_disabled)


FAILS, NOTHING = Op(ioctl_fails), (LOCK, UNLOCK)


@dataclass(frozen=True)
class Failure:
    """One way to fail: which allocation, and what is done about it.

    ``is_claimed`` is false where userspace does not do what it could, or where what it does is seen
    by vCPUs: claims are about the others.
    """

    api: str
    what: str
    program: Program
    is_claimed: bool = True


def failures(key: str, change: Change, policy: Policy) -> Iterator[Failure]:
    """Yield the ways in which an API's update can run out of memory."""
    for what, ops, is_claimed in _WAYS[key](change, policy):
        yield Failure(key, what, Program(ops, f"{key}: {what}"), is_claimed)


Ways = Iterator[tuple[str, Ops, bool]]


@dataclass(frozen=True)
class _Attempt:
    """How far delete and create came: what was done, and which slots it took and made."""

    what: str
    ops: Ops
    gone: tuple[Slot, ...] = ()
    come: tuple[Slot, ...] = ()

    def undone(self, policy: Policy) -> Ops:
        """Delete what was created, then create what was deleted: as other slots, alike."""
        deleted = [op for slot in self.come for op in today.delete(slot, policy)]
        again = [replace(slot, name=f"{slot} again") for slot in self.gone]
        return (*self.ops, *deleted, *(op for slot in again for op in today.create(slot)))


def _attempts(change: Change, policy: Policy) -> Iterator[_Attempt]:
    done: Ops = ()
    for number, slot in enumerate(change.gone):
        what = f"ENOMEM for the INVALID copy of {slot}"
        yield _Attempt(what, (*done, *NOTHING), change.gone[:number])
        done = (*done, *today.delete(slot, policy))
    for number, slot in enumerate(change.come):
        what = f"ENOMEM in CREATE of {slot}"
        yield _Attempt(what, (*done, *NOTHING), change.gone, change.come[:number])
        done = (*done, *today.create(slot))


def _today(change: Change, policy: Policy) -> Ways:
    for one in _attempts(change, policy):
        yield one.what, (*one.ops, FAILS), True
        if one.gone:
            yield f"{one.what}, created again", (*one.undone(policy), FAILS), False


def _pause(change: Change, policy: Policy) -> Ways:
    for one in _attempts(change, policy):
        undone = f"{one.what}, undone before the vCPUs go on" if one.gone else one.what
        yield undone, (*PAUSE, *one.undone(policy), FAILS, RESUME), True
        if one.gone:
            yield f"{one.what}, not undone", (*PAUSE, *one.ops, FAILS, RESUME), False


def _move(change: Change, policy: Policy) -> Ways:
    done: Ops = ()
    for old, new in zip(change.gone, change.come, strict=True):
        yield f"ENOMEM for the INVALID copy of {old}", (*done, *NOTHING, FAILS), True
        back = (*swap(old.as_id), edit(old.invalid, old), Op(free, (old.invalid,)))
        blip = (LOCK, *invalidate(old), *flush_shadow(policy, old), *back, UNLOCK)
        yield f"ENOMEM for the metadata of {new}", (*done, *blip, FAILS), True
        done = (*done, *move.move(old, new, policy))


def _flags(change: Change, policy: Policy) -> Ways:
    done: Ops = ()
    for old, new in zip(change.gone, change.come, strict=True):
        yield f"ENOMEM for the dirty bitmap of {new}", (*done, *NOTHING, FAILS), True
        done = (*done, *flags.update_flags(old, new, policy))


def _posted(change: Change, policy: Policy) -> Ways:
    yield "ENOMEM in pass 1", (*NOTHING, FAILS), True
    left = _inside(rfc_list.failing(change, policy))
    yield "ENOMEM in pass 2, left INVALID", (LOCK, *left, UNLOCK, *NOTHING, FAILS), True


def _intended(change: Change, policy: Policy) -> Ways:
    yield "ENOMEM in pass 1", (*NOTHING, FAILS), True
    back = _inside(error_path.rolled_back(change, policy))
    yield "ENOMEM in pass 2, put back", (LOCK, *back, UNLOCK, FAILS), True


def _inside(program: Program) -> Ops:
    return tuple(op for op in program if op not in (LOCK, UNLOCK, RETURN))


def _at_once(change: Change, policy: Policy) -> Ways:
    yield "ENOMEM before anything is published", (*NOTHING, FAILS), True


def _user_exit(change: Change, policy: Policy) -> Ways:
    done: Ops = ()
    for slot in change.gone:
        what = f"ENOMEM for the disabled copy of {slot}"
        before = change.gone[: change.gone.index(slot)]
        yield what, (*done, *NOTHING, *_enabled(before), FAILS), True
        done = (*done, *user_exit.disable(slot, policy))
    what = "ENOMEM in CREATE over"
    yield f"{what}, enabled again", (*done, *NOTHING, *_enabled(change.gone), FAILS), True
    yield f"{what}, left disabled", (*done, *NOTHING, FAILS), False


def _attributes(change: Change, policy: Policy) -> Ways:
    for what, ops, is_claimed in _today(change, policy):
        inside = [op for op in ops if op != FAILS]
        denied, allowed = attributes.denied(change), attributes.allowed()
        yield what, (*denied, *inside, *allowed, FAILS), is_claimed


def _enabled(slots: tuple[Slot, ...]) -> Ops:
    """Take the flag away: one swap for each slot, as it was set."""
    found: list[Op] = []
    for slot in slots:
        put = edit(slot.disabled, slot)
        found += [LOCK, put, *swap(slot.as_id), put, UNLOCK]
    return tuple(found)


_WAYS = {
    "today": _today,
    "move": _move,
    "flags": _flags,
    "pause": _pause,
    "rfc-posted": _posted,
    "rfc-intended": _intended,
    "wholesale-swap": _at_once,
    "wholesale-block": _at_once,
    "fetch-remove-add": _at_once,
    "primitives": _at_once,
    "user-exit": _user_exit,
    "attributes": _attributes,
    "remap": _at_once,
    "userfaultfd": _at_once,
    "kvm-userfault": _at_once,
}


@dataclass(frozen=True)
class FailingScene(Scene):
    """A scene whose update runs out of memory, at any of the allocations that claims are about."""

    def world(self, api: Api, policy: Policy = X86, *, more: int = 0, vcpus: int = 0) -> World:
        """Return the scene with the API's failures; its mutants may need the steps of success."""
        ways = failures(api.key, self.change, policy)
        w = replace(
            super().world(api, policy, more=more, vcpus=vcpus),
            change=Change(self.change.before, self.change.before),
            programs=tuple(one.program for one in ways if one.is_claimed),
            origin=(api.build(self.change, policy, HUGE),),
        )
        if not w.logs:
            return w
        settled = [Program((*one.ops, SETTLE), one.name) for one in w.programs]
        return replace(w, programs=tuple(settled))

    def one(self, failure: Failure, api: Api, policy: Policy = X86) -> World:
        """Return the scene with one of the failures."""
        w = self.world(api, policy)
        return replace(w, name=failure.program.name, programs=(failure.program,))


def late(whole: Program, number: int) -> Program:
    """Return an update that fails only after a step of its success, and undoes nothing."""
    done = whole.ops[: number + 1]
    is_locked = sum((op == LOCK) - (op == UNLOCK) for op in done)
    name = f"fails after {number + 1}: {whole[number]}"
    return Program((*done, *([UNLOCK] if is_locked else []), FAILS), name)


def model(w: World) -> Model:
    """Return the model of a world whose update fails."""
    return extended(
        plain_model(w), properties=[never("I9a a failed update leaves everything as it was")]
    )


def fails(w: World) -> bool:
    """Whether the world's update fails."""
    return w.uses("ioctl_fails")


def _logging() -> Change:
    (old,) = (slot for slot in TRUNCATE.before if slot not in TRUNCATE.after)
    other = tuple(slot for slot in TRUNCATE.before if slot != old)
    return Change(TRUNCATE.before, (*other, replace(old, name="logged", log=True)))


_ACCESSES = SCENES["split+emulator"].accesses

#: By the names that claims use: a slot is truncated, moved, or gets a log, and memory runs out.
FAILING: Mapping[str, FailingScene] = {
    "failed-truncate+emulator": FailingScene("failed-truncate+emulator", TRUNCATE, _ACCESSES),
    "failed-move+emulator": FailingScene("failed-move+emulator", MOVE, _ACCESSES),
    "failed-log+emulator": FailingScene("failed-log+emulator", _logging(), _ACCESSES),
}
