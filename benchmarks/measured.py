"""What the benchmarks share: a measured number with its bound, printed, and recorded on request."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from memslotlib import evidence
from memslotlib.errors import NotRunError
from memslotlib.evidence import Record
from memslotlib.host.describe import describe
from memslotlib.provenance import code_digest, here_and_now

FILE = "benchmarks.jsonl"


@dataclass(frozen=True)
class Number:
    """One measured number and the bound that the project sets it.

    ``at_most`` or ``at_least`` is the bound; a number with neither is for the reader's information.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the bound is kept."""
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def bound(self) -> str:
        """The bound in words; empty when there is none."""
        if self.at_most is not None:
            return f"at most {self.at_most:,g}"
        return f"at least {self.at_least:,g}" if self.at_least is not None else ""

    def __str__(self) -> str:
        missed = "" if self.holds else "  MISSED"
        bound = f" ({self.bound})" if self.bound else ""
        return f"{self.name}: {self.value:,.4g} {self.unit}{bound}{missed}"


def main(program: str, modules: Sequence[str], measure: Callable[[], list[Number]]) -> int:
    """Measure, print, record when asked to; 0 when every bound holds or nothing can be measured.

    ``modules`` are the ones whose change makes the record stale.
    """
    parser = argparse.ArgumentParser(prog=f"benchmarks/bench_{program}.py")
    parser.add_argument("--record", action="store_true", help=f"append to figures/data/{FILE}")
    options = parser.parse_args()
    try:
        numbers = measure()
    except NotRunError as reason:
        print(f"NOT RUN: {reason}")
        return 0
    for number in numbers:
        print(number)
    if options.record:
        made = Record(
            experiment=f"bench-{program}",
            parameters={"modules": list(modules)},
            result={"numbers": [asdict(number) for number in numbers]},
            provenance=here_and_now(describe().as_dict()),
            code=code_digest(*modules),
        )
        evidence.append(evidence.DATA / FILE, made)
    return 0 if all(number.holds for number in numbers) else 1
