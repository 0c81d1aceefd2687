"""Q6: what happens to dirty bits, update by update, and what would if they followed their pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memslotlib import claims, litmus_copying, litmus_increments, litmus_logs, recheck
from memslotlib.abi import SimVm
from memslotlib.bitmaps import Bitmap, carried, size_bytes
from memslotlib.claims import Claim, Expectation
from memslotlib.evidence import Record
from memslotlib.experiments import host_label, recall_sequences, recalled
from memslotlib.interface import Context
from memslotlib.layout import Change, Layout, Region
from memslotlib.litmus_logs import SEQUENCES, WRITTEN, Outcome, Tracking, play
from memslotlib.provenance import ROOT
from memslotlib.verdict import Verdict, Word
from memslotlib.views.prose import Said, say
from memslotlib.views.tables import Cell, Table

from .q6_host import COPIES, INCREMENTS, LOGS, by, copies_per_page
from .records import Shown, shown, source_line
from .verdicts import Recorded, holding, recorded

FILE = "q6.jsonl"
#: What changes in a sequence, in a table's words.
SAID: Mapping[str, str] = {
    "none": "nothing",
    "move": "MOVE by a page",
    "toggle": "flag off, flag on",
    "re-create": "delete, create as it was",
    "truncate": "130 pages become 70",
    "cut-front": "the first 5 pages are cut off",
    "punch": "pages 64 to 69 are punched out",
    "punch-high": "the same, the upper part keeps the id",
    "split": "split at page 70",
    "merge": "merged at page 70",
    "grow": "70 pages become 130",
    "exchange": "two slots exchange their ids",
    "delete": "deleted",
    "grow-in-place": "70 become 130 in one call",
}
_UNRECORDED = "**In one line: NOT RUN.** Nothing is recorded yet; `make evidence` records it."
_ANSWER = (
    "**In one line.** Today it is dropped: DELETE frees the bitmap and CREATE begins with an empty "
    "one; MOVE keeps it. A VMM that fetches the log just before DELETE still loses what is stored "
    "in between ({tight}; of two slots {two}), one that pauses vCPUs does not ({pause}), and one "
    "that takes every new page for dirty does not either ({initially}, but {copies} copies of each "
    "page). What it should be: *a bit follows its page, and the bits of pages that go are handed "
    "over*. In the model no dirty page of a truncated slot is lost with {apis} where KVM logs by "
    "write protection, and with {pml} where the processor logs. Counted on {host}."
)


def answer(
    records: Sequence[Shown] | None = None, modelled: Mapping[str, Recorded] | None = None
) -> Said:
    """Return the chapter's answer, its numbers taken from the records."""
    found = shown(FILE) if records is None else records
    claimed = {**recorded("Q5"), **recorded("Q6")} if modelled is None else modelled
    copied = by(found, COPIES)
    if not copied:
        return Said(_UNRECORDED)
    return say(
        _ANSWER,
        tight=_text(copied, "get-delete"),
        two=_text(copied, "two-slots"),
        pause=_text(copied, "pause"),
        initially=_text(copied, "initially-set"),
        copies=copies_per_page(copied.get("initially-set")),
        apis=holding("Q6.1", claimed),
        pml=holding("Q5.22", claimed),
        host=host_label(next(iter(copied.values())).record),
    )


def source(records: Sequence[Shown] | None = None) -> Said:
    """Return where the chapter's recorded numbers come from."""
    return Said(source_line(shown(FILE) if records is None else records))


def sequences(test: str, records: Sequence[Shown] | None = None) -> Table:
    """Return what each sequence comes to under one test, on the simulator and on the kernel.

    Pages are told by their place in the memory; those of ``gone`` have no slot any more.
    """
    given = shown(FILE) if records is None else records
    recorded_rows, made = told(given), _log_record(given)
    differing = made.result["differ"] if made else ()
    rows = []
    for name in SEQUENCES:
        with SimVm() as vm:
            found = play(vm, Tracking(test), SEQUENCES[name], Context.LONG64_CPL3)
        where = {"test": test, "sequence": name, "context": Context.LONG64_CPL3.value}
        kernel = [one for one in recorded_rows if where.items() <= one.items()]
        differs = " ".join(where.values()) in differing
        rows.append((SAID[name], *_fate(found), _agrees(found, kernel, differs=differs)))
    return Table(("Update", "Named", "Lost", "Gone", "Named, not written", "Kernel"), rows)


def manual(records: Sequence[Shown] | None = None) -> Said:
    """Return whether manual protection changes what an update keeps, on simulator and kernel."""
    given = shown(FILE) if records is None else records
    plain, by_hand = (
        sequences(one.value, given).rows for one in (Tracking.BITMAP, Tracking.MANUAL)
    )
    differ = [str(one[0]) for one, other in zip(plain, by_hand, strict=True) if one != other]
    where = "simulator and kernel" if told(given) else "the simulator; of a kernel it is NOT RUN"
    said = f"it is the same, on {where}" if not differ else f"it is not so of: {'; '.join(differ)}"
    return Said(f"With KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 {said}.")


def told(records: Sequence[Shown]) -> list[Mapping[str, Any]]:
    """Return the rows of what a kernel answered to every sequence."""
    made = _log_record(records)
    return list(made.samples["rows"]) if made else []


def _log_record(records: Sequence[Shown]) -> Record | None:
    return next((one.record for one in records if one.record.experiment == LOGS), None)


