"""How far proofs reach: every mutant of the sound protocols, and claims beyond their bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from memslotlib.evidence import DATA, Record, read
from memslotlib.protocol.apis import APIS
from memslotlib.provenance import code_digest
from memslotlib.recheck import FILE, MODULES, WIDER
from memslotlib.verdict import Word
from memslotlib.views.prose import Said
from memslotlib.views.tables import Cell, Table

#: What stands where nothing is recorded.
UNRECORDED = "Nothing is recorded; `memslots claims --record` records it."


def newest(experiment: str, records: Iterable[Record] | None = None) -> Record | None:
    """Return the newest record of an experiment; None without one."""
    found = read(DATA / FILE) if records is None else records
    return next((one for one in reversed(list(found)) if one.experiment == experiment), None)


def table(records: Iterable[Record] | None = None) -> Table | Said:
    """Return a row for each sound protocol: its mutants, what kills them, how many survive."""
    made = newest("mutants", records)
    if made is None:
        return Said(UNRECORDED)
    rows: list[tuple[object, ...]] = []
    for row in made.result["rows"]:
        killed, alive = Counter(row["killed"]), len(row["survivors"])
        by = ", ".join(f"{name} {count}" for name, count in killed.most_common())
        total = killed.total() + alive
        rows.append((APIS[row["api"]].title, _scenes(row), total, killed.total(), by, alive))
    rows.append(_total(rows, _stale(made, "memslotlib.protocol.mutants")))
    columns = ("API", "Scenes", "Mutants", "Killed", "By what breaks first", "Survive")
    return Table(columns, rows)


def survivors(records: Iterable[Record] | None = None) -> Table | Said:
    """Return a row for each reason why mutants survive, with how many do so in which API."""
    made = newest("mutants", records)
    if made is None:
        return Said(UNRECORDED)
    counts: Counter[str] = Counter()
    where: dict[str, Counter[str]] = {}
    for row in made.result["rows"]:
        for _, reason in row["survivors"]:
            counts[reason] += 1
            where.setdefault(reason, Counter())[row["api"]] += 1
    rows = [
        (count, reason, ", ".join(f"{api} {n}" for api, n in where[reason].items()))
        for reason, count in counts.most_common()
    ]
    return Table(("Survivors", "Because", "In"), rows)


def headline(records: Iterable[Record] | None = None) -> Table | Said:
    """Return a row for each claim and API that holds, with what is found beyond its bound."""
    made = newest("headline", records)
    if made is None:
        return Said(UNRECORDED)
    found: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for cell in made.result["cells"]:
        place = cell["claim"], cell["api"], cell["where"]
        found.setdefault(place, {})[cell["wider"]] = _word(cell)
    rows = [
        (claim, APIS[api].title, where, *(words.get(wider, Cell("", "")) for wider in WIDER))
        for (claim, api, where), words in found.items()
    ]
    return Table(("Claim", "API", "On", *(f"{one}{_stale(made)}" for one in WIDER)), rows)


def _word(cell: Mapping[str, Any]) -> Cell:
    word = Word(cell["word"])
    kind = "verdict " + word.name.lower().replace("_", "-")
    # A record of before a third vCPU had fewer accesses does not say which there are.
    accesses = f", {cell['accesses']}" if "accesses" in cell else ""
    text = f"{word.value}, {cell['states'] / 1e6:,.1f} M states{accesses}"
    return Cell(f"{text}: {cell['bound']}" if word is Word.UNDETERMINED else text, kind)


def _scenes(row: Mapping[str, Any]) -> str:
    """Return the scenes of an API, each once whatever the policies."""
    names = [name.replace(", x86, SLOT_ZAP_ALL off", "") for name in row["scenes"]]
    return "; ".join(dict.fromkeys(names))


def _total(rows: Iterable[tuple[object, ...]], stale: str) -> tuple[object, ...]:
    numbers = [[int(str(row[n])) for row in rows] for n in (2, 3, 5)]
    total, killed, alive = map(sum, numbers)
    return f"All{stale}", "", total, killed, "", alive


def _stale(made: Record, *more: str) -> str:
    return " (stale)" if made.is_stale(code_digest(*MODULES, *more)) else ""
