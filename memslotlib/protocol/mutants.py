"""Is each step of a sound protocol needed, and its place? Every mutant, and what breaks with it.

A mutant leaves one step out or exchanges two neighbours. It is killed when some property breaks
that holds without it. The scenes of an API have programs of different lengths, in which the same
mutant is known by its *key*: what the step does, to an old slot or a new one, after how many swaps.
So a key is killed when any scene kills it, and survives when none does that has it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from zlib import crc32

from ..check import explore
from .apis import APIS, Api
from .kernel import LOCK, UNLOCK, publish
from .mmu import disallow_huge
from .model import model
from .program import Op, Program
from .properties import violated
from .scenes import SCENES
from .slots import Change, Slot
from .userspace import fetch_bitmap
from .world import X86, X86_SLOT_ZAP, Access, Policy, World

#: The protocols in whose scenes everything holds, if need be with fewer kinds of accesses.
SOUND = (
    *("pause", "user-exit", "primitives", "wholesale-block", "rfc-intended"),
    *("attributes", "remap", "userfaultfd", "kvm-userfault"),
)
#: Scenes that together use every step: what keeps its page, goes, is read-only, moves, or logs; and
#: some in which somebody may be in the middle of a look-up.
EXERCISED = (
    "split+load",
    "truncate+emulator",
    "readonly+store",
    "hva-flip+emulator",
    "split-logged+store",
    "split+pointer",
    "truncate+pointer",
    "hva-flip+pointer",
)
#: How many accesses each of two vCPUs makes.
ACCESSES = 2


@dataclass(frozen=True)
class Mutant:
    """One mutant in one scene: its key, the changed program's world, and which step it is about."""

    key: str
    world: World
    number: int
    is_swap: bool

    @property
    def program(self) -> Program:
        """The program that it is a mutant of."""
        return self.world.origin[0]

    @property
    def ops(self) -> tuple[Op, ...]:
        """The step that is left out, or the two that are exchanged."""
        return self.program.ops[self.number : self.number + 1 + self.is_swap]

    @property
    def steps(self) -> set[str]:
        """What these steps are called."""
        return {op.step.__name__ for op in self.ops}


@functools.cache
def worlds(key: str) -> tuple[World, ...]:
    """Return the worlds of an API in which everything holds.

    Where KVM's own accesses break something, without its stores, or with those alone that are to
    other frames than what changes, or without any; where stores do, also without those.
    """
    tries = [(name, policy) for policy in (X86, X86_SLOT_ZAP) for name in EXERCISED]
    found = [_sound(name, APIS[key], policy) for name, policy in tries]
    return tuple(w for w in found if w is not None)


def _sound(name: str, api: Api, policy: Policy) -> World | None:
    scene = SCENES[name]
    if scene.refusal(api):
        return None
    w = replace(scene.world(api, policy), accesses_max=ACCESSES)
    name = name if policy is X86 else f"{name}, {policy.name}"
    for what, accesses in _tries(w):
        own = [one for one in w.outside if what == "" or is_elsewhere(one, w.change)]
        tried = replace(w, name=f"{name}{what}", accesses=accesses, outside=tuple(own))
        if accesses and not breaks(tried):
            return tried
    return None


def _tries(w: World) -> Iterator[tuple[str, tuple[Access, ...]]]:
    """Yield a world's accesses, then fewer kinds of them, and what they are called."""
    kept: dict[str, Callable[[Access], bool]] = {
        "": lambda one: True,
        ", KVM's own are loads": lambda one: one.via == "guest" or not one.is_write,
        ", KVM's own elsewhere": lambda one: one.via == "guest" or is_elsewhere(one, w.change),
        ", guest only": lambda one: one.via == "guest",
    }
    found: dict[tuple[Access, ...], str] = {}
    for loads in (False, True):
        for what, is_kept in kept.items():
            accesses = (one for one in w.accesses if is_kept(one) and not (loads and one.is_write))
            found.setdefault(tuple(accesses), f"{', loads only' if loads else ''}{what}")
    yield from ((what, accesses) for accesses, what in found.items())


