"""Q2 in tables and sentences: steps counted, the harness's own share, and what claims came to."""

from __future__ import annotations

from collections import Counter

from memslotlib.claims import Claim, Expectation, load
from memslotlib.costs import steps
from memslotlib.costs.plan import MEASUREMENTS
from memslotlib.costs.rounds import Spread, ratios
from memslotlib.costs.steps import Steps
from memslotlib.errors import MemslotError
from memslotlib.experiments import host_label
from memslotlib.hosts import LACKS
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.scenes import SPLIT
from memslotlib.provenance import ROOT
from memslotlib.verdict import Verdict, Word
from memslotlib.views.prose import Said, say
from memslotlib.views.tables import Cell, Table

from . import frequency
from .costs import (
    OPERATIONS,
    WHICH,
    Records,
    by_neighbour,
    by_pause,
    is_hardware,
    microseconds,
    recorded,
    undetermined,
)

#: The property of a claim that only VMX or SVM hardware can settle.
ABSOLUTE = "absolute time on VMX or SVM"
#: What the harness may take of the loop in C, for updates through the compiled module.
BOUNDED, OF_C_MAX = ("delete, create", "cffi"), 1.06
_UNRECORDED = "**In one line: NOT RUN.** Nothing is recorded yet; `make evidence` records it."
_NOTHING = "NOT RUN: nothing is recorded yet."
_COLUMNS = ("swaps", "waits", "zaps_all", "kicks", "pauses")
_HEADS = ("Swaps", "Waits", "Zaps of all", "Interrupts", "Pauses")


class MiscountedError(MemslotError):
    """A host counted other steps than the model has: one of the two is wrong."""


def operations(records: Records | None = None) -> Table:
    """Return the steps of each ioctl as the model has them, and what the recorded host counted.

    Raises MiscountedError when the host counted another number of waits: the page is not built.
    """
    found = recorded() if records is None else records
    rows = []
    for operation, made in steps.of_operations().items():
        counts = tuple(getattr(made, column) for column in _COLUMNS[:-1])
        vcpu = (_of_vcpu(found, operation, what) for what in ("faults", "exits"))
        rows.append((operation, *counts, _waits(found, operation, made), *vcpu))
    columns = ("Ioctl", *_HEADS[:-1], "Waits, on the host", "Faults of a vCPU", "Its exits")
    return Table(columns, rows)


def _waits(found: Records, operation: str, made: Steps) -> str:
    if "cost-waits" not in found:
        return Word.NOT_RUN.value
    counted = Counter(found["cost-waits"].record.samples[operation]["waits"])
    if set(counted) != {made.waits}:
        raise MiscountedError(f"{operation}: {made.waits} waits in the model, {dict(counted)} here")
    return f"{made.waits} in {counted.total()} of {counted.total()}"


def _of_vcpu(found: Records, operation: str, what: str) -> str:
    """Return a count of a vCPU's, in a VM that zaps all and in one that zaps its own."""
    if "cost-refaults" not in found:
        return Word.NOT_RUN.value
    samples = found["cost-refaults"].record.samples
    names = [name for name in (f"{operation} all", f"{operation} own") if name in samples]
    return " / ".join(f"{Spread.of(samples[name][what]).median:,.0f}" for name in names)


def apis() -> Table:
    """Return the steps by which each API gives N slots another backing, and splits one slot."""
    once, twice = (steps.of_apis(steps.other_backing(slots)) for slots in (1, 2))
    split = steps.of_apis(SPLIT)
    rows = []
    for key, api in APIS.items():
        ones, twos = once[key], twice[key]
        if isinstance(ones, Steps) and isinstance(twos, Steps):
            cells = [steps.formula(getattr(ones, c), getattr(twos, c)) for c in _COLUMNS]
        else:
            cells = ["-"] * len(_COLUMNS)
        rows.append((api.title, *cells, _told(split[key])))
    return Table(("API", *_HEADS, "To split one slot: swaps, waits, zaps"), rows)


def _told(made: Steps | str) -> str:
    return made if isinstance(made, str) else f"{made.swaps}, {made.waits}, {made.zaps}"


def harness(records: Records | None = None) -> Table | Said:
    """Return what the harness adds to an ioctl, against the same calls in one C loop."""
    found = recorded() if records is None else records
    if "cost-harness" not in found:
        return Said(_NOTHING)
    samples = found["cost-harness"].record.samples
    rows = []
    for name, taken in samples.items():
        kind, _, how = name.rpartition(" ")
        if how != "C" and f"{kind} C" in samples:
            base = samples[f"{kind} C"]["ns"]
            ratio = Spread.of(ratios(taken["ns"], base))
            quartiles = f"{ratio.low:.2f} to {ratio.high:.2f}"
            in_c = f"{microseconds(base):.2f} us"
            kept = _kept(ratio.median) if (kind, how) == BOUNDED else ""
            rows.append((kind, how, f"{ratio.median:.3f}", kept, quartiles, ratio.n, in_c))
    columns = ("Ioctl", "Through", "Of C", "Bound", "Quartiles", "Rounds", "In C, on this host")
    return Table(columns, rows)


def _kept(ratio: float) -> Cell:
    said = f"at most {OF_C_MAX}: "
    if ratio <= OF_C_MAX:
        return Cell(f"{said}kept", "kept")
    return Cell(f"{said}MISSED", "verdict violated")


