"""What a host showed of Q6: copies by the log, stores inside one ioctl, locked increments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from memslotlib.abi import SimVm
from memslotlib.copying import How
from memslotlib.experiments import SEQUENCES as LOGS
from memslotlib.experiments import recall_checks, recalled
from memslotlib.litmus_copying import NAME as COPIES
from memslotlib.litmus_copying import simulated
from memslotlib.litmus_increments import APIS, modelled
from memslotlib.litmus_increments import NAME as INCREMENTS
from memslotlib.litmus_stores import LOG, Check
from memslotlib.verdict import Verdict, Word, chance_at_most
from memslotlib.views.prose import Said
from memslotlib.views.tables import Cell, Table

from .records import Shown, recorded_table, shown
from .verdicts import Recorded, recorded

__all__ = [
    "COPIES",
    "INCREMENTS",
    "LOGS",
    "by",
    "copies",
    "copies_per_page",
    "held",
    "increments",
    "second_slot",
    "silence",
]

FILE = "q6.jsonl"
_NOTHING = "NOT RUN: nothing is recorded yet."
_SILENCE = "NOT SEEN in {trials} trials: with 95 %, at most {share:.1%} of such trials lose a page."
#: What an order of calls is called in a table, and the claim of the model and its API that have it.
ORDERS: Mapping[How, tuple[str, str, str]] = {
    How.NONE: ("no update: a control", "", ""),
    How.GET_COPY: ("get, copy, delete, create", "Q6.1", "today"),
    How.GET_DELETE: ("get, delete, create, copy", "Q6.1", "today"),
    How.TWO_SLOTS: ("the same with two slots at once", "Q6.1", "today"),
    How.PAUSE: ("the same while vCPUs are paused", "Q6.1", "pause"),
    How.BLOCK: ("the same while mprotect() blocks stores", "Q6.1", "user-exit"),
    How.INITIALLY_SET: ("delete, create, get: INITIALLY_SET", "", ""),
    How.RING_BETWEEN: ("ring, harvested between delete and create", "Q5.24", "today"),
    How.RING_LATE: ("ring, read by slots with exchanged ids", "", ""),
    How.MOVE: ("get, MOVE, copy", "Q5.25", "move"),
}
_PAGES = {
    Check.I5: "I5: written, and in no log",
    Check.LANDS: "a store landed in a writable page",
    Check.LANDS_PROTECTED: "a store landed in a protected page",
    Check.LOG_READ: "the log could be fetched",
}
_UPDATES = {
    "none": "none: a control",
    "today": "delete and create, exits served",
    "pause": "the same while vCPUs are paused",
    "mmap": "mmap over the hva",
    "mremap": "mremap over the hva",
    "unlocked": "none, increments not locked: a control",
}


def by(records: Sequence[Shown], experiment: str) -> dict[str, Shown]:
    """Return the records of an experiment by their API."""
    found = [one for one in records if one.record.experiment == experiment]
    return {str(one.parameters["api"]): one for one in found}


def copies(
    records: Sequence[Shown] | None = None, modelled: Mapping[str, Recorded] | None = None
) -> Table:
    """Return a row for each order of calls: loss beside precision, and what explains the loss."""
    found = by(shown(FILE) if records is None else records, COPIES)
    claims = {**recorded("Q5"), **recorded("Q6")} if modelled is None else modelled
    rows = [
        _copy(order, _model(how, claim, api, claims), found[how.value])
        for how, (order, claim, api) in ORDERS.items()
        if how.value in found
    ]
    columns = (
        *("Order of calls", "Model", "Kernel", "Rounds", "Lost pages"),
        *("In no window", "Copies a page", "Into a hole"),
    )
    return recorded_table(columns, rows)


def silence(records: Sequence[Shown] | None = None) -> Said:
    """Return how likely a loss may still be where the copies showed none."""
    found = by(shown(FILE) if records is None else records, COPIES).values()
    trials = sorted({one.trials for one in map(_verdict, found) if one.word is Word.NOT_SEEN})
    if not trials:
        return Said(_NOTHING)
    return Said(" ".join(_SILENCE.format(trials=n, share=chance_at_most(n)) for n in trials))


def second_slot(records: Sequence[Shown] | None = None) -> Said:
    """Return what each of two slots loses in a round that deletes one after the other."""
    one = by(shown(FILE) if records is None else records, COPIES).get(How.TWO_SLOTS.value)
    if one is None:
        return Said(_NOTHING)
    samples = one.record.samples
    rounds, lost, first = (sum(samples[name]) for name in ("rounds", "lost", "lost_first"))
    return Said(
        f"Of two slots that are deleted one after the other a round loses {first / rounds:.2f}"
        f" pages of the first, and {(lost - first) / rounds:.2f} of the second, whose log grows old"
        " while the first is deleted."
    )


def _copy(order: str, model: Cell, one: Shown) -> tuple[object, ...]:
    samples = one.record.samples
    kernel = _stale(Cell.of(_verdict(one)), one)
    counts = (sum(samples["unexplained"]), copies_per_page(one), sum(samples["mmio"]))
    return order, model, kernel, sum(samples["rounds"]), _lost(one), *counts


def _verdict(one: Shown) -> Verdict:
    return recalled(one.record)


def _lost(one: Shown) -> str:
    """Return how many pages were lost, and how many a round; of two slots, of each."""
    samples = one.record.samples
    rounds, lost, first = (sum(samples[name]) for name in ("rounds", "lost", "lost_first"))
    if not lost:
        return "0"
    each = f"{lost / rounds:.2f}"
    if one.parameters["api"] == How.TWO_SLOTS.value:
        each = f"{first / rounds:.2f} and {(lost - first) / rounds:.2f}"
    return f"{lost:,}: {each} a round"


def copies_per_page(one: Shown | None) -> str:
    """Return how often a page was copied, on the average of all trials."""
    if one is None:
        return Word.NOT_RUN.value
    sent = one.record.samples["sent"]
    return f"{sum(sent) / len(sent) / one.parameters['pages']:.2f}"


def held(records: Sequence[Shown] | None = None) -> Table:
    """Return a row for each check of a slot that logs, updated at once or held inside."""
    found = shown(FILE) if records is None else records
    rows = [row for one in found if one.record.experiment == LOG for row in _held(one)]
    columns = ("API", "Guest", "First ioctl", "Looked for", "Updates", "Verdict", "95 % bound")
    return recorded_table(columns, rows)


def _held(one: Shown) -> Iterator[tuple[object, ...]]:
    guest = one.parameters["context"] + ("*" if one.native else "")
    how = "held inside" if one.parameters["held"] else "not held"
    for check, verdict in recall_checks(one.record).items():
        cell = _stale(Cell.of(verdict), one)
        counts = (verdict.trials, cell, _bound(verdict))
        yield one.parameters["api"], guest, how, _PAGES[check], *counts


def increments(records: Sequence[Shown] | None = None) -> Table:
    """Return a row for each way to update: the model's word, and what was missing on the host."""
    found = by(shown(FILE) if records is None else records, INCREMENTS)
    rows = [_increment(api, found[api]) for api in APIS if api in found]
    columns = ("Update", "Model", "Kernel", "95 % bound", "Updates", "Exits served", "Missing")
    return recorded_table(columns, rows)


