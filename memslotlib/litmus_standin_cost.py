"""What it costs to switch a stand-in off and on, beside DELETE and CREATE, on this host.

The costs of a host that is busy, nested or out of tree are none of another's, so each is told as a
ratio within one run. Which way it falls is written here, with the reason, before it is recorded.

DELETE and CREATE wait for grace periods, and so for whoever else wants the CPUs: then they take
milliseconds, and a ratio to them tells of the scheduler. A run in which they do is *unsteady*; it
is tried again, whatever the stand-in came to, and told as unsteady when no attempt is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

from . import litmus
from .interface import Context
from .uapi import PAGE_SIZE

if TYPE_CHECKING:
    from .host.standins import Place

NAME = "stand-in-cost"
#: Where the other memory is.
OTHER_HVA = 0x2100_0000_0000
#: Sizes that are measured, in pages: the litmus tests' slot, and one in which pages count.
PAGES = (4, 1024)
#: A run is steady when the upper quartile of the pairs is at most so many times their fastest.
STEADY = 3.0
ATTEMPTS = 3

_SMALL, _LARGE = PAGES
_ALWAYS, _NEVER = {_SMALL: True, _LARGE: True}, {_SMALL: False, _LARGE: False}
#: Whether off and on together take less time than DELETE and CREATE do, by pages; and why.
#: History: written on 28 November 2026, before anything was timed. The first record was against it
#: for mprotect, uffd-wp, mmap and mremap of 1,024 pages: the notifier and the process's own page
#: tables go page by page, and DELETE gives whole page tables up.
CHEAPER: Mapping[str, tuple[Mapping[int, bool], str]] = {
    "quirk-off": (_ALWAYS, "It leaves the guest's other pages alone."),
    "move-away": (
        _NEVER,
        "Each MOVE publishes two sets of slots and zaps; CREATE publishes one and zaps nothing.",
    ),
    "mprotect-none": (_ALWAYS, "It waits for no reader, and zaps the slot's own pages once."),
    "mprotect-read": (_ALWAYS, "As for mprotect-none."),
    "uffd-minor": (
        {_SMALL: True, _LARGE: False},
        "It waits for no reader, but UFFDIO_CONTINUE maps page by page.",
    ),
    "uffd-wp": (_ALWAYS, "As for mprotect-none."),
    "mmap": (_ALWAYS, "As for mprotect-none; and going back there is nothing mapped."),
    "mremap": (_ALWAYS, "As for mmap, with one more system call."),
    "nothing": (_ALWAYS, "It is the calls from Python alone."),
}


def place(pages: int) -> Place:
    """Return a slot of so many pages, and where other memory is for it."""
    from .host.standins import Place

    return Place((litmus.SLOT, 0, litmus.GPA, pages * PAGE_SIZE, litmus.HVA), OTHER_HVA)


def cost(api: str, context: Context, pages: int, rounds: int) -> dict[str, list[int]]:
    """Time a stand-in on this host: each off, on, DELETE and CREATE, and how many attempts it took.

    Raises NotRunError as ``host.switchcost`` does.
    """
    from .host.standins import How
    from .host.switchcost import switchcost

    samples: dict[str, list[int]] = {}
    attempts = 0
    while attempts < ATTEMPTS and not (samples and Ratios.of(samples).steady):
        attempts += 1
        found = switchcost(place(pages), How(api), context, rounds)
        samples = {
            "off_ns": [one.off_ns for one in found.switches],
            "on_ns": [one.on_ns for one in found.switches],
            "delete_ns": [one.off_ns for one in found.pairs],
            "create_ns": [one.on_ns for one in found.pairs],
        }
    return {**samples, "attempts": [attempts]}


@dataclass(frozen=True, slots=True)
class Ratios:
    """What switching costs, by what DELETE and CREATE together cost in the same run.

    ``off``, ``on`` and ``both`` are medians by the pair's median; ``low`` and ``high`` are the
    quartiles of both by the pair that came next. ``steady`` tells whether the pairs took about the
    same time: where they did not, nothing is said of a stand-in.
    """

    off: float
    on: float
    both: float
    low: float
    high: float
    steady: bool

    @classmethod
    def of(cls, samples: Mapping[str, Sequence[int]]) -> Ratios:
        """Return the ratios of a run of at least two rounds.

        >>> Ratios.of({"off_ns": [2, 2], "on_ns": [1, 1], "delete_ns": [8, 8], "create_ns": [2, 2]})
        Ratios(off=0.2, on=0.1, both=0.3, low=0.3, high=0.3, steady=True)
        """
        off, on = samples["off_ns"], samples["on_ns"]
        pairs = list(map(sum, zip(samples["delete_ns"], samples["create_ns"], strict=True)))
        both = list(map(sum, zip(off, on, strict=True)))
        by_turn = [one / pair for one, pair in zip(both, pairs, strict=True)]
        low, _, high = _quartiles(by_turn)
        pair = median(pairs)
        return cls(
            off=round(median(off) / pair, 3),
            on=round(median(on) / pair, 3),
            both=round(median(both) / pair, 3),
            low=round(low, 3),
            high=round(high, 3),
            steady=_quartiles(pairs)[2] <= STEADY * min(pairs),
        )

    @property
    def cheaper(self) -> bool | None:
        """Whether it costs less than the pair; None where the quartiles leave that open."""
        if not self.steady or self.low <= 1 <= self.high:
            return None
        return self.high < 1


def _quartiles(values: Sequence[float]) -> list[float]:
    return quantiles(values, n=4, method="inclusive")
