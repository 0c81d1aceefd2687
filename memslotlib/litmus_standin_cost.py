"""What it costs to switch a stand-in off and on, beside DELETE and CREATE, on this host.

The costs of a host that is busy, nested or out of tree are none of another's, so each is told as a
ratio within one run. Which way it falls is written here, with the reason, before it is recorded.
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
    from .host.switchcost import CostResult

NAME = "stand-in-cost"
#: Where the other memory is.
OTHER_HVA = 0x2100_0000_0000
#: Sizes that are measured, in pages: the litmus tests' slot, and one in which pages count.
PAGES = (4, 1024)

_SMALL, _LARGE = PAGES
_ALWAYS, _NEVER = {_SMALL: True, _LARGE: True}, {_SMALL: False, _LARGE: False}
#: Whether off and on together take less time than DELETE and CREATE do, by pages; and why.
#: History: written on 28 November 2026, before anything was timed. The first record was against it
#: for mprotect, uffd-wp, mmap and mremap of 1,024 pages: the notifier and the process's own page
#: tables go page by page, and DELETE gives whole page tables up. It also left out that on kvm_pvm a
#: grace period waits for the interpreter: for a guest that is interpreted the pair is what is dear.
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


def cost(api: str, context: Context, pages: int, rounds: int) -> CostResult:
    """Time a stand-in on this host; NotRunError as ``host.switchcost`` raises it."""
    from .host.standins import How
    from .host.switchcost import switchcost

    return switchcost(place(pages), How(api), context, rounds)


@dataclass(frozen=True, slots=True)
class Ratios:
    """What switching costs, by what DELETE and CREATE together cost in the same run.

    ``off``, ``on`` and ``both`` are medians by the pair's median; ``low`` and ``high`` are the
    quartiles of both by the pair that came next.
    """

    off: float
    on: float
    both: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Mapping[str, Sequence[int]]) -> Ratios:
        """Return the ratios of a run of at least two rounds.

        >>> Ratios.of({"off_ns": [2, 2], "on_ns": [1, 1], "delete_ns": [8, 8], "create_ns": [2, 2]})
        Ratios(off=0.2, on=0.1, both=0.3, low=0.3, high=0.3)
        """
        off, on = samples["off_ns"], samples["on_ns"]
        pairs = list(map(sum, zip(samples["delete_ns"], samples["create_ns"], strict=True)))
        both = list(map(sum, zip(off, on, strict=True)))
        low, _, high = quantiles(
            (one / pair for one, pair in zip(both, pairs, strict=True)), n=4, method="inclusive"
        )
        found = (*(median(one) / median(pairs) for one in (off, on, both)), low, high)
        return cls(*(round(one, 3) for one in found))

    @property
    def cheaper(self) -> bool | None:
        """Whether it costs less than the pair; None where the quartiles leave that open."""
        if self.low <= 1 <= self.high:
            return None
        return self.high < 1
