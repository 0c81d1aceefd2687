"""Litmus tests of the dirty log: what an update by today's calls does to what it holds.

Nobody races here: a guest writes some pages, the slots are changed, it writes some more, and
userspace reads what there is to read. So each answer is one, bit for bit, and the simulator and a
kernel have to give the same. A page is known by its place in the backing, which no update changes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from typing import Any

from . import bitmaps
from .errors import KvmError, MemslotError
from .interface import Context, Vm
from .layout import Region
from .uapi import PAGE_SIZE, Cap, ManualProtect, MemFlag
from .verdict import Verdict

GFN = 0x1_0000
HVA = 0x2000_0000_0000
#: Two words of a bitmap and two bits more.
PAGES = 130
#: What the guest writes before the update, where it is mapped, and what it writes afterwards.
WRITTEN = (0, 5, 63, 64, 68, 100, 129)
AFTERWARDS = (10, 40, 70, 105)
RING_SIZE_BYTES = 0x4000
_LOG = int(MemFlag.LOG_DIRTY_PAGES)

_Call = tuple[int, int, int, int, int]
MakeVm = Callable[[], AbstractContextManager[Vm]]


class UnknownSequenceError(MemslotError, KeyError):
    """No such test, property or sequence of calls; the text lists what there is."""

    def __str__(self) -> str:
        return str(self.args[0])


class Tracking(Enum):
    """How writes are tracked, and when userspace reads; the value is the litmus test's name.

    - ``BITMAP``: KVM_GET_DIRTY_LOG after the update.
    - ``MANUAL``: the same with KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, and ``INITIALLY_SET`` with its
      option of that name, all bits cleared before anything is written.
    - ``CLEAR_LATE``: with manual protection, the log is read before the update, and
      KVM_CLEAR_DIRTY_LOG is given what was read after it.
    - ``RING_BETWEEN``: a dirty ring, harvested after the last DELETE and read by the old slots, and
      once more afterwards; ``RING_LATE``: harvested afterwards only, and read by the new slots.
    - ``SIZE``: KVM_GET_DIRTY_LOG before and after: how many bytes it writes.
    """

    BITMAP = "log-bitmap"
    MANUAL = "log-manual"
    INITIALLY_SET = "log-initially-set"
    CLEAR_LATE = "log-clear-late"
    RING_BETWEEN = "log-ring-between"
    RING_LATE = "log-ring-late"
    SIZE = "log-size"

    @property
    def has_ring(self) -> bool:
        """Whether there is a ring, and so no bitmap."""
        return self in (Tracking.RING_BETWEEN, Tracking.RING_LATE)


#: The tests, by their names.
TESTS = {one.value: one for one in Tracking}


class Keeps(Enum):
    """What is asked; the value is the claim file's word for it.

    - ``KEPT``: every page that was written, and whose slot logs afterwards, is named to userspace.
    - ``EXACT``: no other page is named.
    - ``FITS``: no log is longer than that of the same slot number was before.
    """

    KEPT = "kept"
    EXACT = "exact"
    FITS = "fits"


@dataclass(frozen=True)
class Sequence:
    """One change of slots: the layout before, today's calls, the layout after."""

    name: str
    before: tuple[Region, ...]
    calls: tuple[_Call, ...]
    after: tuple[Region, ...]

    @property
    def creates(self) -> tuple[_Call, ...]:
        """The calls that make the layout before."""
        return tuple(map(_set, self.before))


def _part(slot: int, first: int, end: int, shift: int = 0) -> Region:
    """Return a slot of pages [first, end), ``shift`` frames away from where they are at rest."""
    hva = HVA + first * PAGE_SIZE
    return Region(GFN + first + shift, end - first, hva, MemFlag(_LOG), slot)


def _set(region: Region, flags: int = _LOG) -> _Call:
    return region.slot, flags, region.gpa, region.size_bytes, region.hva


def _replaced(name: str, before: Iterable[Region], after: Iterable[Region]) -> Sequence:
    """Return a sequence that deletes every old slot, then creates every new one."""
    old, new = tuple(before), tuple(after)
    deletes: tuple[_Call, ...] = tuple((region.slot, 0, 0, 0, 0) for region in old)
    return Sequence(name, old, (*deletes, *map(_set, new)), new)


