"""Change the simulator's code, one place at a time, and see that a test notices.

Every survivor has to be in tests/mutants/survivors.toml with its reason. Status 1 when the score is
below 95 %, when a survivor is not listed or a listed one is gone, and when a pass changed nothing.

Usage: ``python tools/mutate.py [--record]``; it takes about ten minutes on two processors.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from mutant_passes import CODE, Mutant, Outcome, in_functions, outside_functions

ROOT = Path(__file__).resolve().parents[1]
SURVIVORS = ROOT / "tests" / "mutants" / "survivors.toml"
LEAST_SCORE = 0.95
NOTICED = ("killed", "timeout")


class Tally(NamedTuple):
    """How many mutants came to which end."""

    killed: int
    survived: int
    timeout: int
    total: int

    @property
    def score(self) -> float:
        """The share that was noticed; where nothing was changed, nothing was noticed."""
        return (self.killed + self.timeout) / self.total if self.total else 0.0


def tally(outcomes: Iterable[Outcome]) -> Tally:
    """Count; whatever is neither killed nor out of time has survived.

    >>> tally([])
    Tally(killed=0, survived=0, timeout=0, total=0)
    """
    statuses = [outcome.status for outcome in outcomes]
    killed, timeout = (statuses.count(status) for status in NOTICED)
    return Tally(killed, len(statuses) - killed - timeout, timeout, len(statuses))


def accepted(text: str) -> dict[Mutant, str]:
    """Return the survivors that a list accepts, with their reasons.

    Raises ValueError for one without a reason, and for one that is listed twice.
    """
    reasons: dict[Mutant, str] = {}
    for entry in tomllib.loads(text)["survivor"]:
        fields = {name: value.strip() for name, value in entry.items()}
        reason = " ".join(fields.pop("reason", "").split())
        key = Mutant(**fields)
        if not reason or key in reasons:
            raise ValueError(f"{shown(key)}: {'listed twice' if reason else 'no reason'}")
        reasons[key] = reason
    return reasons


def complaints(passes: dict[str, list[Outcome]], reasons: dict[Mutant, str]) -> list[str]:
    """Return what is wrong with the outcomes of all passes; nothing when they may stand."""
    outcomes = [outcome for each in passes.values() for outcome in each]
    survivors = {each.mutant: each.status for each in outcomes if each.status not in NOTICED}
    wrong = [f"{name}: nothing was changed" for name, each in passes.items() if not each]
    wrong += [
        f"{status}, and not listed: {shown(each)}"
        for each, status in survivors.items()
        if each not in reasons
    ]
    wrong += [f"listed, and no survivor: {shown(each)}" for each in reasons.keys() - survivors]
    score = tally(outcomes).score
    if score < LEAST_SCORE:
        wrong.append(f"the score is {score:.1%}, below {LEAST_SCORE:.0%}")
    return wrong


def shown(mutant: Mutant) -> str:
    """Return a mutant as text: its place, then the lines of its diff."""
    place = f"{mutant.file}, {mutant.function or 'outside functions'}"
    lines = [f"- {line}" for line in mutant.removed.splitlines()]
    lines += [f"+ {line}" for line in mutant.added.splitlines()]
    return "\n  ".join([place, *lines])


def record(result: Tally) -> None:
    """Append the result to the project's evidence."""
    from memslotlib import evidence
    from memslotlib.host.describe import describe
    from memslotlib.provenance import code_digest, here_and_now

    made = evidence.Record(
        experiment="mutation",
        parameters={"code": CODE.as_posix(), "tool": f"mutmut {version('mutmut')}"},
        result={**result._asdict(), "score": round(result.score, 4)},
        provenance=here_and_now(describe().as_dict()),
        code=code_digest("memslotlib.abi.vm"),
    )
    evidence.append(evidence.DATA / "conformance.jsonl", made)


def main(arguments: list[str]) -> int:
    """Mutate, say what was found, and return 1 when it may not stand."""
    parser = argparse.ArgumentParser(description="mutation test of the simulator")
    parser.add_argument("--record", action="store_true", help="append the result to the evidence")
    asked = parser.parse_args(arguments)
    os.chdir(ROOT)
    reasons = accepted(SURVIVORS.read_text("utf-8"))
    passes = {"in functions": in_functions(), "outside functions": outside_functions()}
    for survivor, reason in reasons.items():
        print(f"{shown(survivor)}\n  accepted: {reason}")
    wrong = complaints(passes, reasons)
    print(*wrong, sep="\n")
    for name, outcomes in passes.items():
        print(f"{name}: {tally(outcomes)}")
    result = tally(outcome for outcomes in passes.values() for outcome in outcomes)
    print(f"{result.score:.1%} of {result.total} mutants were noticed")
    if asked.record and not wrong:
        record(result)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
