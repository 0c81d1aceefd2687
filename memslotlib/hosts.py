"""Records by host: what each host found, what it could not run, and where two hosts differ.

Nothing of a record is trusted: it may come from anybody. Its strings are shown and never used.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import about, evidence
from .evidence import DATA, Record
from .experiment import HOST, NOT_RUN
from .experiments import SEQUENCES, experiments, host_label, recall_sequences, sampled
from .litmus_standins import NAME as STAND_IN
from .provenance import code_digest
from .verdict import Verdict, Word

#: Where other people's records are kept: a file for each host; and what says who sent them.
IMPORTED = "imported"
IMPORTS_FILE = "imports.jsonl"
IMPORT = "import"
_NO_RECORD = "no record"
_LACKING = Verdict.not_run(_NO_RECORD)
#: Why a record does not have what is asked of it.
LACKS = "this host lacks what it needs"
#: Verdicts of one record that a line tells one by one; and names of a list or table.
_TOLD_MAX, _NAMED_MAX = 15, 8


@dataclass(frozen=True)
class Recorded:
    """One host and its records, oldest first.

    ``origin`` is where they come from, empty for those that were recorded in this checkout.
    """

    id: str
    origin: str
    records: tuple[Record, ...]

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of the host."""
        return self.records[-1].provenance.host

    @property
    def name(self) -> str:
        """The host in a heading: its module and its id, an imported one marked."""
        mark = " (imported)" if self.origin else ""
        return plain(f"{self.facts['module'] or 'no KVM'} {self.id}{mark}")

    @property
    def label(self) -> str:
        """The host in a line."""
        facts = self.facts
        cpus = f"{facts.get('cpu') or 'unknown CPU'}, {facts.get('cpus', '?')} CPUs"
        return plain(f"{host_label(self.records[-1])}, {cpus}")

    @property
    def capabilities(self) -> Mapping[str, int]:
        """What its KVM said that it can, by name; empty where that was not recorded."""
        newest = self.newest.get(evidence.key(HOST, {}))
        return newest.result["capabilities"] if newest else {}

    @functools.cached_property
    def newest(self) -> Mapping[str, Record]:
        """The last record of each experiment, by its key."""
        return {record.key: record for record in self.records}

    def found(self, experiment: str, parameters: Mapping[str, Any]) -> dict[str, Verdict | str]:
        """Return what it found, by check; one check of no name that is NOT RUN, with the reason."""
        record = self.newest.get(evidence.key(experiment, parameters))
        if record is not None:
            return outcomes(record)
        asked = {"experiment": experiment, "parameters": dict(parameters)}
        refused = self.newest.get(evidence.key(NOT_RUN, asked))
        return {"": Verdict.not_run(refused.result["reason"]) if refused else _LACKING}

    def is_stale(self, experiment: str, parameters: Mapping[str, Any]) -> bool:
        """Tell whether the code of its newest record is not that of this checkout."""
        key = evidence.key(experiment, parameters)
        code, record = _code().get(key), self.newest.get(key)
        return record is not None and code is not None and record.is_stale(code_digest(*code))


def outcomes(record: Record) -> dict[str, Verdict | str]:
    """Return what a record found, by check; a result with one verdict has one check of no name.

    What is told of checks together, as of a stand-in, is told of each.

    Raises KeyError, TypeError, ValueError or MemslotError for counts that no run can have.
    """
    host, result = host_label(record), dict(record.result)
    if "word" in result:
        return {"": sampled(result, host)}
    # Nothing but verdicts is among the checks, so that no other word can hide there.
    checks = result.pop("checks") if record.experiment == STAND_IN else {}
    found = {name: _outcome(value, host) for name, value in result.items()}
    found |= {name: sampled(value, host) for name, value in checks.items()}
    return {**found, **recall_sequences(record)} if record.experiment == SEQUENCES else found


def _outcome(value: Any, host: str) -> Verdict | str:
    if isinstance(value, Mapping) and "word" in value:
        return sampled(value, host)
    if isinstance(value, list | Mapping):
        # Their names say more than their number, where they have names and are few.
        named = all(isinstance(one, str) and not one.isdecimal() for one in value)
        if named and len(value) <= _NAMED_MAX:
            return plain(", ".join(value)) or "none"
        return f"{len(value):,} {'entry' if len(value) == 1 else 'entries'}"
    return f"{value:,}" if type(value) in (int, float) else plain(value)


def hosts(folder: Path = DATA) -> list[Recorded]:
    """Return every host with records under ``folder``: those recorded there, then imported ones.

    Raises EvidenceError when a line is damaged.
    """
    own = records_in(folder)
    imports = [one for one in own if one.experiment == IMPORT]
    found = by_host(one for one in own if one.experiment != IMPORT)
    for host in by_host(records_in(folder / IMPORTED)):
        found.append(Recorded(host.id, _origin(host.id, imports), host.records))
    return found


def records_in(folder: Path) -> list[Record]:
    """Return the records of a folder's own files."""
    return [one for path in sorted(folder.glob("*.jsonl")) for one in evidence.read(path)]


def by_host(records: Iterable[Record], origin: str = "") -> list[Recorded]:
    """Return the hosts that made the records, in the order in which they first appear."""
    grouped: dict[str, list[Record]] = {}
    for record in records:
        grouped.setdefault(record.provenance.host_id, []).append(record)
    # The sort is stable: what was made within one second stays in the order of its file.
    return [
        Recorded(identity, origin, tuple(sorted(made, key=lambda one: one.provenance.date)))
        for identity, made in grouped.items()
    ]


