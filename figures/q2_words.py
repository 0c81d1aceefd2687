"""Sentences of Q2 whose numbers come from the records, the model's programs or the traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memslotlib.claims import load
from memslotlib.costs import steps
from memslotlib.costs.claimed import SLOTS, SLOTS_RATIO
from memslotlib.costs.rounds import Spread
from memslotlib.costs.steps import Steps
from memslotlib.provenance import ROOT
from memslotlib.verdict import Verdict, Word
from memslotlib.views.prose import Said, say
from memslotlib.vmm.frequency import Run

from . import frequency
from .costs import Records, Row, by_pause, by_size, by_slots, recorded
from .q2_costs import verdict

_NOTHING = "NOT RUN: nothing is recorded yet."
#: Chains of slots in kvm_host.h's id_hash, which has 7 bits.
CHAINS = 1 << 7
#: By how much an ioctl may take longer with a bigger slot and still be called as fast.
SAME_RATIO = 1.1
_SIZES = ("KiB", "MiB", "GiB", "TiB")


def refaults(records: Records | None = None) -> Said:
    """Return how many faults a DELETE of another slot costs a vCPU, and for how many pages."""
    one = _found(records).get("cost-refaults")
    if one is None:
        return Said(_NOTHING)
    faults = Spread.of(one.record.samples["delete all"]["faults"]).median
    return say(
        "DELETE and MOVE of one slot make a vCPU fault for what it uses in another (claim"
        " [Q2.8](#q2-8)): {faults:,.0f} faults for {pages:,} pages after a DELETE, fewer than"
        " pages, since one fault maps up to eight where their memory is there (mmu.c,"
        " direct_pte_prefetch()).",
        faults=faults,
        pages=one.parameters["pages"],
    )


def walked(records: Records | None = None) -> Said:
    """Return what claim Q2.9 expected of CREATE, what was found, and what explains it."""
    found = _found(records)
    said = _answered("Q2.9", "create", found)
    if said.word is Word.NOT_RUN:
        return Said(f"Claim [Q2.9](#q2-9) of CREATE: NOT RUN: {said.reason}.")
    few, many = map(int, SLOTS)
    rows = {(row["slot"], row["operation"], row["slots"]): row for row in by_slots(found)}
    created = rows["changed last", "create", many]
    told = say(
        "Claim [Q2.9](#q2-9) expected CREATE to take at least {least} times as long with {many:,}"
        " slots as with {few}, since it has to walk a chain of {chain:,} to its end to know that"
        " its id is free. It takes {ratio:.2f} times as long: {verdict}",
        least=SLOTS_RATIO,
        many=many,
        few=few,
        chain=many // CHAINS,
        ratio=created["ratio"],
        verdict=said.text,
    )
    if said.word is Word.SEEN:
        return Said(f"{told.text}, as expected.")
    walks = _walks(rows, few, many)
    return Said(
        f"**{told.text}, which contradicts the claim: the expectation was wrong.** Not of the walk,"
        f" but of its price.{walks}"
    )


def _walks(rows: Mapping[tuple[str, str, int], Row], few: int, many: int) -> str:
    """Return what a step along a chain takes, just walked and not; nothing without the second."""
    if ("changed least recently", "no-op", many) not in rows:
        return ""
    hot, cold = (
        rows[slot, operation, many]["us"] - rows[slot, operation, few]["us"]
        for slot, operation in (("changed last", "create"), ("changed least recently", "no-op"))
    )
    each = 1000 * CHAINS / many
    return (
        f" CREATE takes {hot:.1f} us more with so many slots, {hot * each:.0f} ns for each slot of"
        " the chain, which the round before has walked as well. Setting the same again, of the slot"
        " that was changed least recently, walks a chain as long that nobody has walked lately:"
        f" {cold:.0f} us more, {cold * each:.0f} ns for each. The one chain is in the processor's"
        " cache and the other is not: in a trial that no record holds, and the claim's history"
        " tells, the second of two such calls took a small part of the first's time."
    )


def slots_in_use() -> Said:
    """Return how many slots a VMM of the traces has at a time, at most."""
    return say(
        "No VMM of the [traces below](#q2-s16) has more than {most} slots at a time, where neither"
        " matters.",
        most=max(one.most_slots for one in frequency.counted()),
    )


def sizes(records: Records | None = None) -> Said:
    """Return up to which size an ioctl is as fast as with the smallest; and with the largest."""
    rows = by_size(_found(records))
    if not rows:
        return Said(_NOTHING)
    largest = max(row["mib"] for row in rows)
    slow = min((row["mib"] for row in rows if row["ratio"] > SAME_RATIO), default=largest)
    flat = max(row["mib"] for row in rows if row["mib"] < slow)
    last = [row for row in rows if row["mib"] == largest]
    changing = [row["ratio"] for row in last if row["operation"] != "no-op"]
    idle = [row["us"] for row in last if row["operation"] == "no-op"]
    return say(
        "Up to {flat} no ioctl's median is more than {more:.0%} above that with {smallest}; with"
        " {largest} those that change something take {low:.0f} to {high:.0f} times as long, since"
        " the recorded host keeps reverse maps for every page of every slot (claim"
        " [Q2.11](#q2-11)). Setting the same again visits no page, and takes {idle:.0f} us there at"
        " most. A kernel with EPT or NPT, the TDP MMU and no nested guest has no reverse maps.",
        flat=_size(flat),
        more=SAME_RATIO - 1,
        smallest=_size(min(row["mib"] for row in rows)),
        largest=_size(largest),
        low=min(changing),
        high=max(changing),
        idle=max(idle),
    )


def paused(records: Records | None = None) -> Said:
    """Return what claim Q2.13 expected of a pause, and what it takes with more vCPUs than CPUs."""
    found = _found(records)
    said = _answered("Q2.13", "pause", found)
    if said.word is Word.NOT_RUN:
        return Said(f"Claim [Q2.13](#q2-13): NOT RUN: {said.reason}.")
    rows = [row for row in by_pause(found) if row["part"] == "all of it"]
    times = {row["vcpus"]: f"{row['ratio']:.2f}" for row in rows}
    few = min(times)
    held = "as expected" if said.word is Word.NOT_SEEN else "which contradicts the claim"
    crowded = [row["vcpus"] for row in rows if row["cpus"] != rows[0]["cpus"]]
    told = say(
        "Claim [Q2.13](#q2-13) expected a paused update to take less than twice as long as a plain"
        " one, with one vCPU that has a CPU of its own. It takes {ratio} times as long: twice was"
        " {verdict}, {held}. While the vCPU is out, the update has nobody to interrupt or to wait"
        " for, which pays for a part of the kick.",
        ratio=times[few],
        verdict=said.text,
        held=held,
    )
    if not crowded:
        return told
    more = _and([times[vcpus] for vcpus in crowded])
    return Said(
        f"{told.text} The claim ends where the CPUs do: with {_and(crowded)} vCPUs, more than the"
        f" recorded host has CPUs for, it takes {more} times as long, and each kick waits for the"
        " scheduler."
    )


def at_once() -> Said:
    """Return the steps of one ioctl that replaces all slots, against those of userspace's loop."""
    one, two = (steps.of_apis(steps.other_backing(slots)) for slots in (1, 2))
    return say(
        "In the model one ioctl that replaces all N slots waits {swap} times if it swaps the sets,"
        " {block} times if it blocks vCPUs first, and zaps {zaps} times; userspace's loop waits"
        " {waits} times and zaps {all_zaps} times. But the one ioctl would also make anew what did"
        " not change, where today a delta leaves it alone.",
        swap=_count(one, two, "wholesale-swap", "waits"),
        block=_count(one, two, "wholesale-block", "waits"),
        zaps=_count(one, two, "wholesale-swap", "zaps"),
        waits=_count(one, two, "today", "waits"),
        all_zaps=_count(one, two, "today", "zaps"),
    )