def pauses(records: Records | None = None) -> Table | Said:
    """Return what a paused update takes, in parts, and how long a vCPU is out, of the plain one."""
    rows = by_pause(records)
    if not rows:
        return Said(_NOTHING)
    return Table(
        ("vCPUs", "Which", "", "Of the plain update", "Quartiles", "Rounds", "Here"),
        [
            (
                row["vcpus"],
                row["cpus"],
                row["part"],
                f"{row['ratio']:.2f}",
                f"{row['low']:.2f} to {row['high']:.2f}",
                row["n"],
                f"{row['us']:,.0f} us",
            )
            for row in rows
        ],
    )


def losses(records: Records | None = None) -> Table | Said:
    """Return what one update costs a vCPU that uses another slot."""
    rows = [row for row in by_neighbour(records) if row["update"] != "no-op"]
    if not rows:
        return Said(_NOTHING)
    return Table(
        ("Update", "Every", "vCPU uses", "", "Accesses left", "Faults", "vCPU's time lost"),
        [
            (
                row["update"],
                f"{row['every_us']:,} us" if row["every_us"] else "at once",
                f"{row['pages']} pages",
                row["zap"],
                f"{row['ratio']:.1%} ({row['low']:.1%} to {row['high']:.1%})",
                f"{row['faults']:.1f}",
                f"{row['lost_us']:,.0f} us"
                f" ({row['lost_low_us']:,.0f} to {row['lost_high_us']:,.0f})",
            )
            for row in rows
        ],
    )


def claims(records: Records | None = None) -> Table:
    """Return a row for each measured claim and what it is about: expected of a host, and found."""
    found = recorded() if records is None else records
    rows = [
        (
            Cell(claim.id, href=f"#{claim.anchor.replace('.', '-')}"),
            one.api,
            _word(one.host),
            *_answer(claim, one, found),
        )
        for claim in load(ROOT / "book" / "claims").values()
        for one in claim.expect
        if claim.is_measured and claim.question == "Q2"
    ]
    return Table(("Claim", "About", "Expected", "Found", "Bound, or why not"), rows)


def verdict(claim: Claim, row: str, records: Records) -> Verdict:
    """Return what the newest record says of one row of a measured claim."""
    if claim.litmus == frequency.LITMUS:
        return frequency.verdict(row)
    if claim.litmus not in records:
        return Verdict.not_run("nothing is recorded")
    one = records[claim.litmus]
    given = (one.parameters, one.record.samples, host_label(one.record))
    if claim.keeps == ABSOLUTE:
        # A time is what it is: any record of such a host has one.
        rounds = one.parameters["rounds"]
        if is_hardware(one):
            return Verdict.seen(rounds, rounds, host=host_label(one.record))
        return Verdict.not_run(undetermined(one))
    return MEASUREMENTS[claim.litmus].found(*given).get((claim.keeps, row), Verdict.not_run(LACKS))


def _answer(claim: Claim, one: Expectation, records: Records) -> tuple[Cell, str]:
    """Return what was found, marked where it is not what was expected, and the bound of silence."""
    said = verdict(claim, one.api, records)
    cell = Cell.of(said)
    if said.word is Word.NOT_RUN:
        return cell, said.reason
    text, kind = cell.text, cell.kind
    if claim.litmus in records and records[claim.litmus].stale:
        text, kind = f"{text} (stale)", f"{kind} stale"
    if said.word is not one.host:
        text, kind = f"{text}: CONTRADICTS THE CLAIM", f"{kind} contradiction"
    return Cell(text, kind), said.bound


def _word(word: Word) -> Cell:
    return Cell(word.value, "verdict " + word.name.lower().replace("_", "-"))


_ANSWER = (
    "**In one line.** Not while a VM boots, reboots or migrates: in the recorded runs of QEMU its"
    " updates take at most {share} of the time, if each costs what it costs on {host}. It is for a"
    " vCPU that must not stand still: DELETE and MOVE take the translations of every slot, and to"
    " delete and create another slot costs a vCPU with 2 MiB in use {lost_all:,.0f} us there,"
    " against {lost_own:,.0f} us where SLOT_ZAP_ALL is disabled. The same wherever the same code"
    " runs are the counts: DELETE and MOVE wait for readers twice, CREATE and FLAGS once. What each"
    " takes on VMX or SVM is UNDETERMINED here (claim [Q2.16](#q2-16))."
)


def answer(records: Records | None = None) -> Said:
    """Return what this part of the chapter comes to, its numbers taken from the records."""
    found = recorded() if records is None else records
    lost = frequency.lost_us(found)
    costs_ns = frequency.costs_ns(found)
    if not costs_ns or set(lost) != {"zaps all", "zaps own"}:
        return Said(_UNRECORDED)
    return say(
        _ANSWER,
        share=f"{frequency.largest_share(costs_ns):.2%}",
        host=host_label(found["cost-vcpus"].record),
        lost_all=lost["zaps all"],
        lost_own=lost["zaps own"],
    )


def growth(records: Records | None = None) -> Said:
    """Return, in a sentence, what the most slots that were tried do to each operation."""
    found = recorded() if records is None else records
    return Said(" ".join(_grown(found, which, name) for which, name in WHICH.items()))


def _grown(found: Records, which: str, name: str) -> str:
    one = found.get(f"cost-slots-{which}")
    if one is None:
        return f"On the slot {name}: NOT RUN."
    samples = one.record.samples
    few, many = (str(edge(one.parameters["counts"])) for edge in (min, max))
    told = [
        f"{operation} {Spread.of(ratios(samples[many][operation], taken)).median:.2f}"
        for operation, taken in samples[few].items()
        if operation in OPERATIONS
    ]
    times = ", ".join(told)
    return f"On the slot {name}, with {int(many):,} slots against {few}: {times} times as long."
