"""What a model is about: the change, the architecture's policy, and who does what meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

from ..check import Symmetric
from .program import Op, Program
from .slots import Change, Contents, Slot, reachable

Kind = Literal["load", "store", "fetch"]
#: How an access gets to memory: guest instructions through the TLB, KVM itself (its emulator, its
#: walk of the guest's page tables). Others than vCPUs: vhost by userspace's addresses, a device in
#: the kernel by a look-up.
Via = Literal["guest", "emulator", "walk", "smi", "rsm", "vhost", "device"]


class Access(NamedTuple):
    """One access that a vCPU may make; one of two pages straddles two frames."""

    kind: Kind
    gfn: int
    via: Via = "guest"
    as_id: int = 0
    npages: int = 1

    @property
    def is_write(self) -> bool:
        """Whether it changes memory."""
        return self.kind == "store"

    @property
    def parts(self) -> tuple[Access, ...]:
        """The accesses to one frame each that it consists of."""
        gfns = range(self.gfn, self.gfn + self.npages)
        return tuple(Access(self.kind, gfn, self.via, self.as_id) for gfn in gfns)

    def __str__(self) -> str:
        space = " in SMM" if self.as_id else ""
        frames = " and ".join(str(part.gfn) for part in self.parts)
        return f"{self.kind} gfn {frames} via {self.via}{space}"


class Entry(NamedTuple):
    """A translation in a page table or a TLB: a page of the backing, perhaps only to read.

    One that is writable and clean has a D bit that is clear: where there is PML, the processor sets
    it at the next store, and logs that.
    """

    page: str = ""
    is_writable: bool = False
    is_clean: bool = False

    def permits(self, access: Access) -> bool:
        """Whether an access can go through it."""
        return self.page != "" and (self.is_writable or not access.is_write)

    def serves(self, access: Access) -> bool:
        """Whether a TLB can serve an access with it, without a look at the page tables."""
        return self.permits(access) and not (access.is_write and self.is_clean)

    def __str__(self) -> str:
        mode = "clean" if self.is_clean else "rw" if self.is_writable else "ro"
        return f"{self.page}:{mode}" if self.page else "-"


#: No translation.
ABSENT = Entry()


class RingEntry(NamedTuple):
    """An entry of a dirty ring: the slot's id, and the page as an offset from the slot's base.

    ``page`` is the page that was meant, which the kernel does not say.
    """

    as_id: int
    number: int
    offset: int
    page: int

    @classmethod
    def of(cls, slot: Slot, gfn: int) -> RingEntry:
        """Return what is pushed for a frame of a slot."""
        return cls(slot.as_id, slot.number, gfn - slot.base_gfn, slot.page(gfn))


@dataclass(frozen=True)
class Policy:
    """What differs between architectures and versions; the default is x86 of today.

    - ``retries``: a page fault on an INVALID slot is retried (x86 since 5.13; elsewhere it is a
      hole).
    - ``fixes_fast``: a write to a page that only the log protects is let through without mmu_lock
      (x86).
    - ``zaps_all``: a slot that goes takes all SPTEs of the VM with it (x86 by default).
    - ``remembers``: a fault that finds no slot leaves an MMIO SPTE, and its vCPU keeps the frame
      (x86).
    - ``keeps_space``: what a vCPU keeps of a hole goes by its own address space; no kernel's does.
    - ``prefetches``: a page fault maps the frames beside its own, too (x86 without the TDP MMU).
    - ``shadows``: KVM keeps shadow pages of the guest's page tables (x86 without EPT and NPT, or
      with nested guests).
    - ``pml``: how many frames the processor's own log of stores takes; 0 where it keeps none.
    """

    name: str = "x86"
    retries: bool = True
    zaps_all: bool = True
    fixes_fast: bool = True
    remembers: bool = True
    keeps_space: bool = False
    prefetches: bool = False
    shadows: bool = False
    pml: int = 0


X86 = Policy()
X86_SLOT_ZAP = Policy("x86, SLOT_ZAP_ALL off", zaps_all=False)
X86_PML = Policy("x86, PML", pml=1)
X86_BEFORE_5_13 = Policy("x86 before 5.13", retries=False)
ARM64 = Policy("arm64", retries=False, zaps_all=False, fixes_fast=False, remembers=False)
X86_SHADOW = Policy("x86, shadow pages", shadows=True)
X86_SHADOW_SLOT_ZAP = Policy("x86, shadow pages, SLOT_ZAP_ALL off", shadows=True, zaps_all=False)
X86_PREFETCH = Policy("x86 without the TDP MMU", prefetches=True)
X86_KEEPS_SPACE = Policy("x86, MMIO kept by address space", keeps_space=True)


@dataclass(frozen=True, eq=False)
class World:
    """One scenario: vCPUs, each of which makes so many of the accesses, while programs run.

    The updater runs one of ``programs``; which one is a choice, as a failure of an allocation is.
    ``huge`` are two frames that one translation may cover together. ``mix`` asks whether who saw
    the new layout in one place sees the old one in another. ``smram`` is the frame of address space
    1 where a vCPU's state is saved when it enters SMM. ``events`` are what has to happen in some
    run, lest a proof is about nothing. ``origin`` are the programs that ``programs`` are mutants
    of: what they need is declared even if a mutant does not use it. ``outside`` are accesses from
    outside of KVM_RUN, of which whoever makes them makes ``outside_max``; ``waits`` says that a
    device tries again where a slot is disabled. ``contender`` is what another thread runs.
    ``exits`` says that userspace makes the accesses that left to it, by a map of its own.
    ``caches`` asks for generations and for what remembers holes by them, where an MMIO SPTE tells
    ``tags`` of them apart. Without ``has_role_smm`` the address spaces share their page tables.
    ``mapped``: a round of the log is just over, so that what logs is mapped, and protected.
    ``ring``: the VM has dirty rings and no bitmaps. ``pointers``: KVM's own look-ups are two steps.
    """

    name: str
    change: Change
    programs: tuple[Program, ...]
    accesses: tuple[Access, ...]
    accesses_max: int = 3
    vcpus: int = 2
    gfns: int = 4
    policy: Policy = field(default_factory=Policy)
    huge: tuple[int, int] | None = None
    mix: bool = False
    smram: int | None = None
    origin: tuple[Program, ...] = ()
    events: tuple[str, ...] = ("an access gets to memory",)
    outside: tuple[Access, ...] = ()
    outside_max: int = 2
    waits: bool = False
    contender: Program | None = None
    exits: bool = False
    caches: bool = False
    tags: int = 1 << 19
    has_role_smm: bool = True
    mapped: bool = False
    ring: bool = False
    pointers: bool = False

    # A world is kept over steps by a model: it never changes, and is itself alone.
    def __hash__(self) -> int:
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        return self is other

    @cached_property
    def cpu(self) -> Symmetric:
        """The vCPUs, which are interchangeable."""
        return Symmetric("cpu", self.vcpus)

    @property
    def spaces(self) -> range:
        """The address spaces."""
        return range(self.change.spaces)

    @cached_property
    def contents(self) -> tuple[tuple[Contents, ...], ...]:
        """What each address space's sets may hold, the initial contents first."""
        edits = {edit for op in self.ops for edit in op.edits}
        ordered = sorted(edits, key=str)
        return tuple(
            reachable(
                Contents(
                    slot for slot in sorted(self.change.before, key=str) if slot.as_id == as_id
                ),
                (edit for edit in ordered if edit.as_id == as_id),
            )
            for as_id in self.spaces
        )

    @cached_property
    def pauses(self) -> bool:
        """Whether some program keeps vCPUs out of KVM_RUN."""
        return self.uses("pause")

    @property
    def ops(self) -> Iterator[Op]:
        """The steps of all programs, and of those that they are mutants of."""
        other = () if self.contender is None else (self.contender,)
        return (op for program in (*self.origin, *self.programs, *other) for op in program)

    def uses(self, step: str) -> bool:
        """Whether some program has a step of this name."""
        return any(op.step.__name__ == step for op in self.ops)

    def mutated(self, mutant: Program) -> World:
        """Return the world with a mutant in the place of its only program."""
        (program,) = self.programs
        name = f"{self.name}, {mutant.name}"
        return replace(self, name=name, programs=(mutant,), origin=(program,))

    @cached_property
    def notifies(self) -> bool:
        """Whether some program invalidates a range, as an MMU notifier and attributes do."""
        return self.uses("begin_invalidation")

    @cached_property
    def remaps(self) -> bool:
        """Whether some program exchanges what is behind an hva."""
        return bool(self.moving) and self.uses("map_other")

    @cached_property
    def page_behind(self) -> str:
        """The page behind the frames that move, after they did."""
        as_id, gfn = divmod(self.moving[0], self.gfns)
        return self.change.page_after(as_id, gfn)

    @cached_property
    def denied(self) -> tuple[int, ...]:
        """The frames that some program takes the guest's access to away."""
        ops = [op for op in self.ops if op.step.__name__ == "deny"]
        return tuple(gfn for op in ops for gfn in op.arguments[0])

    @cached_property
    def shadows(self) -> bool:
        """Whether what KVM walks is shadowed, and all that it does for vCPUs is to walk."""
        return self.policy.shadows and {one.via for one in self.accesses} <= {"guest", "walk"}

    @cached_property
    def straddles(self) -> bool:
        """Whether some access is to two frames."""
        return any(access.npages > 1 for access in self.accesses)

    @cached_property
    def vhost(self) -> tuple[Access, ...]:
        """What vhost may access."""
        return tuple(access for access in self.outside if access.via == "vhost")

    @cached_property
    def device(self) -> tuple[Access, ...]:
        """What a device in the kernel may access."""
        return tuple(access for access in self.outside if access.via == "device")

    @cached_property
    def mortal(self) -> tuple[Slot, ...]:
        """The slots that some program frees."""
        ops = [op for op in self.ops if op.step.__name__ == "free"]
        return tuple(dict.fromkeys(op.arguments[0] for op in ops))

    @cached_property
    def moving(self) -> tuple[int, ...]:
        """The frames, as :meth:`at` numbers them, that get another page."""
        frames = [(as_id, gfn) for as_id in self.spaces for gfn in range(self.gfns)]
        return tuple(self.at(*frame) for frame in frames if self.change.repoints(*frame))

    @cached_property
    def logs(self) -> bool:
        """Whether some slot tracks dirty pages."""
        return any(slot.log for sets in self.contents for one in sets for slot in one)

    @cached_property
    def bitmaps(self) -> tuple[str, ...]:
        """The dirty bitmaps that slots have."""
        slots = [slot for sets in self.contents for one in sets for slot in one if slot.log]
        return tuple(dict.fromkeys(slot.dirty_bitmap(gfn) for slot in slots for gfn in slot.gfns))

    @cached_property
    def pages(self) -> int:
        """How many pages logs tell apart."""
        slots = [slot for sets in self.contents for one in sets for slot in one]
        return max([self.gfns, *(1 + slot.page(gfn) for slot in slots for gfn in slot.gfns)])

    def bit(self, slot: Slot, gfn: int) -> tuple[int, int]:
        """Return where a frame's bit is: in which bitmap, and at which page of it."""
        return self.bitmaps.index(slot.dirty_bitmap(gfn)), slot.page(gfn)

    @cached_property
    def metadata(self) -> tuple[str, ...]:
        """The per-slot metadata that SPTEs are accounted in."""
        slots = [slot for sets in self.contents for one in sets for slot in one]
        return tuple(dict.fromkeys(slot.metadata(gfn) for slot in slots for gfn in slot.gfns))

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Every translation that there may be."""
        pages = {slot.hva: None for sets in self.contents for one in sets for slot in one}
        if self.remaps:
            pages |= {slot.hva: None for slot in self.change.come}
        kinds = [(False, False), (True, False), *([(True, True)] if self.has_pml else [])]
        return (ABSENT, *(Entry(page, *kind) for page in pages for kind in kinds))

    @cached_property
    def has_pml(self) -> bool:
        """Whether the processor logs stores."""
        return self.policy.pml > 0 and self.logs

    def protected(self, entry: Entry) -> Entry:
        """Return a translation as the log leaves it: the next store through it is noticed."""
        return Entry(entry.page, self.has_pml, self.has_pml) if entry.is_writable else entry

    @cached_property
    def first_slots(self) -> tuple[Slot | None, ...]:
        """The slot in which each frame is mapped when the world begins, if it is."""
        found: list[Slot | None] = [None for _ in range(len(self.spaces) * self.gfns)]
        for slot in self.change.before if self.mapped else ():
            for gfn in slot.gfns if slot.log else ():
                found[self.at(slot.as_id, gfn)] = slot
        return tuple(found)

    @cached_property
    def ring_entries(self) -> tuple[RingEntry, ...]:
        """Every entry that stores may put into a dirty ring."""
        slots = [slot for sets in self.contents for one in sets for slot in one if slot.log]
        parts = [part for one in self.accesses for part in one.parts]
        stores = [(one.as_id, one.gfn) for one in parts if one.is_write]
        return tuple(
            dict.fromkeys(
                RingEntry.of(slot, gfn)
                for slot in slots
                for as_id, gfn in stores
                if as_id == slot.as_id and gfn in slot.gfns
            )
        )

    @cached_property
    def swaps(self) -> int:
        """The most swaps of active sets that there may be."""
        programs = *self.origin, *self.programs
        other = () if self.contender is None else self.contender
        return max(map(_swaps, programs), default=0) + _swaps(other)

    @cached_property
    def untouched(self) -> tuple[int, ...]:
        """The address spaces that no program changes, where a world asks for isolation."""
        touched = {edit.as_id for op in self.ops for edit in op.edits}
        return tuple(as_id for as_id in self.spaces if self.caches and as_id not in touched)

    def at(self, as_id: int, gfn: int) -> int:
        """Return where the translation of a frame is in an array of them."""
        return (as_id if self.has_role_smm else 0) * self.gfns + gfn


def _swaps(ops: Iterable[Op]) -> int:
    return sum(op.step.__name__ == "publish" for op in ops)


def every(
    kinds: Sequence[Kind], gfns: Sequence[int], via: Sequence[Via], as_ids: Sequence[int] = (0,)
) -> tuple[Access, ...]:
    """Return the accesses of these kinds to these frames, each in every way."""
    return tuple(Access(k, g, v, a) for a in as_ids for g in gfns for v in via for k in kinds)