_WHOLE = _part(1, 0, PAGES)
_LOW, _HIGH = _part(1, 0, 70), _part(2, 70, PAGES)
_MOVED = _part(1, 0, PAGES, shift=1)

#: By name. Cuts at page 64 leave whole words, those at 5 and 70 do not.
SEQUENCES: Mapping[str, Sequence] = {
    one.name: one
    for one in (
        Sequence("none", (_WHOLE,), (_set(_WHOLE),), (_WHOLE,)),
        Sequence("move", (_WHOLE,), (_set(_MOVED),), (_MOVED,)),
        Sequence("toggle", (_WHOLE,), (_set(_WHOLE, 0), _set(_WHOLE)), (_WHOLE,)),
        _replaced("re-create", [_WHOLE], [_WHOLE]),
        _replaced("truncate", [_WHOLE], [_LOW]),
        _replaced("cut-front", [_WHOLE], [_part(1, 5, PAGES)]),
        _replaced("punch", [_WHOLE], [_part(1, 0, 64), _HIGH]),
        # The same, and the upper part takes the number.
        _replaced("punch-high", [_WHOLE], [_part(2, 0, 64), _part(1, 70, PAGES)]),
        _replaced("split", [_WHOLE], [_LOW, _HIGH]),
        _replaced("merge", [_LOW, _HIGH], [_WHOLE]),
        _replaced("grow", [_LOW], [_WHOLE]),
        _replaced("exchange", [_part(1, 0, 65), _part(2, 65, PAGES)],
                  [_part(2, 0, 65), _part(1, 65, PAGES)]),
        _replaced("delete", [_WHOLE], []),
        # What the proposals would allow: KVM refuses it today.
        Sequence("grow-in-place", (_LOW,), (_set(_WHOLE),), (_WHOLE,)),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What one run came to; ``answers`` are the raw ones, in order, as tables print them.

    ``written`` are the pages whose write landed, ``stays`` those that are in a slot that logs
    afterwards. ``told`` were named by what userspace read, by the slots that it knew of then.
    ``refused`` is why KVM made no update, and ``longer`` the slots whose log has become longer.
    """

    written: frozenset[int] = frozenset()
    stays: frozenset[int] = frozenset()
    told: frozenset[int] = frozenset()
    longer: frozenset[int] = frozenset()
    refused: str = ""
    answers: tuple[str, ...] = field(default=(), repr=False)

    @property
    def kept(self) -> frozenset[int]:
        """Written pages that are named."""
        return self.written & self.told

    @property
    def lost(self) -> frozenset[int]:
        """Written pages that stay, and that nothing names."""
        return (self.written & self.stays) - self.told

    @property
    def gone(self) -> frozenset[int]:
        """Written pages that no slot has any more, and that nothing names."""
        return self.written - self.stays - self.told

    @property
    def extra(self) -> frozenset[int]:
        """Pages that are named and were not written."""
        return self.told - self.written

    def breaks(self, keeps: Keeps) -> frozenset[int]:
        """Return the pages, or the slots, with which the property is broken."""
        found = {Keeps.KEPT: self.lost, Keeps.EXACT: self.extra, Keeps.FITS: self.longer}
        return found[keeps]


def play(vm: Vm, tracking: Tracking, sequence: Sequence, context: Context) -> Outcome:
    """Run a sequence on a new VM; KvmError when a call fails that is not the update's."""
    return _Play(vm, tracking, sequence, context).outcome()


class _Play:
    """One run: what was read so far, and what it named."""

    def __init__(self, vm: Vm, tracking: Tracking, sequence: Sequence, context: Context) -> None:
        self.vm, self.tracking = vm, tracking
        self.sequence, self.context = sequence, context
        self.told: set[int] = set()
        self.answers: list[str] = []

    def outcome(self) -> Outcome:
        before, after = self.sequence.before, self.sequence.after
        self._start()
        written = self._write(WRITTEN, before)
        read = self._read(before)
        try:
            self._update()
        except KvmError as error:
            return Outcome(refused=f"{error.ioctl}: {errno.errorcode[error.errno or 0]}")
        written |= self._write(AFTERWARDS, after)
        if self.tracking is Tracking.CLEAR_LATE:
            self._clear(read)
        lengths = {slot: len(log) for slot, log in read.items()}
        longer = {
            slot
            for slot, log in self._read_again(after).items()
            if len(log) > lengths.get(slot, len(log))
        }
        return Outcome(
            written=frozenset(written),
            stays=frozenset(page for region in after for page in _pages(region)),
            told=frozenset(self.told),
            longer=frozenset(longer),
            answers=tuple(self.answers),
        )

    def _start(self) -> None:
        manual = int(ManualProtect.ENABLE)
        if self.tracking is Tracking.INITIALLY_SET:
            manual |= int(ManualProtect.INITIALLY_SET)
        if self.tracking.has_ring:
            self.vm.enable_cap(Cap.DIRTY_LOG_RING, RING_SIZE_BYTES)
        elif self.tracking not in (Tracking.BITMAP, Tracking.SIZE):
            self.vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, manual)
        self.vm.memory(HVA, PAGES * PAGE_SIZE)
        for region, call in zip(self.sequence.before, self.sequence.creates, strict=True):
            self.vm.set_user_memory_region(*call)
            if self.tracking is Tracking.INITIALLY_SET:
                log = self.vm.get_dirty_log(region.slot)
                self.vm.clear_dirty_log(region.slot, 0, region.npages, log)

    def _write(self, pages: Iterable[int], layout: tuple[Region, ...]) -> set[int]:
        """Write to the pages that the layout has; return those whose write landed."""
        landed = set()
        for region in layout:
            for page in set(pages) & set(_pages(region)):
                gpa = region.gpa + (page * PAGE_SIZE + HVA - region.hva)
                if self.vm.write(gpa, b"!", context=self.context).reason == "done":
                    landed.add(page)
        return landed

    def _read(self, layout: tuple[Region, ...]) -> dict[int, bytes]:
        """Read the log before the update, where the test does."""
        if self.tracking not in (Tracking.CLEAR_LATE, Tracking.SIZE):
            return {}
        return self._logs(layout)

    def _update(self) -> None:
        calls = self.sequence.calls
        deletes = sum(size_bytes == 0 for _, _, _, size_bytes, _ in calls)
        for call in calls[:deletes]:
            self.vm.set_user_memory_region(*call)
        if self.tracking is Tracking.RING_BETWEEN:
            self._harvest(self.sequence.before)
        for call in calls[deletes:]:
            self.vm.set_user_memory_region(*call)

    def _clear(self, read: Mapping[int, bytes]) -> None:
        for region in self.sequence.after:
            log = read.get(region.slot)
            if log is not None:
                bits = log[: bitmaps.size_bytes(region.npages)]
                self.vm.clear_dirty_log(region.slot, 0, region.npages, bits)

    def _read_again(self, layout: tuple[Region, ...]) -> dict[int, bytes]:
        if self.tracking.has_ring:
            self._harvest(layout)
            return {}
        return self._logs(layout)

    def _logs(self, layout: tuple[Region, ...]) -> dict[int, bytes]:
        logs = {}
        for region in layout:
            log = logs[region.slot] = self.vm.get_dirty_log(region.slot)
            self.answers.append(f"{region.slot}: {log.hex()}")
            self.told |= {_pages(region)[offset] for offset in bitmaps.named(log)}
        return logs

    def _harvest(self, layout: tuple[Region, ...]) -> None:
        slots = {region.slot: _pages(region) for region in layout}
        # How often an entry comes depends on when the host happens to map its page.
        for slot, offset in dict.fromkeys(self.vm.reap_dirty_ring()):
            self.answers.append(f"({slot}, {offset})")
            pages = slots.get(slot, range(0))
            if offset < len(pages):
                self.told.add(pages[offset])


def _pages(region: Region) -> range:
    first = (region.hva - HVA) // PAGE_SIZE
    return range(first, first + region.npages)


def tracking_of(name: str) -> Tracking:
    """Return the litmus test of this name; UnknownSequenceError lists what there is."""
    if name not in TESTS:
        raise UnknownSequenceError(f"no litmus test {name!r}; there are {', '.join(TESTS)}")
    return TESTS[name]


def sequence(name: str) -> Sequence:
    """Return the sequence of this name.

    >>> sequence("truncate").after[0].npages
    70
    >>> sequence("shrink")
    Traceback (most recent call last):
    memslotlib.litmus_logs.UnknownSequenceError: no sequence 'shrink'; there are none, move, \
toggle, re-create, truncate, cut-front, punch, punch-high, split, merge, grow, exchange, delete, \
grow-in-place
    """
    if name not in SEQUENCES:
        raise UnknownSequenceError(f"no sequence {name!r}; there are {', '.join(SEQUENCES)}")
    return SEQUENCES[name]


def simulated(
    make_vm: MakeVm,
    test: str,
    keeps: Keeps,
    name: str,
    context: Context,
) -> Verdict:
    """Return the simulator's word: VIOLATED with what is broken, or UNDETERMINED.

    It can say nothing of stores that race with a call, and so never HOLDS.
    """
    with make_vm() as vm:
        found = play(vm, tracking_of(test), sequence(name), context)
    if found.refused:
        return Verdict.does_not_apply(found.refused)
    bound = f"{len(found.written)} writes of one guest, none of them during a call"
    broken = found.breaks(keeps)
    if broken:
        return Verdict.violated(
            (f"{keeps.value}: not so of {sorted(broken)}",), bound=bound, states=1
        )
    return Verdict.undetermined(bound, states=1)


@dataclass(frozen=True)
class Row:
    """One run on two VMs: what the simulator answered, and what the other did."""

    test: Tracking
    sequence: Sequence
    context: Context
    simulator: Outcome
    kernel: Outcome

    @property
    def differs(self) -> bool:
        """Whether any answer, bit or refusal is another one."""
        return self.simulator != self.kernel

    @property
    def name(self) -> str:
        """The run in a few words."""
        return f"{self.test.value} {self.sequence.name} {self.context.value}"

    @property
    def told(self) -> dict[str, object]:
        """What the kernel came to, as a record keeps it."""
        names = ("kept", "lost", "gone", "extra", "longer")
        found = {name: sorted(getattr(self.kernel, name)) for name in names}
        where = {"test": self.test.value, "sequence": self.sequence.name}
        return {**where, "context": self.context.value, **found, "refused": self.kernel.refused}


def compared(
    simulator: MakeVm, other: MakeVm, contexts: Iterable[Context], repeats: int = 1
) -> Iterator[Row]:
    """Run every test and sequence on both, in each context, so many times."""
    runs = product(range(repeats), Tracking, SEQUENCES.values(), contexts)
    for _, test, one, context in runs:
        with simulator() as ours, other() as theirs:
            outcomes = [play(vm, test, one, context) for vm in (ours, theirs)]
        yield Row(test, one, context, *outcomes)


def answered(samples: Mapping[str, Any], host: str) -> dict[str, Verdict]:
    """Return what a kernel's recorded answers come to, by test, sequence and property.

    A trial is a run, and SEEN one that broke the property. What no run can ask is left out.
    Raises KeyError, TypeError, ValueError or VacuousError for samples that no run can have.
    """
    found = {}
    for test, name in product(Tracking, SEQUENCES):
        where = {"test": test.value, "sequence": name}
        rows = [row for row in samples["rows"] if where.items() <= row.items()]
        asked = [keeps for keeps in Keeps if (keeps is Keeps.FITS) is (test is Tracking.SIZE)]
        for keeps in asked if rows else ():
            verdict = _answered(keeps, name, rows, samples["written"], host)
            if verdict is not None:
                found[f"{test.value} {name}: {keeps.value}"] = verdict
    return found


def _answered(
    keeps: Keeps, name: str, rows: list[Mapping[str, Any]], written: Iterable[Any], host: str
) -> Verdict | None:
    """Return the word for a sequence; a chance is a page that was written, or a log's fetch."""
    if rows[0]["refused"]:
        return Verdict.does_not_apply(rows[0]["refused"])
    if keeps is Keeps.FITS:
        # The length of the answer is the harness's own; what the kernel wrote was looked for.
        fetches = [(before, wrote) for one, before, _, wrote, _ in written if one == name]
        hits = sum(wrote > bitmaps.size_bytes(before) for before, wrote in fetches)
        trials = chances = len(fetches)
    else:
        broken = {Keeps.KEPT: "lost", Keeps.EXACT: "extra"}[keeps]
        trials = sum(row["runs"] for row in rows)
        hits = sum(row["runs"] for row in rows if row[broken])
        pages = ("kept", "lost", "gone")
        chances = sum(row["runs"] * len(row[kind]) for row in rows for kind in pages)
    return Verdict.counted(hits, trials, chances, least=1, host=host) if trials else None
