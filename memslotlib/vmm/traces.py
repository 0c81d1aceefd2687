"""A trace as it was recorded: which update, when, of which slot; and the updates by transaction.

Format ``memslot-trace v1``: two header lines, then one event a line, ``t_ns KIND fields``. It is
described in ``figures/data/vmm-traces/README.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import MemslotError
from ..provenance import ROOT

FOLDER = ROOT / "figures" / "data" / "vmm-traces"
MANIFEST = "MANIFEST.json"
_MAGIC = "# memslot-trace v1 | "
_END = "# end: "


class TraceError(MemslotError, ValueError):
    """A trace breaks its format; the text names the file and the line."""


class Kind(Enum):
    """What an update is to the slot that it names."""

    CREATE = "create"
    DELETE = "delete"
    MOVE = "move"
    FLAGS = "flags"
    NO_OP = "no-op"


@dataclass(frozen=True, slots=True)
class Update:
    """One KVM_SET_USER_MEMORY_REGION: what it asked for, and how long the ioctl took.

    ``time_ns`` counts from KVM_CREATE_VM.
    """

    time_ns: int
    as_id: int
    slot: int
    flags: int
    gpa: int
    size_bytes: int
    hva: int
    duration_ns: int

    @property
    def key(self) -> tuple[int, int]:
        """Which slot it is about."""
        return self.as_id, self.slot

    def kind(self, before: Update | None) -> Kind:
        """Return what it is to the slot as it was before, None if there was none.

        Raises ValueError for a change that KVM refuses, of a slot's size or hva.
        """
        if before is None:
            return Kind.CREATE
        if not self.size_bytes:
            return Kind.DELETE
        if (self.size_bytes, self.hva) != (before.size_bytes, before.hva):
            raise ValueError(f"slot {self.slot} changes its size or hva, which KVM refuses")
        if self.gpa != before.gpa:
            return Kind.MOVE
        return Kind.FLAGS if self.flags != before.flags else Kind.NO_OP


@dataclass(frozen=True)
class Trace:
    """One run of a VMM.

    ``header`` says who ran where; ``transactions`` are the updates of one change of topology each,
    none of them empty; ``runs_ns`` is when a vCPU entered KVM_RUN first, None if none did.
    """

    name: str
    header: Mapping[str, str]
    transactions: tuple[tuple[Update, ...], ...]
    runs_ns: int | None
    duration_s: float

    @property
    def updates(self) -> Iterator[Update]:
        """Every update, in order."""
        return (update for one in self.transactions for update in one)

    @property
    def kinds(self) -> list[Kind]:
        """What each update is, in order."""
        slots: dict[tuple[int, int], Update] = {}
        found = []
        for update in self.updates:
            kind = update.kind(slots.get(update.key))
            found.append(kind)
            if kind is Kind.DELETE:
                del slots[update.key]
            else:
                slots[update.key] = update
        return found


def read(path: Path) -> Trace:
    """Read one trace.

    Raises TraceError naming the line that breaks the format.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0].startswith(_MAGIC):
        raise TraceError(f"{path.name}:1: does not begin with {_MAGIC!r}")
    if not lines[-1].startswith(_END):
        raise TraceError(f"{path.name}:{len(lines)}: was cut: the last line is no {_END!r}")
    header = dict(part.split("=", 1) for part in lines[0].removeprefix(_MAGIC).split(" | "))
    end = dict(part.split("=", 1) for part in lines[-1].removeprefix(_END).split() if "=" in part)
    transactions: list[list[Update]] = [[]]
    runs_ns = None
    for number, line in enumerate(lines[2:-1], 3):
        try:
            time, kind, *fields = line.split(" ")
            if kind == "T":
                transactions.append([])
            elif kind == "F" and runs_ns is None:
                runs_ns = int(time)
            elif kind == "S":
                transactions[-1].append(_update(int(time), fields))
        except (ValueError, KeyError) as error:
            raise TraceError(f"{path.name}:{number}: {error}") from error
    filled = tuple(tuple(one) for one in transactions if one)
    return Trace(path.name, header, filled, runs_ns, float(end["duration_s"]))


def _update(time_ns: int, fields: Iterable[str]) -> Update:
    told = {name: int(value, 0) for name, value in (one.split("=") for one in fields)}
    if told["ret"]:
        raise ValueError(f"an update that failed: {told['ret']}")
    return Update(
        time_ns=time_ns,
        as_id=told["as"],
        slot=told["slot"],
        flags=told["flags"],
        gpa=told["gpa"],
        size_bytes=told["size"],
        hva=told["hva"],
        duration_ns=told["dur"],
    )


def manifest(folder: Path = FOLDER) -> list[Mapping[str, object]]:
    """Return what is known of each trace of a folder beside its own text, in their order."""
    rows: list[Mapping[str, object]]
    rows = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["traces"]
    return rows


def leave_holes(trace: Trace) -> list[bool]:
    """Tell of each transaction whether it leaves a hole on its way.

    That is, whether some page that has the same memory before and after has no slot at some moment
    in between.
    """
    slots: dict[tuple[int, int], Update] = {}
    return [_leaves_a_hole(transaction, slots) for transaction in trace.transactions]


def _leaves_a_hole(transaction: Sequence[Update], slots: dict[tuple[int, int], Update]) -> bool:
    """Make a transaction's updates in ``slots``; tell whether a page was lost that stays."""
    before = list(slots.values())
    moments = []
    for update in transaction:
        if update.size_bytes:
            slots[update.key] = update
        else:
            slots.pop(update.key, None)
        moments.append(list(slots.values()))
    kept = list(_common(before, moments[-1]))
    return any(not _covered(one, moment) for moment in moments for one in kept)


#: A range of addresses in a space, half-open: as_id, start, end.
_Range = tuple[int, int, int]


def _common(before: Iterable[Update], after: Sequence[Update]) -> Iterator[_Range]:
    """Yield the ranges that map to the same memory in both layouts."""
    for one in before:
        for other in after:
            if one.as_id == other.as_id and one.hva - one.gpa == other.hva - other.gpa:
                start = max(one.gpa, other.gpa)
                end = min(one.gpa + one.size_bytes, other.gpa + other.size_bytes)
                if start < end:
                    yield one.as_id, start, end


def _covered(range_: _Range, slots: Iterable[Update]) -> bool:
    as_id, start, end = range_
    for slot in sorted((one for one in slots if one.as_id == as_id), key=lambda one: one.gpa):
        if slot.gpa <= start < slot.gpa + slot.size_bytes:
            start = slot.gpa + slot.size_bytes
    return start >= end
