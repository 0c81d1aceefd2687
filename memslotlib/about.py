"""What a record is about: the claims that it bears on, and what in the book shows it.

A record names its experiment and parameters; which claims these bear on is derived, so that a claim
that is stated later finds the records that are there already.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import claims, evidence, litmus, litmus_logs, litmus_standins
from .agreement import PAIRS
from .claims import Claim
from .costs.plan import MEASUREMENTS
from .experiment import HOST, NOT_RUN
from .experiments import SEQUENCES, experiments
from .interface import Access
from .litmus_host import Method
from .provenance import ROOT
from .verdict import Word

#: The registry of this checkout; nothing where the library is installed without the book.
CLAIMS = ROOT / "book" / "claims"
#: Records that no experiment of the list makes, by how their names begin, and what shows them.
_ELSEWHERE = {
    "bench-": "A2",
    "mutation": "A2",
    "orders-": "T5.3",
    "mutants": "T5.8",
    "headline": "T5.10",
    "coverage": "T5.12",
    "left-out": "T5.2",
    HOST: "A5",
    NOT_RUN: "A5",
}
_OF_THE_MODEL = "claim-"
_ONE_IOCTL = (Method.HELD.value, Method.HELD_LAST.value)


@dataclass(frozen=True, slots=True)
class Bearing:
    """One cell of a claim that a record bears on: the claim, the API as the claim names it.

    ``check`` is which of the record's verdicts it is, empty where it has but one; ``path`` is by
    which the guest's accesses have to reach memory, one of :data:`.claims.PATHS`.
    """

    claim: str
    api: str
    path: str
    check: str = ""


def bearings(
    experiment: str, parameters: Mapping[str, Any], registry: Mapping[str, Claim] | None = None
) -> list[Bearing]:
    """Return the cells of claims that a host's record bears on, in the order of the claims' ids.

    An experiment bears on a claim of whole ioctls when it is the claim's litmus test, property,
    guest mode and API; but one that holds a single ioctl says nothing of an update of two. A
    stand-in has a check for each property, the sequences of calls one for each property and API. It
    bears on a claim of the model when ``agreement`` holds the two against each other. Where a claim
    says of an API that no host has it, nothing bears on that.

    >>> given = {"api": "move", "property": "served", "context": "long64-cpl3"}
    >>> [(one.claim, one.api) for one in bearings("delete-create+load", given)]
    [('Q0.5', 'move')]
    """
    known = _registry() if registry is None else registry
    found: dict[Bearing, None] = {}
    for claim in known.values():
        answered = {one.api for one in claim.expect if one.host is not Word.DOES_NOT_APPLY}
        for one in _cells(claim, experiment, parameters):
            if one.api in answered:
                found[one] = None
    return list(found)


def ids(experiment: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of the claims that a record bears on, and of what else shows it.

    >>> ids("claim-Q4.1", {"litmus": "split+load", "property": "I3a"})
    ('Q4.1',)
    >>> ids("bench-abi", {"modules": []})
    ('A2',)
    """
    if experiment.startswith(_OF_THE_MODEL):
        return (experiment.removeprefix(_OF_THE_MODEL),)
    found = [one.claim for one in bearings(experiment, parameters)]
    found += _shown_in().get(evidence.key(experiment, parameters), ())
    found += [shown for name, shown in _ELSEWHERE.items() if experiment.startswith(name)]
    return tuple(dict.fromkeys(found))


def asks_a_kernel(experiment: str) -> bool:
    """Tell whether a record is about what a kernel does; others are about the model or this code.

    >>> asks_a_kernel("delete-create+load"), asks_a_kernel("claim-Q4.1"), asks_a_kernel("coverage")
    (True, False, False)
    """
    return not experiment.startswith((_OF_THE_MODEL, *_ELSEWHERE))


def _cells(claim: Claim, experiment: str, parameters: Mapping[str, Any]) -> Iterator[Bearing]:
    """Yield the cells of a claim that an experiment would bear on, if the claim has them."""
    if claim.is_measured:
        if experiment == claim.litmus and experiment in MEASUREMENTS:
            for row in MEASUREMENTS[experiment].asks.get(claim.keeps, ()):
                yield Bearing(claim.id, row, claim.path, f"{row}: {claim.keeps}")
        return
    if claim.litmus in litmus_logs.TESTS:
        for one in claim.expect if experiment == SEQUENCES else ():
            check = f"{claim.litmus} {one.api}: {claim.keeps}"
            yield Bearing(claim.id, one.api, claim.path, check)
        return
    if claim.litmus == litmus_standins.NAME:
        if experiment == claim.litmus and parameters.get("context") in claim.contexts:
            for check in _stand_in_checks(claim, parameters):
                yield Bearing(claim.id, str(parameters["api"]), claim.path, check)
        return
    if not claim.is_modelled:
        asked = (experiment, parameters.get("property"))
        in_context = parameters.get("context") in claim.contexts
        if asked == (claim.litmus, claim.keeps) and in_context and _is_whole(parameters):
            yield Bearing(claim.id, str(parameters["api"]), claim.path)
        return
    for pair in PAIRS:
        same = (pair.scene, pair.keeps) == (claim.litmus, claim.keeps)
        if same and pair.fits(experiment, parameters):
            check = pair.check.value if pair.check else ""
            yield Bearing(claim.id, pair.api, pair.path, check)


def _stand_in_checks(claim: Claim, parameters: Mapping[str, Any]) -> list[str]:
    """Return the checks that a claim of stand-ins is about and that such accesses are put to."""
    api, access = parameters.get("api"), parameters.get("access")
    if api not in litmus_standins.APIS or access not in [one.value for one in Access]:
        return []
    path = "emulator" if claim.path == "emulator" else "page tables"
    asked = [one.value for one in litmus_standins.expected(str(api), Access(access), path)]
    return [check for check in claim.keeps.split(", ") if check in asked]


def _is_whole(parameters: Mapping[str, Any]) -> bool:
    """Tell whether a race had the guest run inside every ioctl of the update."""
    is_held = parameters.get("method") in _ONE_IOCTL
    return not is_held or len(litmus.UPDATES.get(str(parameters.get("api")), ())) == 1


@functools.cache
def _registry() -> Mapping[str, Claim]:
    return claims.load(CLAIMS)


@functools.cache
def _shown_in() -> Mapping[str, tuple[str, ...]]:
    return {one.key: tuple(map(str.capitalize, one.shows)) for one in experiments()}
