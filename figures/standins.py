"""T2.1 to T2.3: what userspace can do already in place of an update: what it keeps and costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memslotlib import litmus_standin_cost, litmus_standins
from memslotlib.experiments import recall_standin
from memslotlib.interface import Access
from memslotlib.litmus_standin_cost import CHEAPER, Ratios
from memslotlib.litmus_standins import Check
from memslotlib.verdict import Verdict, Word, chance_at_most
from memslotlib.views.prose import Said, say
from memslotlib.views.tables import Cell, Table

from .records import Shown, recorded_table, shown, source_line

FILE = "q2.jsonl"
_UNRECORDED = "Nothing is recorded; `make evidence` records it."
#: What an access comes to, by the check that sees it, in a table's words.
_FATES = {Check.HOLE: "a hole", Check.FAILS: "EFAULT", Check.WAITS: "waits"}
_Checks = Mapping[Check, Verdict]


@dataclass(frozen=True)
class Asked:
    """What a host showed of one stand-in in one kind of guest: its checks by kind of access."""

    api: str
    guest: str
    stale: bool
    by_access: Mapping[Access, _Checks]

    @property
    def of_stores(self) -> _Checks:
        """The checks under stores, of which there are most."""
        return self.by_access.get(Access.STORE, {})


def guarantees(records: Sequence[Shown] | None = None) -> Table:
    """Return a row for each stand-in and guest: what an access comes to, and what is kept."""
    columns = (
        *("Stand-in", "Guest", "Load, fetch", "Store", "Told where"),
        *("Other slots", "Leaks", "Dirty log", "Stores lost"),
    )
    return recorded_table(columns, [_row(one) for one in _asked(records)])


def checks(records: Sequence[Shown] | None = None) -> Table:
    """Return a row for each check that a stand-in was put to, with what was expected of it."""
    columns = (
        "Stand-in",
        "Guest",
        "Access",
        "Looked for",
        "Accesses",
        "Verdict",
        "95 %",
        "Expected",
    )
    found = _of(litmus_standins.NAME, records)
    return recorded_table(columns, [row for one in found for row in _check_rows(one)])


def costs(records: Sequence[Shown] | None = None) -> Table:
    """Return a row for each stand-in, guest and size: its cost, as a ratio, and what was expected.

    The quartiles are of off and on together, by the pair that came next.
    """
    columns = ("Stand-in", "Guest", "Pages", "Off", "On", "Both", "Quartiles", "Than the pair")
    found = _of(litmus_standin_cost.NAME, records)
    return recorded_table(columns, [_cost_row(one) for one in found])


def source(records: Sequence[Shown] | None = None) -> Said:
    """Return where and when the records were made."""
    found = _of(litmus_standins.NAME, records) + _of(litmus_standin_cost.NAME, records)
    return Said(source_line(found))


def sides(records: Sequence[Shown] | None = None) -> Said:
    """Return which stand-ins cost less than DELETE and CREATE, and which more, by pages.

    Only of guests that the host runs on the processor; the control is left out.
    """
    found = [
        one
        for one in _of(litmus_standin_cost.NAME, records)
        if one.native and one.parameters["api"] in CHEAPER
    ]
    told = []
    for pages in litmus_standin_cost.PAGES:
        by_side: dict[bool, list[str]] = {True: [], False: []}
        for one in found:
            api, cheaper = one.parameters["api"], Ratios(**one.record.result).cheaper
            ours = one.parameters["pages"] == pages and api != litmus_standins.CONTROL
            if ours and cheaper is not None:
                by_side[cheaper].append(f"`{api}`")
        told.append(
            f"With {pages:,} pages cheaper than DELETE and CREATE: {_listed(by_side[True])}; "
            f"dearer: {_listed(by_side[False])}."
        )
    return Said(" ".join(["Guests on the processor.", *told]) if found else _UNRECORDED)


def surprises(records: Sequence[Shown] | None = None) -> Said:
    """Return how many records are not what was expected before the run, and which costs."""
    found = _of(litmus_standins.NAME, records)
    timed = _of(litmus_standin_cost.NAME, records)
    if not (found or timed):
        return Said(_UNRECORDED)
    checked = [check for one in found for check in one.record.result["checks"].values()]
    wrong = [one for one in timed if _surprise(one)]
    compared = [one for one in timed if one.parameters["api"] in CHEAPER]
    decided = [one for one in compared if Ratios(**one.record.result).cheaper is not None]
    return say(
        "{differ:,} of {checks:,} verdicts and {wrong:,} of the {decided:,} costs that fell one "
        "way, of {costs:,}, came out other than was expected before the run{which}.",
        differ=sum(one["word"] != one["expected"] for one in checked),
        checks=len(checked),
        wrong=len(wrong),
        decided=len(decided),
        costs=len(compared),
        which=": " + "; ".join(map(_named, wrong)) if wrong else "",
    )


def _of(name: str, records: Sequence[Shown] | None) -> list[Shown]:
    found = shown(FILE) if records is None else records
    return [one for one in found if one.record.experiment == name]


def _asked(records: Sequence[Shown] | None) -> Iterator[Asked]:
    by_guest: dict[tuple[str, str], list[Shown]] = {}
    for one in _of(litmus_standins.NAME, records):
        by_guest.setdefault((one.parameters["api"], _guest(one)), []).append(one)
    for (api, guest), found in by_guest.items():
        by_access = {Access(one.parameters["access"]): recall_standin(one.record) for one in found}
        yield Asked(api, guest, any(one.stale for one in found), by_access)


def _row(one: Asked) -> tuple[object, ...]:
    others = [_fate(one.by_access.get(access, {})) for access in (Access.LOAD, Access.FETCH)]
    name = Cell(f"{one.api} (stale)", "stale") if one.stale else Cell(one.api)
    of_stores = one.of_stores
    return (
        name,
        one.guest,
        "; ".join(dict.fromkeys(others)),
        _fate(of_stores),
        _told(of_stores),
        _other_slots(of_stores),
        _verdict(of_stores, Check.LEAK),
        _log(of_stores),
        _verdict(of_stores, Check.LOST),
    )


def _fate(found: _Checks) -> str:
    """Return what accesses came to: ``waits 100 of 100``, ``served 40 of 40``."""
    if not found:
        return Word.NOT_RUN.value
    seen = [
        f"{said} {_counted(found[check])}"
        for check, said in _FATES.items()
        if found[check].word is Word.SEEN
    ]
    trials = found[Check.HOLE].trials
    return ", ".join(seen) or f"served {trials:,} of {trials:,}"


def _told(found: _Checks) -> str:
    if Check.UNTOLD not in found:
        stops = [found[check] for check in (Check.FAILS, Check.WAITS) if check in found]
        return "too few stops" if any(one.word is Word.SEEN for one in stops) else "no stop"
    untold = found[Check.UNTOLD]
    return f"{untold.trials - untold.hits:,} of {untold.trials:,}"


def _other_slots(found: _Checks) -> str:
    """Return whether another slot could be changed meanwhile; if not, whether a signal helps."""
    if not found or found[Check.HELD_UP].word is not Word.SEEN:
        return "can change" if found else Word.NOT_RUN.value
    said = "too few to tell whether a signal helps"
    if Check.HELD_ON in found:
        helps = found[Check.HELD_ON].word is Word.NOT_SEEN
        said = "a signal frees them" if helps else "a signal does not help"
    return f"held up {_counted(found[Check.HELD_UP])}; {said}"


def _log(found: _Checks) -> str:
    if not found:
        return Word.NOT_RUN.value
    lost, shut = found[Check.LOG_LOST], found[Check.LOG_SHUT]
    kept = f"lost {_counted(lost)}" if lost.word is Word.SEEN else f"kept in {lost.trials:,}"
    closed = shut.word is Word.SEEN
    said = f"{kept}; {'not to be fetched' if closed else 'can be fetched'}"
    unnamed = found.get(Check.UNNAMED)
    return f"{said}; exchange unnamed {_counted(unnamed)}" if unnamed else said


def _verdict(found: _Checks, check: Check) -> object:
    return found.get(check, Verdict.not_run("no record"))


def _counted(verdict: Verdict) -> str:
    return f"{verdict.hits:,} of {verdict.trials:,}"


def _guest(one: Shown) -> str:
    return f"{one.parameters['context']}{'*' if one.native else ''}"


def _check_rows(one: Shown) -> Iterator[tuple[object, ...]]:
    where = (one.parameters["api"], _guest(one), one.parameters["access"])
    for check, verdict in recall_standin(one.record).items():
        cell = Cell.of(verdict)
        if one.stale:
            cell = Cell(f"{cell.text} (stale)", f"{cell.kind} stale")
        bound = chance_at_most(verdict.trials) if verdict.word is Word.NOT_SEEN else None
        said = one.record.result["checks"][check.value]["expected"]
        other = "" if said == verdict.word.value else said
        told = "" if bound is None else f"{bound:.1%}"
        yield *where, check.value, verdict.opportunities, cell, told, other


def _cost_row(one: Shown) -> tuple[object, ...]:
    ratios = Ratios(**one.record.result)
    name = f"{one.parameters['api']}{' (stale)' * one.stale}"
    times = [f"{value:.2f}" for value in (ratios.off, ratios.on, ratios.both)]
    spread = f"{ratios.low:.2f}-{ratios.high:.2f}"
    return name, _guest(one), one.parameters["pages"], *times, spread, _side(one)


def _side(one: Shown) -> str:
    ratios = Ratios(**one.record.result)
    found = {True: "cheaper", False: "dearer", None: "neither"}[ratios.cheaper]
    if not ratios.steady:
        return "unsteady"
    return f"{found}, not as expected" if _surprise(one) else found


def _surprise(one: Shown) -> bool:
    """Whether a stand-in costs less than the pair where it was expected to cost more, or so."""
    cheaper = Ratios(**one.record.result).cheaper
    api = one.parameters["api"]
    return api in CHEAPER and cheaper is not None and cheaper is not _expected(one)


def _expected(one: Shown) -> bool:
    return CHEAPER[one.parameters["api"]][0][one.parameters["pages"]]


def _named(one: Shown) -> str:
    return f"{one.parameters['api']} with {one.parameters['pages']:,} pages in {_guest(one)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