def _origin(identity: str, imports: Iterable[Record]) -> str:
    said = [
        f"{one.parameters['from']}, {one.provenance.date[:10]}"
        for one in imports
        if identity in one.result["hosts"]
    ]
    return plain("; ".join(dict.fromkeys(said)) or "nobody says from where")


@functools.cache
def _code() -> Mapping[str, tuple[str, ...]]:
    """Return what the digest of each experiment covers, by its key."""
    return {one.key: one.code for one in experiments()}


@dataclass(frozen=True, slots=True)
class Compared:
    """One check of one experiment on two hosts."""

    about: str
    experiment: str
    check: str
    first: Verdict | str
    second: Verdict | str

    @property
    def differs(self) -> str:
        """What is not the same: nothing, "word", "result", "not run" (by one of them) or "counts".

        A word is SEEN or NOT SEEN, a result what has no word. It is "no record" where one of them
        has none, which says nothing of either.
        """
        if said(self.first) == said(self.second):
            return ""
        if _LACKING in (self.first, self.second):
            return _NO_RECORD
        words = [one.word for one in (self.first, self.second) if isinstance(one, Verdict)]
        if Word.NOT_RUN in words:
            return "not run"
        if len(words) < 2:
            return "result"
        return "counts" if words[0] is words[1] else "word"


def compare(first: Recorded, second: Recorded) -> list[Compared]:
    """Return every check of every experiment that either host has a record of, in their order."""
    found = []
    for experiment, parameters in asked((first, second)):
        one, other = first.found(experiment, parameters), second.found(experiment, parameters)
        bears = ", ".join(about.ids(experiment, parameters))
        label = plain(evidence.label(experiment, parameters))
        found += [Compared(bears, label, *told_apart) for told_apart in _aligned(one, other)]
    return found


def differing_facts(first: Recorded, second: Recorded) -> list[tuple[str, str, str]]:
    """Return what is known of two hosts and not the same: name, of the first, of the second."""
    one, other = _flat(first), _flat(second)
    names = dict.fromkeys((*one, *other))
    rows = [
        (name, one.get(name, "not recorded"), other.get(name, "not recorded")) for name in names
    ]
    return [row for row in rows if row[1] != row[2]]


def asked(which: Iterable[Recorded]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each experiment that one of the hosts ran or could not run, with its parameters.

    Those that this checkout knows come first, in its order.
    """
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for host in which:
        for record in host.records:
            name, parameters = record.experiment, record.parameters
            if name == NOT_RUN:
                name, parameters = parameters["experiment"], parameters["parameters"]
            if about.asks_a_kernel(name):
                found[evidence.key(name, parameters)] = (name, parameters)
    known = [key for key in _code() if key in found]
    return [found[key] for key in dict.fromkeys([*known, *found])]


def plain(text: object) -> str:
    r"""Return text without what would move a terminal's cursor or break a line.

    >>> plain("AMD\x1b[2J EPYC\n")
    'AMD?[2J EPYC?'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def _aligned(
    one: Mapping[str, Verdict | str], other: Mapping[str, Verdict | str]
) -> Iterator[tuple[str, Verdict | str, Verdict | str]]:
    """Yield each check with what both came to; one of no name where one of them has no other."""
    if ("" in one) != ("" in other):
        yield "", one.get("", told(one)), other.get("", told(other))
        return
    for check in dict.fromkeys((*one, *other)):
        yield plain(check), one.get(check, _LACKING), other.get(check, _LACKING)


def told(found: Mapping[str, Verdict | str]) -> str:
    """Return what was found in one line, each check by its name; those of one verdict together.

    Of many verdicts it tells how often each word came up.

    >>> told({"cases": "385", "differ": "none"})
    'cases 385; differ none'
    >>> unseen = Verdict.not_seen(9, opportunities=9, host="demo")
    >>> told({"I2": unseen, "I3b": Verdict.seen(8, 9, host="demo"), "I4b": unseen})
    'I2, I4b NOT SEEN in 9; I3b SEEN 8 of 9'
    """
    rest = [f"{check} {value}" for check, value in found.items() if isinstance(value, str)]
    verdicts = {check: one for check, one in found.items() if isinstance(one, Verdict)}
    if len(verdicts) > _TOLD_MAX:
        words = Counter(one.word.value for one in verdicts.values())
        counts = ", ".join(f"{word} {times:,}" for word, times in words.items())
        return "; ".join([*rest, f"{len(verdicts):,} checks: {counts}"])
    checks: dict[str, list[str]] = {}
    for check, one in verdicts.items():
        checks.setdefault(said(one), []).append(check)
    together = [f"{', '.join(names)} {text}".strip() for text, names in checks.items()]
    return "; ".join([*rest, *together])


def said(value: Verdict | str) -> str:
    """Return what one check came to, a NOT RUN with its reason."""
    if isinstance(value, str):
        return value
    return f"{value.text}: {plain(value.reason)}" if value.reason else value.text


def _flat(host: Recorded) -> dict[str, str]:
    facts = {name: plain(value) for name, value in host.facts.items() if name != "parameters"}
    facts |= {name: plain(value) for name, value in host.facts.get("parameters", {}).items()}
    return facts | {f"KVM_CAP_{plain(n)}": str(v) for n, v in host.capabilities.items()}
