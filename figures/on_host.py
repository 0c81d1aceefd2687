"""What a real kernel showed of Q4 and Q5: windows inside one ioctl, and where stores land."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memslotlib import claims
from memslotlib.agreement import Compared, assert_sound, compare
from memslotlib.agreement import unshown as without_host
from memslotlib.claims import Claim
from memslotlib.experiments import recall_checks
from memslotlib.litmus_stores import Check
from memslotlib.protocol.apis import APIS
from memslotlib.provenance import ROOT
from memslotlib.verdict import Verdict, Word, chance_at_most
from memslotlib.views.prose import Said
from memslotlib.views.tables import Cell, Table

from .records import Shown, recorded_table, shown, source_line

#: How the updater and the vCPU were brought together, in a table's words.
METHODS = {
    "overlap": "nobody waits",
    "held": "first ioctl held inside",
    "held-last": "last ioctl held inside",
}


def windows(records: Sequence[Shown] | None = None) -> Table:
    """Return a row for each access that was made while an ioctl was under way."""
    found = shown("q4.jsonl") if records is None else records
    rows = [_window(one) for one in found]
    columns = ("Access", "API", "Guest", "How", "Updates", "Accesses", "Verdict", "95 % bound")
    return recorded_table(columns, rows)


def stores(records: Sequence[Shown] | None = None) -> Table:
    """Return a row for each check of where stores land while a backing is exchanged."""
    found = shown("q5.jsonl") if records is None else records
    rows = [row for one in found for row in _checks(one)]
    columns = ("API", "Guest", "Looked for", "Updates", "Stores", "Verdict", "95 % bound")
    return recorded_table(columns, rows)


def source(file: str) -> Said:
    """Return where and when a file's records were made."""
    return Said(source_line(shown(file)))


def _window(one: Shown) -> tuple[object, ...]:
    verdict = one.run.verdict
    parameters = one.parameters
    access = one.record.experiment.rpartition("+")[2]
    how = METHODS[parameters["method"]]
    guest = parameters["context"] + ("*" if one.native else "")
    counts = (verdict.trials, verdict.opportunities)
    return access, parameters["api"], guest, how, *counts, one.verdict, _bound(verdict)


def _checks(one: Shown) -> Iterator[tuple[object, ...]]:
    guest = one.parameters["context"] + ("*" if one.native else "")
    for check, verdict in recall_checks(one.record).items():
        cell = Cell.of(verdict)
        if one.stale:
            cell = Cell(f"{cell.text} (stale)", f"{cell.kind} stale")
        counts = (verdict.trials, verdict.opportunities)
        yield one.parameters["api"], guest, _said(check), *counts, cell, _bound(verdict)


def _said(check: Check) -> str:
    return {
        Check.I2: "I2: in the old page after the update",
        Check.I3B: "I3b: a hole on the way",
        Check.I4B: "I4b: in the old page after DELETE",
        Check.HOLE_AFTER: "a hole after the update",
        Check.NOT_ONCE: "a store in two places, or in none",
    }.get(check, check.value)


def _bound(verdict: Verdict) -> str:
    """Return how likely a hit may still be where none was seen."""
    if verdict.word is not Word.NOT_SEEN:
        return ""
    return f"{chance_at_most(verdict.trials):.2%}"


def agreement(compared: Sequence[Compared] | None = None) -> Table:
    """Return a row for each experiment of a host, with what the model says of the same.

    Raises UnsoundModelError when a host showed what the model excludes.
    """
    found = compare() if compared is None else compared
    assert_sound(list(found))
    rows = [
        (one.pair.title, one.host, one.pair.scene, one.pair.keeps, one.model, one.said)
        for one in found
    ]
    return Table(("On a host", "", "In the model", "", "", "So"), rows)


def unshown(registry: Sequence[Claim] | None = None) -> Table:
    """Return a row for each claim that the model breaks for an API of today and no host broke."""
    if registry is None:
        registry = list(claims.load(ROOT / "book" / "claims").values())
    rows = []
    for one in without_host(registry):
        titles = "; ".join(APIS[api].title for api in one.apis)
        anchor = one.claim.lower()
        link = Cell(one.claim, href=f"{anchor[:2]}.html#{anchor.replace('.', '-')}")
        rows.append((link, one.scene, one.keeps, titles, one.reason))
    return Table(("Claim", "In the model", "", "API", "Why no host showed it"), rows)
