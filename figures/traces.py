"""The shortest trace of each kind of failure that a chapter's claims come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memslotlib.check import Trace
from memslotlib.litmus_model import shortest, undisturbed
from memslotlib.protocol.apis import APIS
from memslotlib.verdict import Word
from memslotlib.views.cpu_table import CpuTable, cpu_table
from memslotlib.views.lanes import Svg, swim_lanes
from memslotlib.views.prose import Said

from .verdicts import Recorded, recorded


@dataclass(frozen=True)
class Kind:
    """One property, and where it breaks in the fewest steps: which claim, scene, API and policy.

    ``safe`` is an API for which the same claim holds; empty if there is none.
    """

    keeps: str
    claim: str
    scene: str
    api: str
    policy: str
    safe: str = ""

    @property
    def title(self) -> str:
        """What a reader is about to see."""
        return f"{self.keeps}: {APIS[self.api].title}, {self.scene} on {self.policy} ({self.claim})"

    @property
    def trace(self) -> Trace:
        """The trace, searched anew."""
        return shortest(self.scene, self.api, self.keeps, self.policy)

    @property
    def table(self) -> CpuTable:
        """The trace as the kernel's documents would draw it."""
        return cpu_table(self.trace)

    @property
    def lanes(self) -> Svg:
        """The trace as a picture."""
        return swim_lanes(self.trace)

    @property
    def beside(self) -> CpuTable | Said:
        """A run of the safe API in the same scene."""
        if not self.safe:
            return Said(f"{self.claim} holds for no API.")
        return cpu_table(undisturbed(self.scene, self.safe, self.policy))


def kinds(question: str, records: Mapping[str, Recorded] | None = None) -> Iterator[Kind]:
    """Yield each property that some claim of a question violates, by its shortest trace."""
    found = recorded(question) if records is None else records
    best: dict[str, tuple[int, Kind]] = {}
    for identity, one in found.items():
        keeps, scene = (str(one.record.parameters[key]) for key in ("property", "litmus"))
        for cell in one.cells:
            if cell.word == Word.VIOLATED.value and cell.steps < best.get(keeps, (10**9,))[0]:
                safe = _safe(one, cell.where)
                best[keeps] = cell.steps, Kind(keeps, identity, scene, cell.api, cell.where, safe)
    yield from (kind for _, kind in best.values())


def _safe(one: Recorded, policy: str) -> str:
    """Return the API to set beside: one with a step in between to be seen, if such a one holds."""
    holding = [c.api for c in one.cells if c.word == Word.HOLDS.value and c.where == policy]
    preferred = [api for api in ("user-exit", "primitives", "today") if api in holding]
    return next(iter((*preferred, *holding)), "")
