"""Hosts side by side: what each can, what each found, and where two of them differ."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .. import about, evidence
from ..abi.policy import HostPolicy
from ..claims import Claim, Expectation
from ..experiment import Experiment
from ..experiments import experiments
from ..hosts import (
    LACKS,
    Compared,
    Recorded,
    asked,
    compare,
    differing_facts,
    plain,
    said,
    told,
)
from ..interface import Context
from ..uapi import Cap
from ..verdict import HOST_WORDS, Verdict, Word
from .tables import WIDTH_COLUMNS, Cell, Table

#: An experiment, and what of a claim it bears on.
_Run = tuple[Experiment, about.Bearing]
_HERE = "here"
#: In what order a comparison lists its rows: what matters most comes first.
_WEIGHT = ("word", "result", "counts", "not run", "no record", "")


def listed(hosts: Sequence[Recorded]) -> Table:
    """Return a row for each host: what it is, from where its records come, and how many."""
    rows = [
        (
            host.id,
            host.label,
            _guests(host),
            host.origin or _HERE,
            len(host.records),
            _span(one.provenance.date[:10] for one in host.records),
        )
        for host in hosts
    ]
    return Table(("Id", "Host", "On the processor", "Recorded", "Records", "When"), rows)


def records(host: Recorded) -> Table:
    """Return a row for each experiment: what it is about, and what its newest record says."""
    rows = [
        (
            ", ".join(about.ids(experiment, parameters)),
            plain(evidence.label(experiment, parameters)),
            _cell(host, experiment, parameters),
        )
        for experiment, parameters in asked([host])
    ]
    return Table(("About", "Experiment", "Found"), rows)


def capabilities(hosts: Sequence[Recorded]) -> Table:
    """Return a row for each capability that one of the hosts was asked for, a column for each."""
    asked_for = {name for host in hosts for name in host.capabilities}
    known = [cap.name for cap in Cap]
    names = sorted(asked_for, key=lambda name: (name not in known, name))
    rows = [(f"KVM_CAP_{plain(name)}", *(_has(host, name) for host in hosts)) for name in names]
    return Table(("Capability", *(host.name for host in hosts)), rows)


def verdicts(hosts: Sequence[Recorded]) -> Table:
    """Return a row for each experiment, and what each host found."""
    rows = [
        (
            ", ".join(about.ids(one.name, one.parameters)),
            one.label,
            *(_cell(host, one.name, one.parameters) for host in hosts),
        )
        for one in experiments()
    ]
    return Table(("About", "Experiment", *(host.name for host in hosts)), rows)


def claimed(hosts: Sequence[Recorded], registry: Mapping[str, Claim]) -> Table:
    """Return a row for each cell of a claim that an experiment bears on: expected, and found.

    The numbers count experiments, not trials: in how many of those that ran the word came up. SEEN
    in one is SEEN.
    """
    bearing: dict[tuple[str, str], list[_Run]] = {}
    for one in experiments():
        for bears in about.bearings(one.name, one.parameters, registry):
            bearing.setdefault((bears.claim, bears.api), []).append((one, bears))
    rows = []
    for claim in registry.values():
        for expected in claim.expect:
            if (claim.id, expected.api) in bearing:
                runs = bearing[claim.id, expected.api]
                found = [_held(host, expected, runs) for host in hosts]
                link = Cell(claim.id, href=f"{claim.question.lower()}.html#{_fragment(claim)}")
                rows.append((link, expected.api, _word(expected.host), *found))
    return Table(("Claim", "API", "Expected", *(host.name for host in hosts)), rows)


def differences(first: Recorded, second: Recorded) -> str:
    """Return where two hosts differ, as text of 72 columns: facts, then what they found.

    Checks that only one of them has a record of are counted, and not listed.
    """
    compared = sorted(compare(first, second), key=lambda one: _WEIGHT.index(one.differs))
    times = Counter(one.differs for one in compared)
    alone = f", {times['no record']:,} recorded by one of them only" * bool(times["no record"])
    facts = Table(
        ("Fact", "A", "B"), differing_facts(first, second), "What is not the same of them"
    )
    found = Table(
        ("Experiment", "A", "B", "Differs"),
        [_row(one) for one in compared if one.differs not in ("", "no record")],
        "What they found, where it is not the same",
    )
    parts = [
        heading(first, "A is "),
        heading(second, "B is "),
        facts.text if facts.rows else "The hosts are the same, as far as was recorded.",
        found.text if found.rows else "",
        f"{len(compared):,} checks, {times['']:,} the same{alone}.",
    ]
    return "\n\n".join(filter(None, parts))


def heading(host: Recorded, called: str = "") -> str:
    """Return what a host is and from where its records come, as text of 72 columns.

    It begins with what the host is ``called``.
    """
    loads = [one.provenance.load[0] for one in host.records if one.provenance.load]
    busy = f"; load {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    days = _span(one.provenance.date[:10] for one in host.records)
    where = f"from {host.origin}" if host.origin else f"recorded {_HERE}"
    text = f"{called}{host.id}: {host.label}. {len(host.records):,} records, {days}, {where}{busy}."
    return textwrap.fill(text, WIDTH_COLUMNS)


def _row(one: Compared) -> tuple[str, ...]:
    name = f"{one.about}: {one.experiment}" if one.about else one.experiment
    check = f"; {one.check}" if one.check else ""
    return f"{name}{check}", said(one.first), said(one.second), one.differs


def _cell(host: Recorded, experiment: str, parameters: Mapping[str, Any]) -> Cell:
    """Return what a host found, marked by its word where it is one, and where it is stale."""
    found = host.found(experiment, parameters)
    stale = host.is_stale(experiment, parameters)
    words = {one.word for one in found.values() if isinstance(one, Verdict)}
    kind = _word(words.pop()).kind if len(words) == 1 else ""
    text = told(found)
    return Cell(f"{text} (stale)", f"{kind} stale") if stale else Cell(text, kind)


def _held(host: Recorded, expected: Expectation, runs: Sequence[_Run]) -> Cell:
    """Return how often the word of a claim came up on a host."""
    found = list(_found(host, runs))
    if not found:
        return _marked(Verdict.does_not_apply("no guest takes that path"))
    # An experiment of which the claim asks several things counts once.
    is_seen: dict[str, bool] = {}
    for key, one in found:
        if one.word in HOST_WORDS:
            is_seen[key] = is_seen.get(key, False) or one.word is Word.SEEN
    if not is_seen:
        return _marked(found[0][1])
    word = Word.SEEN if any(is_seen.values()) else Word.NOT_SEEN
    ran, times = len(is_seen), sum(is_seen.values()) or len(is_seen)
    stale = any(host.is_stale(one.name, one.parameters) for one, _ in runs)
    text = f"{word.value} ({times} of {ran})" + " (stale)" * stale
    kind = _word(word).kind + " stale" * stale
    if expected.host in HOST_WORDS and word is not expected.host:
        return Cell(f"{text}: CONTRADICTS THE CLAIM", f"{kind} contradiction")
    return Cell(text, kind)


def _found(host: Recorded, runs: Iterable[_Run]) -> Iterator[tuple[str, Verdict]]:
    """Yield by experiment what the host found, by accesses that took the path that is asked for."""
    native = HostPolicy.of(str(host.facts["module"])).native_contexts
    for one, bears in runs:
        # What is measured has no guest mode, and no claim about it asks for a path.
        context = one.parameters.get("context")
        path = "page tables" if context and Context(context) in native else "emulator"
        if bears.path in ("any", path):
            answers = host.found(one.name, one.parameters)
            answer = answers.get(bears.check, answers.get(""))
            yield one.key, answer if isinstance(answer, Verdict) else Verdict.not_run(LACKS)


def _marked(verdict: Verdict) -> Cell:
    return Cell(said(verdict), Cell.of(verdict).kind)


def _word(word: Word) -> Cell:
    return Cell(word.value, "verdict " + word.name.lower().replace("_", "-"))


def _has(host: Recorded, name: str) -> str:
    if not host.capabilities:
        return "not recorded"
    value = host.capabilities.get(name)
    if value is None:
        return "not asked"
    return "no" if value == 0 else "yes" if value == 1 else f"{value:,}"


def _guests(host: Recorded) -> str:
    """Return the guest modes that the host runs on the processor, not by interpreting them."""
    if not host.facts["module"]:
        return "not known"
    native = HostPolicy.of(str(host.facts["module"])).native_contexts
    return ", ".join(one.value for one in Context if one in native)


def _fragment(claim: Claim) -> str:
    return claim.anchor.replace(".", "-")


def _span(days: Iterable[str]) -> str:
    found = sorted(set(map(plain, days)))
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"
