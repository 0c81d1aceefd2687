"""What the model says of a chapter's claims: the table API x claim, and what each cell rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from memslotlib import claims
from memslotlib.evidence import DATA, Record, read
from memslotlib.litmus_model import ALL_SCENES
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.scenes import ONE_SPACE
from memslotlib.provenance import ROOT, code_digest
from memslotlib.recheck import FILE, MODULES, Checked, cells
from memslotlib.verdict import Word
from memslotlib.views.prose import Said
from memslotlib.views.tables import Cell, Table

from .mutants import UNRECORDED, newest

CLAIMS = ROOT / "book" / "claims"


@dataclass(frozen=True)
class Recorded:
    """What the newest record of a claim says, and whether the code has changed since."""

    record: Record
    cells: tuple[Checked, ...]
    is_stale: bool

    def of(self, api: str) -> tuple[Checked, ...]:
        """Return the cells of an API, of the claim's first policy first."""
        return tuple(one for one in self.cells if one.api == api)


def recorded(question: str, records: Iterable[Record] | None = None) -> dict[str, Recorded]:
    """Return the newest record of each claim of a question that the model decides, by its id."""
    newest = {r.experiment: r for r in (read(DATA / FILE) if records is None else records)}
    code = code_digest(*MODULES)
    found = {}
    for identity, claim in claims.load(CLAIMS).items():
        made = newest.get(f"claim-{identity}")
        if claim.question == question and claim.is_modelled and made is not None:
            found[identity] = Recorded(made, tuple(cells(made)), made.is_stale(code))
    return found


def table(question: str, records: Mapping[str, Recorded] | None = None) -> Table | Said:
    """Return a row for each API and a column for each claim of the question."""
    found = recorded(question) if records is None else records
    if not found:
        return Said(UNRECORDED)
    rows = []
    for api in APIS.values():
        rows.append((api.title, *(_cell(one.of(api.key), one.is_stale) for one in found.values())))
    return Table(("API", *found), rows)


def by_claim(question: str, records: Mapping[str, Recorded] | None = None) -> Table | Said:
    """Return a row for each claim of the question, with the APIs to which each word goes."""
    found = recorded(question) if records is None else records
    if not found:
        return Said(UNRECORDED)
    words = (Word.HOLDS, Word.VIOLATED, Word.DOES_NOT_APPLY)
    known = claims.load(CLAIMS)
    rows: list[tuple[object, ...]] = []
    for identity, one in found.items():
        stale = " (stale)" if one.is_stale else ""
        told = (", ".join(_apis(one, word)) for word in words)
        rows.append((identity, f"{known[identity].title}{stale}", *told))
    return Table(("Claim", "What it says", *(word.value for word in words)), rows)


def _apis(one: Recorded, word: Word) -> Iterator[str]:
    """Yield the APIs that a claim has this word for, with the policies if it is not for all."""
    for key in APIS:
        found = [cell for cell in one.of(key) if cell.word == word.value]
        where = ", ".join(cell.where for cell in found)
        if found:
            yield key if len(found) == len(one.of(key)) else f"{key} on {where}"


def details(question: str, records: Mapping[str, Recorded] | None = None) -> Table | Said:
    """Return what each cell rests on: bound, states, events, coverage, and the mutant.

    An event is what has to happen in some run; the number says after how many steps it first does.
    """
    found = recorded(question) if records is None else records
    if not found:
        return Said(UNRECORDED)
    rows = [
        _row(identity, cell)
        for identity, one in found.items()
        for cell in one.cells
        if cell.word != Word.DOES_NOT_APPLY.value
    ]
    columns = ("Claim", "API", "On", "Verdict", "States", "Depth", "Reached", "Lines", "Flipped by")
    return Table(columns, rows)


def searched(
    question: str,
    records: Mapping[str, Recorded] | None = None,
    wider: Iterable[Record] | None = None,
) -> Said:
    """Return what the searches left out, and why: which claims have a smaller bound."""
    found = recorded(question) if records is None else records
    if not found:
        return Said(UNRECORDED)
    bounds = sorted({cell.bound for one in found.values() for cell in one.cells if cell.bound})
    made = newest("left-out", wider)
    return Said(f"Searched: {'; '.join(bounds)}. {ONE_SPACE}. {_smaller(found, made)}".strip())