def slices() -> Table:
    """Return what the same updates come to if bits follow their pages: ``bitmaps.carried``."""
    rows = []
    for name, one in SEQUENCES.items():
        if name in ("none", "toggle", "move"):
            continue  # The slot is not replaced, or its pages are at other frames.
        before, after = Layout(one.before), Layout(one.after)
        logs = {region.slot: Bitmap.of(_offsets(region), region.npages) for region in before}
        made = carried(Change(before, after), logs)
        named = _pages(after, {slot: bitmap.pages for slot, bitmap in made.slots.items()})
        rest = _pages(before, made.rest)
        written = _pages(before, {slot: one.pages for slot, one in logs.items()})
        assert named | rest == written
        rows.append((SAID[name], _list(named), _list(rest), _list(named - written), _words(one)))
    columns = ("Update", "Named by the new logs", "Handed over", "Named, not written", "Words are")
    return Table(columns, rows)


def lengths(records: Sequence[Shown] | None = None) -> Table:
    """Return how many bytes KVM_GET_DIRTY_LOG wrote after a slot number had changed its size."""
    made = _log_record(shown(FILE) if records is None else records)
    columns = ("Pages before", "Pages after", "Room", "Written", "Behind it", "In place")
    rows: list[tuple[object, ...]] = []
    answers = {tuple(rest) for _, *rest in made.samples["written"]} if made else set()
    for before, after, wrote, refused in sorted(answers):
        # The arithmetic and the kernel have to agree, or neither is worth a table.
        assert wrote == size_bytes(after)
        room, in_place = size_bytes(before), "EINVAL" if refused else "no change"
        rows.append((before, after, room, wrote, max(0, wrote - room), in_place))
    return Table(columns, rows or [(Verdict.not_run("nothing is recorded"), *[""] * 5)])


def expected(records: Sequence[Shown] | None = None) -> Table:
    """Return a row for each claim and API of the simulator: expected and found, on both."""
    found = shown(FILE) if records is None else records
    rows = [
        (
            Cell(claim.id, href=f"#{claim.anchor.replace('.', '-')}"),
            one.api,
            _found(one.model, _simulated(claim, one.api)),
            _found(one.host, hosted(claim, one, found)),
        )
        for claim in claims.load(ROOT / "book" / "claims").values()
        for one in claim.expect
        if claim.question == "Q6" and not claim.is_modelled
    ]
    return Table(("Claim", "API", "Simulator", "Kernel"), rows)


def hosted(claim: Claim, one: Expectation, records: Sequence[Shown]) -> Verdict:
    """Return what the recorded host showed of a claim's API."""
    if claim.litmus == litmus_copying.NAME:
        return _recalled(by(records, COPIES).get(one.api))
    if claim.litmus == litmus_increments.NAME:
        return _recalled(by(records, INCREMENTS).get(one.api))
    made = _log_record(records)
    said = f"{claim.litmus} {one.api}: {claim.keeps}"
    found = recall_sequences(made) if made else {}
    return found.get(said, Verdict.not_run("nothing is recorded"))


def _simulated(claim: Claim, api: str) -> Verdict:
    return recheck.simulated(claim, api, Context(claim.contexts[0]))


def _recalled(one: Shown | None) -> Verdict:
    return recalled(one.record) if one else Verdict.not_run("nothing is recorded")


def _found(wanted: Word, found: Verdict) -> Cell:
    cell = Cell.of(found)
    if found.word in (wanted, Word.NOT_RUN):
        return cell
    return Cell(f"{cell.text}: EXPECTED {wanted.value}", f"{cell.kind} contradiction")


def _text(copied: Mapping[str, Shown], how: str) -> str:
    return _recalled(copied.get(how)).text


def _fate(found: Outcome) -> tuple[str, ...]:
    if found.refused:
        # There is no answer to any column: not even that nothing is named.
        return f"refused: {found.refused.rpartition(' ')[2]}", "-", "-", "-"
    return tuple(map(_list, (found.kept, found.lost, found.gone, found.extra)))


def _agrees(found: Outcome, kernel: Sequence[Mapping[str, Any]], *, differs: bool) -> Cell:
    """Tell whether the recorded kernel came to the same, and in how many runs.

    ``differs`` if an answer was another one, bit for bit, than the simulator's beside it.
    """
    if not kernel:
        return Cell("NOT RUN", "verdict not-run")
    sets = ("kept", "lost", "gone", "extra", "longer")
    same = all(
        row["refused"] == found.refused
        and all(set(row[name]) == getattr(found, name) for name in sets)
        for row in kernel
    )
    if differs or not same:
        return Cell("DIFFERENT", "verdict violated")
    return Cell(f"the same, {sum(row['runs'] for row in kernel)} runs", "verdict holds")


def _list(pages: Iterable[int]) -> str:
    """Return pages as a table prints them, runs joined.

    >>> _list({3, 4, 5, 9})
    '3-5, 9'
    """
    runs: list[list[int]] = []
    for page in sorted(pages):
        if runs and page == runs[-1][1] + 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    if len(runs) > 8:
        return f"{sum(last - first + 1 for first, last in runs)} pages"
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def _offsets(region: Region) -> list[int]:
    first = (region.hva - litmus_logs.HVA) >> 12
    return [page - first for page in WRITTEN if first <= page < first + region.npages]


def _pages(layout: Layout, offsets: Mapping[int, Iterable[int]]) -> set[int]:
    """Return the pages that offsets of the layout's slots stand for."""
    found = set()
    for slot, some in offsets.items():
        region = layout.slot(slot)
        assert region is not None
        found |= {((region.hva - litmus_logs.HVA) >> 12) + offset for offset in some}
    return found


def _words(one: litmus_logs.Sequence) -> str:
    """Tell whether the slices are whole words, or have to be shifted."""
    old, new = Layout(one.before), Layout(one.after)
    shifts = {
        (span.gfn - span.old.gfn) % 64 or (span.gfn - span.new.gfn) % 64
        for span in Change(old, new)
        if span.old is not None and span.new is not None
    }
    if not shifts:
        return ""
    return "copied" if shifts == {0} else "shifted"