def is_elsewhere(one: Access, change: Change) -> bool:
    """Whether an access is to no frame that has a page before and after in a slot that changes."""
    slots = [slot for slot in change.gone if slot.as_id == one.as_id and one.gfn in slot.gfns]
    return not slots or not change.page_after(one.as_id, one.gfn)


def breaks(w: World) -> str:
    """Return the id of the property that breaks first, in the fewest steps; empty if none does."""
    broken = violated(explore(model(w), traces=False, first_violation=True))
    return min(broken, key=lambda one: broken[one], default="")


def mutants(w: World) -> Iterator[Mutant]:
    """Yield every mutant of a world's only program."""
    (program,) = w.programs
    keys = _keys(program, w.change)
    for mutant in program.mutants:
        first = mutant.name.partition(":")[0].split()
        is_swap = "before" in first
        number = int(first[-1]) - 1
        key = f"without {keys[number]}"
        if is_swap:
            key = f"{keys[number + 1]} before {keys[number]}"
        yield Mutant(key, w.mutated(mutant), number, is_swap)


def _keys(program: Program, change: Change) -> list[str]:
    found: list[str] = []
    seen: Counter[str] = Counter()
    swaps = 0
    for op in program:
        key = f"{told(op, change)} ({swaps})"
        seen[key] += 1
        found.append(key if seen[key] == 1 else f"{key[:-1]}.{seen[key]})")
        swaps += op.step is publish
    return found


def told(op: Op, change: Change) -> str:
    """Return what a step does, with *old* and *new* in the place of the slots of the scene.

    >>> from .kernel import replace as edit
    >>> from .scenes import SPLIT
    >>> told(edit(SPLIT.gone[0], SPLIT.gone[0].invalid), SPLIT)
    'edit inactive old by old!'
    >>> told(edit(None, SPLIT.come[1]), SPLIT)
    'edit inactive - by new'
    """
    words = [_role(one, change) for edit in op.edits for one in (edit.old, edit.new)]
    if words:
        return f"{op.step.__name__.replace('_', ' ')} {words[0]} by {words[1]}"
    names = [_role(one, change) for one in op.arguments if isinstance(one, Slot)]
    return " ".join([op.step.__name__.replace("_", " "), *names])


def _role(slot: Slot | None, change: Change) -> str:
    if slot is None:
        return "-"
    mark = "!" * slot.is_invalid + "~" * slot.is_disabled
    if slot.name.partition("[")[0].rstrip("!~") in [one.name for one in change.gone]:
        return ("lost" if "[" in slot.name else "old") + mark
    return "new" + mark


#: The steps by which translations and their users go.
_FLUSHES = {"zap_all", "zap_slot", "request_flush", "await_kicked"}
_WAITS = {"begin_grace_period", "end_grace_period", "publish"}
_LOCKS = {"take_slots_lock", "release_slots_lock"}


def _only_marks(one: Mutant) -> bool:
    return one.steps == {"begin_copy"}


def _locks(one: Mutant) -> bool:
    return bool(one.steps & _LOCKS)


def _leaks(one: Mutant) -> bool:
    return not one.is_swap and one.steps == {"free"}


def _edits_nothing(one: Mutant) -> bool:
    """Whether an edit takes a slot from a set that does not hold it, then and in the mutant."""
    ops = (
        {op for op in one.ops if list(op.edits)} if one.steps <= {*_WAITS, "edit_inactive"} else ()
    )
    return any(_is_idle(one.program, one.number, op) for op in ops)


def _is_idle(program: Program, upto: int, op: Op) -> bool:
    (edit,) = op.edits
    sets, active = [{slot.name for slot in _initial(program)} for _ in range(2)], 0
    for done in program.ops[:upto]:
        for one in done.edits:
            sets[1 - active] -= {str(one.old)}
            sets[1 - active] |= {str(one.new)} - {"None"}
        active ^= done.step is publish
    return edit.new is None and str(edit.old) not in sets[1 - active]


