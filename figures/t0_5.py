"""T0.5: the claims of Q0, what each expected and what was found."""

from __future__ import annotations

from collections.abc import Sequence

from memslotlib import litmus
from memslotlib.abi import SimVm
from memslotlib.claims import Claim, Expectation, load
from memslotlib.interface import Context
from memslotlib.litmus import BoundaryRunner, Property
from memslotlib.litmus_host import Method
from memslotlib.provenance import ROOT
from memslotlib.verdict import Word
from memslotlib.views.tables import Cell, Table

from .records import Shown, shown


def table(records: Sequence[Shown] | None = None) -> Table:
    """Return one row for each claim and API: expected and found, by the model and by the kernel."""
    records = shown("q0.jsonl") if records is None else records
    rows = [
        (
            Cell(claim.id, href=f"#{claim.anchor.replace('.', '-')}"),
            one.api,
            _word(one.model),
            _found(one.model, *model(claim, one.api)),
            _word(one.host),
            _found(one.host, *kernel(claim, one, records)),
        )
        for claim in load(ROOT / "book" / "claims").values()
        for one in claim.expect
        if claim.question == "Q0"
    ]
    columns = ("Claim", "API", "Model: expected", "found", "Kernel: expected", "found")
    return Table(columns, rows)


def model(claim: Claim, api: str) -> tuple[Word, str]:
    """Return the simulator's word, upstream's policy, worst of the claim's contexts."""
    runner = BoundaryRunner(SimVm)
    keeps = Property(claim.keeps)
    test = litmus.get(claim.litmus)
    words = {runner.run(test, keeps, api, Context(name)).verdict.word for name in claim.contexts}
    (word,) = words if len(words) == 1 else (Word.VIOLATED,)
    return word, word.value


def kernel(claim: Claim, expected: Expectation, records: Sequence[Shown]) -> tuple[Word, str]:
    """Return the recorded host's word, summed over the claim's contexts that took its path."""
    if claim.keeps != Property.SERVED.value:
        return Word.NOT_RUN, "NOT RUN: needs a stock kernel"
    chosen = [
        one
        for one in records
        if one.record.experiment == claim.litmus
        and one.parameters["api"] == expected.api
        and Method(one.parameters["method"]) in _methods(expected.api)
        and one.parameters["context"] in claim.contexts
        and claim.path in ("any", "page tables" if one.native else "emulator")
    ]
    if not chosen:
        return Word.NOT_RUN, "NOT RUN: nothing recorded"
    verdicts = [one.run.verdict for one in chosen]
    hits, trials = sum(one.hits for one in verdicts), sum(one.trials for one in verdicts)
    stale = " (stale)" if any(one.stale for one in chosen) else ""
    if hits:
        return Word.SEEN, f"SEEN {hits:,} of {trials:,}{stale}"
    return Word.NOT_SEEN, f"NOT SEEN in {trials:,}{stale}"


def _methods(api: str) -> tuple[Method, ...]:
    """Return the methods that tell: waiting where one can, else every way into the one ioctl."""
    return (Method.RENDEZVOUS,) if api == "today" else (Method.OVERLAP, Method.HELD)


def _word(word: Word) -> Cell:
    return Cell(word.value, "verdict " + word.name.lower().replace("_", "-"))


def _found(expected: Word, found: Word, text: str) -> Cell:
    kind = _word(found).kind
    if found is expected or found is Word.NOT_RUN:
        return Cell(text, kind)
    return Cell(f"{text}: CONTRADICTS THE CLAIM", f"{kind} contradiction")
