"""What an update costs, from the records: the rows behind the figures of Q2, and where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memslotlib.costs.claimed import loss_rates
from memslotlib.costs.rounds import Spread, ratios
from memslotlib.experiments import host_label
from memslotlib.views.prose import Said, say

from .records import Shown, shown, source_line

FILE = "q2.jsonl"
#: What runs one measurement again.
AGAIN = "memslots evidence record {name}"
_VMX_OR_SVM = ("kvm_intel", "kvm_amd")
Row = dict[str, Any]
Records = Mapping[str, Shown]


def recorded() -> Records:
    """Return the newest record of each measurement, by its name."""
    return {one.record.experiment: one for one in shown(FILE)}


def source(name: str, records: Records | None = None) -> Said:
    """Return how many rounds a figure's numbers come from, where, when, and how to run it again.

    Where nothing is recorded it says NOT RUN. Where the host has neither VMX nor SVM it says that
    its times are of no other host.
    """
    found = recorded() if records is None else records
    again = AGAIN.format(name=name)
    if name not in found:
        return Said(f"NOT RUN: nothing is recorded yet. `{again}` records it on your host.")
    one = found[name]
    return say(
        "Medians and quartiles of {rounds:,} rounds, in which all contenders took turns."
        " {where}{other} Alone: `{again}`.",
        rounds=one.parameters["rounds"],
        where=source_line([one]),
        other="" if is_hardware(one) else f" Absolute times: {undetermined(one)}",
        again=again,
    )


def is_hardware(one: Shown) -> bool:
    """Tell whether a record is of VMX or SVM, by a host that is not itself a guest."""
    host = one.record.provenance.host
    return host["module"] in _VMX_OR_SVM and not host["nested"]


def undetermined(one: Shown) -> str:
    """Return why a record's times are of its own host alone, and what would tell of others."""
    return (
        f"UNDETERMINED, for {host_label(one.record)} is neither VMX nor SVM hardware;"
        " a record from such a host would tell."
    )


def spread(values: Sequence[float]) -> Row:
    """Return the columns that tell what is typical of ratios."""
    found = Spread.of(values)
    return {"ratio": found.median, "low": found.low, "high": found.high, "n": found.n}


def microseconds(values: Sequence[float]) -> float:
    """Return the median of nanoseconds, in microseconds."""
    return Spread.of(values).median / 1000


@dataclass(frozen=True)
class Axis:
    """Which contenders are compared: the operation's times of each against those of ``base``."""

    base: str
    operations: tuple[str, ...]

    def rows(self, one: Shown, contenders: Mapping[str, Row], **more: Any) -> Iterator[Row]:
        """Yield a row for each contender and operation; ``contenders`` add columns of their own."""
        samples = one.record.samples
        for name, columns in contenders.items():
            for operation in self.operations:
                if name in samples and operation in samples[name]:
                    taken = samples[name][operation]
                    yield {
                        "operation": operation,
                        "us": microseconds(taken),
                        **spread(ratios(taken, samples[self.base][operation])),
                        **columns,
                        **more,
                    }


OPERATIONS = ("create", "delete", "move", "flags", "no-op")
LOGGED = ("create, logged", "delete, logged")
WHICH = {"newest": "changed last", "oldest": "changed least recently"}


def by_slots(records: Records | None = None) -> list[Row]:
    """Return each operation's time by the number of slots, against that with one slot."""
    found = recorded() if records is None else records
    rows: list[Row] = []
    for which, slot in WHICH.items():
        one = found.get(f"cost-slots-{which}")
        if one is not None:
            counts = {str(count): {"slots": count} for count in one.parameters["counts"]}
            rows += Axis("1", OPERATIONS).rows(one, counts, slot=slot)
    return rows


def by_size(records: Records | None = None) -> list[Row]:
    """Return each operation's time by the size of its slot, against that of the smallest."""
    found = recorded() if records is None else records
    one = found.get("cost-size")
    if one is None:
        return []
    rows: list[Row] = []
    smallest = min(one.parameters["sizes"])
    for zap in ("all", "own"):
        axis = Axis(f"{smallest} {zap}", (*OPERATIONS, *LOGGED))
        contenders = {f"{n} {zap}": {"mib": n / (1 << 20)} for n in one.parameters["sizes"]}
        rows += axis.rows(one, contenders, zap=f"zaps {zap}")
    return rows