def _initial(program: Program) -> Iterator[Slot]:
    """Yield the slots that the program takes away and did not bring."""
    brought: set[Slot] = set()
    for op in program:
        for edit in op.edits:
            if edit.old is not None and edit.old not in brought:
                yield edit.old
            brought |= {edit.new} if edit.new else set()


def _edits_commute(one: Mutant) -> bool:
    return one.is_swap and one.steps == {"edit_inactive"}


def _edit_floats(one: Mutant) -> bool:
    others = one.steps - {"edit_inactive"}
    return one.is_swap and others != one.steps and not others & {"publish", "end_grace_period"}


def _frees_commute(one: Mutant) -> bool:
    return one.is_swap and one.steps == {"free"}


def _is_paused(one: Mutant) -> bool:
    names = [op.step.__name__ for op in one.program]
    if "resume" not in names:
        return False
    begin, end = names.index("await_paused"), names.index("resume")
    is_inside = begin < one.number and one.number + one.is_swap < end
    return is_inside and one.steps <= {*_FLUSHES, *_WAITS, "fetch_bitmap"}


def _is_obsolete(one: Mutant) -> bool:
    return one.is_swap and one.steps == {"zap_all", "end_grace_period"}


def _is_blocked(one: Mutant) -> bool:
    """Whether a step is about the log of a slot that is disabled."""
    begin = max((n for n, op in enumerate(one.program.ops[: one.number]) if op == LOCK), default=0)
    ends = (n for n, op in enumerate(one.program) if n >= one.number and op == UNLOCK)
    end = next(ends, len(one.program))
    return one.steps <= {*_FLUSHES, "fetch_bitmap"} and any(
        op.step is fetch_bitmap and op.arguments[0].is_disabled for op in one.program.ops[begin:end]
    )


def _is_whole(one: Mutant) -> bool:
    """Whether a step is about a huge page that is taken apart before anything is published."""
    done = [op.step for op in one.program.ops[: one.number]]
    return one.steps <= {*_FLUSHES, "zap_gfns"} and disallow_huge in done and publish not in done


#: What an MMU notifier does to KVM, and what becomes of the page behind an hva meanwhile.
_INVALIDATES = {"begin_invalidation", "zap_gfns", "end_invalidation", "unmap", "map_other"}


def _never_ends(one: Mutant) -> bool:
    return not one.is_swap and one.steps == {"end_invalidation"}


def _places(one: Mutant, *steps: str) -> list[int]:
    return [n for n, op in enumerate(one.program) if op.step.__name__ in steps]


def _lies_between(one: Mutant, begin: str, end: str) -> bool:
    """Whether a step is after the flush that follows a step, and before another."""
    begins, ends = _places(one, begin), _places(one, end)
    flushed = [n for n in _places(one, "await_kicked") if begins and n > begins[0]]
    return bool(flushed and ends) and flushed[0] < one.number < ends[0] - one.is_swap


def _is_denied(one: Mutant) -> bool:
    flushes = one.steps & _FLUSHES and one.steps <= {*_FLUSHES, "end_grace_period", "fetch_bitmap"}
    return bool(flushes) and _lies_between(one, "deny", "allow")


def _is_flagged(one: Mutant) -> bool:
    return one.steps <= {*_FLUSHES, *_INVALIDATES} and _lies_between(
        one, "edit_inactive", "clear_userfault"
    )


def _is_flushed_again(one: Mutant) -> bool:
    """Whether a step is about denying access to a slot that is deleted after that."""
    swaps = _places(one, "publish")
    is_first = bool(_places(one, "deny") and swaps) and one.number < swaps[0] - one.is_swap
    moved = {"deny"} if one.is_swap else set()
    return is_first and one.steps <= {*_FLUSHES, *_INVALIDATES, *moved}