def _smaller(found: Mapping[str, Recorded], wider: Record | None) -> str:
    """Return which claims have a smaller bound than every access to every frame, and why."""
    claims_of: dict[str, list[str]] = {}
    for identity, one in found.items():
        name = str(one.record.parameters.get("litmus"))
        if name in ALL_SCENES and ALL_SCENES[name].smaller:
            claims_of.setdefault(name, []).append(identity)
    reasons: dict[str, list[str]] = {}
    for name, ids in claims_of.items():
        reasons.setdefault(f"{ALL_SCENES[name].smaller}{_left_out(name, wider)}", []).extend(ids)
    if not reasons:
        return ""
    told = " ".join(f"{', '.join(ids)}: {reason}." for reason, ids in reasons.items())
    said = wider.parameters if wider else {}
    api = f" of {APIS[said['api']].title}" if said else ""
    more = (
        f"In brackets the states{api} so, and with three accesses in every way to every frame: "
        "bounds are smaller where all APIs and mutants together would take more than minutes."
    )
    return f"{told} {more if said else ''}".strip()


def _left_out(name: str, wider: Record | None) -> str:
    """Return how many states a scene has, and would have if it left nothing out."""
    counted = wider.result["scenes"].get(name) if wider else None
    if wider is None or counted is None:
        return ""
    more = "" if counted["is_complete"] else "more than "
    stale = ", stale" if wider.is_stale(code_digest(*MODULES)) else ""
    return f" ({_millions(counted['states'])}, {more}{_millions(counted['whole'])}{stale})"


def _millions(states: int) -> str:
    return f"{states / 1e6:.3g} million"


def source(question: str, records: Mapping[str, Recorded] | None = None) -> Said:
    """Return where the recorded verdicts come from."""
    found = recorded(question) if records is None else records
    if not found:
        return Said(UNRECORDED)
    made = [one.record.provenance for one in found.values()]
    commits = ", ".join(dict.fromkeys(f"`{one.commit[:12]}`" for one in made))
    stale = "; **some are stale: the code has changed since**" * any(
        one.is_stale for one in found.values()
    )
    dates = sorted(one.date[:10] for one in made)
    return Said(
        f"Every interleaving within the bound, recorded at {commits} on {dates[-1]} with Python "
        f"{made[-1].python}{stale}. Again: `memslots claims --check {question}`."
    )


def holding(identity: str, records: Mapping[str, Recorded]) -> str:
    """Return the titles of the APIs for which a claim holds, as a list in a sentence."""
    return _listed(identity, records, Word.HOLDS)


def violating(identity: str, records: Mapping[str, Recorded]) -> str:
    """Return the titles of the APIs that violate a claim, as a list in a sentence."""
    return _listed(identity, records, Word.VIOLATED)


def _listed(identity: str, records: Mapping[str, Recorded], word: Word) -> str:
    if identity not in records:
        return Word.NOT_RUN.value
    keys = [cell.api for cell in records[identity].cells if cell.word == word.value]
    return listed(APIS[key].title for key in dict.fromkeys(keys))


def listed(titles: Iterable[str]) -> str:
    """Return titles as a list in a sentence, each set off from the commas of the others."""
    names = [f"*{title}*" for title in titles]
    if not names:
        return "none"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _cell(cells: tuple[Checked, ...], is_stale: bool) -> Cell:
    """Return the verdict under the first policy, and those that differ from it under others."""
    if not cells:
        return Cell("", "")
    first, *others = cells
    kind = "verdict " + Word(first.word).name.lower().replace("_", "-")
    differ = [f"{_told(one)} on {one.where}" for one in others if one.word != first.word]
    text = "; ".join([_told(first), *differ])
    return Cell(f"{text} (stale)", f"{kind} stale") if is_stale else Cell(text, kind)


def _told(cell: Checked) -> str:
    return cell.word + (f" in {cell.steps}" if cell.word == Word.VIOLATED.value else "")


def _row(identity: str, cell: Checked) -> Sequence[object]:
    word = Cell(cell.word, "verdict " + Word(cell.word).name.lower().replace("_", "-"))
    lines = f"{cell.lines_ran} of {cell.lines}"
    reached = "; ".join(f"{event} in {steps}" for event, steps in cell.events.items())
    counts = (cell.states, cell.depth, reached, lines)
    return identity, cell.api, cell.where, word, *counts, cell.mutant