def by_vcpus(records: Records | None = None) -> list[Row]:
    """Return each operation's time beside running vCPUs, against that beside the same ones out."""
    found = recorded() if records is None else records
    one = found.get("cost-vcpus")
    if one is None:
        return []
    rows: list[Row] = []
    for number in one.parameters["vcpus"]:
        axis = Axis(f"{number} out", OPERATIONS)
        rows += axis.rows(one, {f"{number} running": {"vcpus": number}}, cpus=_room(one, number))
    return rows


def idle(records: Records | None = None) -> list[Row]:
    """Return each operation's time beside vCPUs that are out of KVM_RUN, against none at all."""
    found = recorded() if records is None else records
    one = found.get("cost-vcpus")
    if one is None:
        return []
    contenders = {f"{number} out": {"vcpus": number} for number in one.parameters["vcpus"]}
    return list(Axis("0 out", OPERATIONS).rows(one, contenders))


def _room(one: Shown, vcpus: int) -> str:
    """Return whether vCPUs had CPUs of their own, beside the updater's."""
    left = one.record.provenance.host["cpus"] - 1
    return "a CPU each" if vcpus <= left else "more vCPUs than CPUs"


def by_pause(records: Records | None = None) -> list[Row]:
    """Return how long pausing, updating and resuming take, against the plain update."""
    found = recorded() if records is None else records
    one = found.get("cost-pause")
    if one is None:
        return []
    rows = []
    for vcpus in one.parameters["vcpus"]:
        plain = one.record.samples[f"{vcpus} plain"]["ns"]
        paused = one.record.samples[f"{vcpus} paused"]
        for part in ("kick", "update", "resume", "ns", "out"):
            columns = {"vcpus": vcpus, "part": _PARTS[part], "cpus": _room(one, vcpus)}
            us = microseconds(paused[part])
            rows.append({**columns, **spread(ratios(paused[part], plain)), "us": us})
    return rows


#: The parts of a paused update in words; the last two are no parts of the updater's time.
_PARTS = {
    "kick": "until all are out",
    "update": "delete and create",
    "resume": "let them go",
    "ns": "all of it",
    "out": "a vCPU out",
}
STACKED = tuple(_PARTS.values())[:3]


def by_neighbour(records: Records | None = None) -> list[Row]:
    """Return what a vCPU gets done while another slot is updated, against the slot left alone.

    ``lost_us`` is the vCPU's own time that one update costs it.
    """
    found = recorded() if records is None else records
    one = found.get("cost-neighbour")
    if one is None:
        return []
    rows = []
    for name, taken in one.record.samples.items():
        update, interval, pages, zap = name.split()
        if update != "none":
            rates = loss_rates(one.record.samples, name)
            lost = [
                (1 - rate) * ran / updates / 1000
                for rate, ran, updates in zip(rates, taken["cpu_ns"], taken["updates"], strict=True)
            ]
            columns = {"update": update, "every_us": int(interval), "pages": int(pages)}
            faults = sum(taken["faults"]) / sum(taken["updates"])
            cost = Spread.of(lost)
            told = {"zap": f"zaps {zap}", "lost_us": cost.median, "faults": faults}
            told |= {"lost_low_us": cost.low, "lost_high_us": cost.high}
            rows.append({**columns, **told, **spread(rates)})
    return rows


def by_wholesale(records: Records | None = None) -> list[Row]:
    """Return how long replacing all slots takes, against replacing one of them."""
    found = recorded() if records is None else records
    one = found.get("cost-wholesale")
    if one is None:
        return []
    samples = one.record.samples
    rows = []
    for slots in one.parameters["counts"]:
        taken, delta = samples[f"{slots} all"]["ns"], samples[f"{slots} one"]["ns"]
        rows.append({"slots": slots, "us": microseconds(taken), **spread(ratios(taken, delta))})
    return rows