def _allows(one: Mutant) -> bool:
    near = any(abs(one.number - place) <= 1 for place in _places(one, "allow"))
    moved = {"allow"} if one.is_swap else set()
    return near and one.steps <= {"begin_invalidation", "end_invalidation", *moved}


def _copy_floats(one: Mutant) -> bool:
    return one.is_swap and "begin_copy" in one.steps


def _page_stays(one: Mutant) -> bool:
    return one.is_swap and one.steps == {"unmap", "await_kicked"}


def _is_retried(one: Mutant) -> bool:
    return one.is_swap and one.steps == {"map_other", "end_invalidation"}


def _waits(one: Mutant) -> bool:
    return one.is_swap and one.steps == {"map_other", "clear_userfault"}


def _free_floats(one: Mutant) -> bool:
    """Whether a slot is freed a step earlier, which is after the last grace period all the same."""
    return one.is_swap and "free" in one.steps and one.steps <= {*_FLUSHES, "free"}


#: Why a mutant survives: the first rule that fits tells.
RULES: Mapping[str, Callable[[Mutant], bool]] = {
    "it only says when userspace begins to copy": _only_marks,
    "nobody else updates here, whom slots_lock would keep out": _locks,
    "a leak, which is no property here": _leaks,
    "the set that it edits does not hold the slot": _edits_nothing,
    "edits of a set that nobody looks at commute": _edits_commute,
    "an edit may come at any moment between a grace period and the next swap": _edit_floats,
    "two frees commute": _frees_commute,
    "no vCPU runs: nobody looks up, maps, holds or caches anything": _is_paused,
    "who found the old slot sees that its root is obsolete, and maps nothing": _is_obsolete,
    "a disabled slot has no translation left that fetching its log would protect": _is_blocked,
    "what a TLB keeps of a huge page leads to the same pages until a later flush": _is_whole,
    "faults on these frames leave to userspace, and nothing of them is mapped": _is_denied,
    "page faults leave to userspace while the flag's bits are set: nothing is mapped": _is_flagged,
    "the slot is deleted after that, which zaps and flushes once more": _is_flushed_again,
    "nothing is mapped that allowing access again would have to take away": _allows,
    "faults are retried until another invalidation ends, or for ever, which is no dead end": (
        _never_ends
    ),
    "no store lands in an old page a step earlier or later; what is in the copy is not asked": (
        _copy_floats
    ),
    "the old page outlives its mapping, and no translation of it the flush": _page_stays,
    "who is retried meanwhile finds the other page": _is_retried,
    "who needs a page that is not there waits for it": _waits,
    "nobody holds the slot since the grace period": _free_floats,
}


def reason(one: Mutant) -> str:
    """Return why nothing breaks with a mutant; empty if no rule says."""
    return next((why for why, fits in RULES.items() if fits(one)), "")


@dataclass(frozen=True)
class Tried:
    """What became of a mutant: the property that broke first and where, or why nothing does."""

    api: str
    key: str
    scene: str
    killed_by: str = ""
    reason: str = ""


def sweep(key: str, every: int = 1) -> Iterator[Tried]:
    """Try the mutants of an API, or about one of so many, in its scenes until one kills it.

    A survivor needs a reason in each scene; the first is told.
    """
    dead: dict[str, Tried] = {}
    alive: dict[str, list[Tried]] = {}
    for w in worlds(key):
        for one in mutants(w):
            if one.key in dead or crc32(one.key.encode()) % every:
                continue
            broken = breaks(one.world)
            if broken:
                dead[one.key] = Tried(key, one.key, w.name, killed_by=broken)
                alive.pop(one.key, None)
            else:
                tried = Tried(key, one.key, w.name, reason=reason(one))
                alive.setdefault(one.key, []).append(tried)
    yield from dead.values()
    for found in alive.values():
        yield min(found, key=lambda tried: tried.reason != "")