def _increment(api: str, one: Shown) -> tuple[object, ...]:
    samples, verdict = one.record.samples, recalled(one.record)
    missing = ", ".join(f"{lost:,}" for lost in sorted(samples["lost"])) if verdict.hits else "0"
    of = f"{missing} of {max(samples['made']):,} a run"
    counts = (sum(samples["updates"]), sum(samples["served"]), of)
    return _UPDATES[api], modelled(api), _stale(Cell.of(verdict), one), _bound(verdict), *counts


def _model(how: How, claim: str, api: str, claims: Mapping[str, Recorded]) -> Cell:
    """Return what the model says of an order of calls; the simulator, where no claim has it."""
    if not claim:
        said = Cell.of(simulated(SimVm, how))
        # UNDETERMINED is too long a word for this table, and it is this that it stands for.
        text = "no loss" if said.text == Word.UNDETERMINED.value else said.text
        return Cell(f"{text} (simulator)", said.kind)
    cells = claims[claim].of(api) if claim in claims else ()
    if not cells:
        return Cell(f"NOT RUN ({claim})", "verdict not-run")
    cell = cells[0]  # Of the claim's first policy, which is x86.
    kind = "verdict " + Word(cell.word).name.lower().replace("_", "-")
    return Cell(f"{cell.word} ({claim}, {api})", kind)


def _stale(cell: Cell, one: Shown) -> Cell:
    return Cell(f"{cell.text} (stale)", f"{cell.kind} stale") if one.stale else cell


def _bound(verdict: Verdict) -> str:
    """Return how likely a hit may still be where none was seen."""
    return f"{chance_at_most(verdict.trials):.2%}" if verdict.word is Word.NOT_SEEN else ""
