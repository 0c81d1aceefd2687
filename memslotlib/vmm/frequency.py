"""How often VMMs update memslots: counted in traces, run by run."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from .traces import FOLDER, Kind, Trace, leave_holes, manifest, read

#: What a manifest says of a guest that was written to provoke one kind of update.
SYNTHETIC = "synthetic guest"
#: How a trace says that its host was emulated instruction by instruction.
_EMULATED = "inside QEMU TCG"
#: What an update does to the number of slots.
_CHANGES = {Kind.CREATE: 1, Kind.DELETE: -1}
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Run:
    """One recorded run of a VMM, counted.

    ``kinds`` are its updates by kind, ``holes`` the transactions that leave one on their way, while
    vCPUs run; ``last_hole_s`` is when the last of them began, None if there was none.
    ``peak_per_s`` is the most transactions in any second, ``busiest`` what is updated in the second
    with the most updates, by kind; ``most_slots`` how many slots it has at a time, at most.
    ``is_timed`` unless the host itself was emulated: then what was done is real, and when is not.
    """

    name: str
    vmm: str
    scenario: str
    is_synthetic: bool
    is_timed: bool
    seconds: float
    kinds: Mapping[Kind, int]
    transactions: int
    holes: int
    last_hole_s: float | None
    peak_per_s: int
    busiest: Mapping[Kind, int]
    most_slots: int

    @property
    def updates(self) -> int:
        """How many ioctls it made that set a region."""
        return sum(self.kinds.values())

    @classmethod
    def of(cls, trace: Trace, origin: str) -> Run:
        """Count a trace; ``origin`` is the manifest's."""
        begins = [one[0].time_ns for one in trace.transactions]
        kinds, runs_ns = trace.kinds, trace.runs_ns
        first, end = _busiest([update.time_ns for update in trace.updates])
        holes = [
            begin
            for begin, leaves in zip(begins, leave_holes(trace), strict=True)
            if leaves and runs_ns is not None and begin > runs_ns
        ]
        return cls(
            name=trace.name,
            vmm=_short(trace.header["vmm"]),
            scenario=trace.header["scenario"],
            is_synthetic=origin == SYNTHETIC,
            is_timed=_EMULATED not in trace.header["host_kernel"],
            seconds=trace.duration_s,
            kinds=Counter(kinds),
            transactions=len(begins),
            holes=len(holes),
            last_hole_s=holes[-1] / _SECOND_NS if holes else None,
            peak_per_s=_size(_busiest(begins)),
            busiest=Counter(kinds[first:end]),
            most_slots=max(accumulate(_CHANGES.get(kind, 0) for kind in kinds), default=0),
        )


def runs(folder: Path = FOLDER) -> list[Run]:
    """Return every run of a folder of traces, in the order of its manifest."""
    return [Run.of(read(folder / str(row["file"])), str(row["origin"])) for row in manifest(folder)]


def _short(vmm: str) -> str:
    """Return a VMM's name and version without its build.

    >>> _short("qemu-system-x86_64 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)")
    'QEMU 7.2'
    """
    name, version, *_ = vmm.split()
    return f"{name.partition('-')[0].upper()} {'.'.join(version.split('.')[:2])}"


def time_ns(kinds: Mapping[Kind, int], cost_ns: Mapping[Kind, float]) -> float:
    """Return how long so many updates take together if each takes what its kind costs."""
    return sum(count * cost_ns[kind] for kind, count in kinds.items())


def _busiest(times_ns: Sequence[int]) -> tuple[int, int]:
    """Return which of some moments, in order, are the most that lie within a second: [first, end).

    >>> _busiest([0, 999_999_999, 1_000_000_000, 1_999_999_998])
    (1, 4)
    >>> _busiest([])
    (0, 0)
    """
    spans = ((n, bisect_left(times_ns, time + _SECOND_NS)) for n, time in enumerate(times_ns))
    return max(spans, key=_size, default=(0, 0))


def _size(span: tuple[int, int]) -> int:
    return span[1] - span[0]
