"""Q0 in sentences: the answer in one line, and where its numbers come from."""

from __future__ import annotations

from collections.abc import Sequence

from memslotlib.litmus_host import Method
from memslotlib.verdict import Word
from memslotlib.views.prose import Said, say

from .records import Shown, shown, source_line

FILE = "q0.jsonl"
_UNRECORDED = "**In one line: NOT RUN.** Nothing is recorded yet; `make evidence` records it."
_ANSWER = (
    "**In one line.** Does a running vCPU meet a hole in memory that is there before and after? "
    "When the slot is deleted and re-created: {window} ({exits}). When it is MOVEd over its own "
    "range: {move} for accesses by page tables, {emulated} for those that KVM makes itself. "
    "When only its flags change: {flags}. Updates counted on {host}."
)


def answer(records: Sequence[Shown] | None = None) -> Said:
    """Return the chapter's answer, its numbers taken from the records."""
    records = shown(FILE) if records is None else records
    window = _chosen(records, Method.RENDEZVOUS, "today")
    if not window:
        return Said(_UNRECORDED)
    moved = _chosen(records, Method.OVERLAP, "move")
    return say(
        _ANSWER,
        window=_told(window),
        exits=", ".join(_exits(window)),
        move=_told([one for one in moved if one.native]),
        emulated=_told([one for one in moved if not one.native]),
        flags=_told(_chosen(records, Method.OVERLAP, "flags")),
        host=window[0].run.verdict.host,
    )


def source(records: Sequence[Shown] | None = None) -> Said:
    """Return where the chapter's recorded numbers come from."""
    return Said(source_line(shown(FILE) if records is None else records))


def _chosen(records: Sequence[Shown], method: Method, api: str) -> list[Shown]:
    wanted = (method.value, api)
    return [one for one in records if (one.parameters["method"], one.parameters["api"]) == wanted]


def _exits(records: Sequence[Shown]) -> list[str]:
    """Return what each kind of access came to: ``a load as mmio``."""
    met: dict[str, set[str]] = {}
    for one in records:
        access = one.record.experiment.rpartition("+")[2]
        met.setdefault(access, set()).update(one.run.exits)
    return [f"a {access} as {' or '.join(sorted(exits))}" for access, exits in met.items()]


def _told(records: Sequence[Shown]) -> str:
    hits = sum(one.run.verdict.hits for one in records)
    trials = sum(one.run.verdict.trials for one in records)
    if not trials:
        return Word.NOT_RUN.value
    return (
        f"{Word.SEEN.value} {hits:,} of {trials:,}"
        if hits
        else f"{Word.NOT_SEEN.value} in {trials:,}"
    )
