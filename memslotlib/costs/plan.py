"""Which measurements there are, with which parameters: what ``make evidence`` runs and records.

All of them together take two to four minutes. Reading what they found needs no host, so what
measures is imported when it is asked to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..verdict import Verdict, Word
from . import claimed
from .rounds import Samples

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
#: From one page to what 16 GiB of address space take; the file behind them is sparse, or none.
SIZES = (4 * _KIB, 64 * _KIB, _MIB, 4 * _MIB, 16 * _MIB, 64 * _MIB, 256 * _MIB)
SIZES_BIG = (_GIB, 4 * _GIB, 16 * _GIB)
_PACKAGE = __package__


@dataclass(frozen=True)
class Measurement:
    """One experiment: its name, its parameters, and the function of this package that runs it.

    ``asks`` are the properties of claims that its samples answer, each with the claims' rows;
    ``shows`` the figures and tables of the book that it is behind. A ``quick`` one is also run when
    there is little time.
    """

    name: str
    parameters: Mapping[str, Any]
    module: str
    function: str
    asks: Mapping[str, tuple[str, ...]]
    shows: tuple[str, ...]
    quick: bool = False

    @property
    def code(self) -> tuple[str, ...]:
        """The modules whose change makes its records stale."""
        return f"{_PACKAGE}.{self.module}", f"{_PACKAGE}.claimed"

    def measure(self, given: Mapping[str, Any]) -> Samples:
        """Run it with the parameters given; NotRunError when this host lacks what it needs."""
        measure = getattr(import_module(f"{_PACKAGE}.{self.module}"), self.function)
        samples: Samples = measure(given)
        return samples

    def found(
        self, given: Mapping[str, Any], samples: claimed.Samples, host: str
    ) -> dict[tuple[str, str], Verdict]:
        """Return what samples say of each property and row that they answer."""
        return {
            (asked, row): verdict
            for asked, rows in self.asks.items()
            for row in rows
            if (verdict := claimed.found(asked, row, given, samples, host)).word is not Word.NOT_RUN
        }


_ALL_FIVE = ("create", "delete", "move", "flags", "no-op")
_SLOTS = {"counts": [1, 100, 1000, 10_000, 32_000], "rounds": 200}
_VCPUS = [1, 2, 4, 8]

PLAN = (
    Measurement(
        "cost-harness",
        {"calls": 100, "rounds": 200},
        "alone",
        "measure_harness",
        asks={},
        shows=("t2.17",),
        quick=True,
    ),
    Measurement(
        "cost-waits",
        {"rounds": 20},
        "waits",
        "measure_waits",
        asks={claimed.WAITS: _ALL_FIVE, claimed.WAITS_TWICE: _ALL_FIVE},
        shows=("t2.11",),
        quick=True,
    ),
    Measurement(
        "cost-refaults",
        {"pages": 512, "rounds": 100},
        "running",
        "measure_refaults",
        asks={
            claimed.FAULTS: (*_ALL_FIVE, "delete-own", "move-own"),
            claimed.LEAVES: ("create", "flags", "delete-own", "move-own", "no-op"),
        },
        shows=("t2.11",),
        quick=True,
    ),
    Measurement(
        "cost-slots-newest",
        {**_SLOTS, "slot": "newest"},
        "alone",
        "measure_slots",
        asks={claimed.GROWS_BY_SLOTS: _ALL_FIVE},
        shows=("f2.11",),
    ),
    Measurement(
        "cost-slots-oldest",
        {**_SLOTS, "slot": "oldest"},
        "alone",
        "measure_slots",
        asks={claimed.GROWS_BY_SLOTS: ("delete", "move", "flags", "no-op")},
        shows=("f2.11",),
    ),
    Measurement(
        "cost-size",
        {"sizes": [*SIZES, *SIZES_BIG], "rounds": 60},
        "alone",
        "measure_size",
        asks={claimed.GROWS_BY_SIZE: _ALL_FIVE},
        shows=("f2.12",),
    ),
    Measurement(
        "cost-wholesale",
        {"counts": [4, 16, 64, 256, 1024], "rounds": 60},
        "alone",
        "measure_wholesale",
        asks={claimed.WHOLESALE: tuple(f"{n} slots" for n in (4, 16, 64, 256, 1024))},
        shows=("f2.16",),
    ),
    Measurement(
        "cost-vcpus",
        {"vcpus": [0, *_VCPUS], "pages": 16, "rounds": 100},
        "running",
        "measure_vcpus",
        asks={claimed.SLOWED: ("delete", "move", "no-op")},
        shows=("f2.13", "t2.15", "t2.16"),
    ),
    Measurement(
        "cost-pause",
        {"vcpus": _VCPUS, "pages": 16, "rounds": 100},
        "running",
        "measure_pause",
        asks={claimed.DOUBLED: ("pause",)},
        shows=("f2.14", "t2.13"),
    ),
    Measurement(
        "cost-neighbour",
        {"pages": [16, 512], "intervals_us": [0, 1000, 10_000], "window_us": 20_000, "rounds": 40},
        "running",
        "measure_neighbour",
        asks={claimed.LOSES: ("delete-create", "move", "flags", "no-op")},
        shows=("f2.15", "t2.14", "t2.16"),
    ),
)
#: By the name that records and claims use.
MEASUREMENTS: Mapping[str, Measurement] = {one.name: one for one in PLAN}
