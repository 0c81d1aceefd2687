"""The records behind the figures: the newest of each experiment, and whether it is stale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memslotlib.abi.policy import HostPolicy
from memslotlib.evidence import DATA, Record, read
from memslotlib.experiment import Experiment
from memslotlib.experiments import experiments, host_label, recall
from memslotlib.interface import Context
from memslotlib.litmus import Run
from memslotlib.provenance import code_digest
from memslotlib.verdict import Verdict
from memslotlib.views.tables import Cell, Table


@dataclass(frozen=True)
class Shown:
    """A record as a page shows it: with the experiment that made it, and whether it is stale."""

    experiment: Experiment
    record: Record
    stale: bool

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the experiment was run with."""
        return self.record.parameters

    @property
    def run(self) -> Run:
        """The litmus run that the record holds."""
        return recall(self.record)

    @property
    def verdict(self) -> Cell:
        """The run's verdict as tables show it, a stale one marked."""
        cell = Cell.of(self.run.verdict)
        return Cell(f"{cell.text} (stale)", f"{cell.kind} stale") if self.stale else cell

    @property
    def native(self) -> bool:
        """Whether the recorded host ran this guest on the processor, not by interpreting it."""
        policy = HostPolicy.of(self.record.provenance.host["module"])
        return Context(self.parameters["context"]) in policy.native_contexts


def shown(file: str, folder: Path = DATA) -> list[Shown]:
    """Return the newest record of each experiment of ``file``, in the order of the experiments.

    An experiment that was never recorded is absent. A record is stale when the code that it
    depends on has changed since.
    """
    newest: dict[tuple[str, str], Record] = {}
    for record in read(folder / file):
        newest[_key(record.experiment, record.parameters)] = record
    found = []
    for experiment in experiments():
        made = newest.get(_key(experiment.name, experiment.parameters))
        if experiment.file == file and made is not None:
            stale = made.is_stale(code_digest(*experiment.code))
            found.append(Shown(experiment, made, stale))
    return found


def source_line(records: Sequence[Shown]) -> str:
    """Return where the numbers of a figure come from: host, commit, date, and what is stale.

    Without records it says NOT RUN, and how to record them.
    """
    if not records:
        return "NOT RUN: nothing is recorded yet. `make evidence` records it on your host."
    hosts = sorted({host_label(one.record) for one in records})
    commits = sorted({one.record.provenance.commit for one in records})
    days = sorted({one.record.provenance.date[:10] for one in records})
    stale = sum(one.stale for one in records)
    line = f"Recorded {_span(days)} on {'; '.join(hosts)}, commit {_span(commits)}."
    if stale:
        line += f" STALE: the code of {stale} of {len(records)} records has changed since."
    return f"{line} To run it again: `make evidence`."


def recorded_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table of records; without any it says NOT RUN, never just nothing."""
    if rows:
        return Table(columns, rows)
    return Table(("Verdict", "Why"), [(Verdict.not_run("no record"), "nothing is recorded yet")])


def _span(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _key(name: str, parameters: Mapping[str, Any]) -> tuple[str, str]:
    return name, repr(sorted(parameters.items()))