def windows(records: Records | None = None) -> Said:
    """Return how many updates a window has where they are rare, and what that means."""
    one = _found(records).get("cost-neighbour")
    if one is None:
        return Said(_NOTHING)
    interval, window = max(one.parameters["intervals_us"]), one.parameters["window_us"]
    return say(
        "At one update in {interval:,.0f} ms a window has {updates:,.0f} of them, and what one"
        " costs is then close to what windows differ by anyway.",
        interval=interval / 1000,
        updates=window / interval,
    )


def pace(found: Sequence[Run] | None = None) -> Said:
    """Return how many updates a run makes that nobody wrote to provoke them."""
    chosen = [one for one in found or frequency.counted() if not one.is_synthetic]
    most = max(chosen, key=lambda one: one.updates)
    return say(
        "Of {runs} runs of firmware, operating systems and VMM operations the median makes"
        " {median:,.0f} updates from its start to its end; the most are {most:,}, by {which}.",
        runs=len(chosen),
        median=Spread.of([one.updates for one in chosen]).median,
        most=most.updates,
        which=f"{most.vmm}, {most.scenario}",
    )


def _found(records: Records | None) -> Records:
    return recorded() if records is None else records


def _answered(identity: str, row: str, records: Records) -> Verdict:
    return verdict(load(ROOT / "book" / "claims")[identity], row, records)


def _count(
    one: Mapping[str, Steps | str], two: Mapping[str, Steps | str], api: str, what: str
) -> str:
    return steps.formula(getattr(one[api], what), getattr(two[api], what))


def _size(mib: float) -> str:
    """Return a size in the largest unit of which it is a whole number.

    >>> _size(4 / 1024), _size(16), _size(16384)
    ('4 KiB', '16 MiB', '16 GiB')
    """
    number, unit = round(mib * 1024), 0
    while number % 1024 == 0 and number:
        number, unit = number // 1024, unit + 1
    return f"{number:,} {_SIZES[unit]}"


def _and(values: Sequence[object]) -> str:
    """Return values as a sentence lists them.

    >>> _and([1]), _and([1, 2]), _and([1, 2, 3])
    ('1', '1 and 2', '1, 2 and 3')
    """
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}" if first else last
