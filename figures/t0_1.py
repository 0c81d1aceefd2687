"""T0.1: what a vCPU meets between DELETE and CREATE, on the simulator and on the recorded host."""

from __future__ import annotations

from collections.abc import Sequence

from memslotlib import litmus
from memslotlib.abi import SimVm
from memslotlib.abi.policy import HostPolicy
from memslotlib.interface import Context
from memslotlib.litmus_host import Method
from memslotlib.verdict import Verdict
from memslotlib.views.tables import Table

from .records import Shown, shown

#: The boundary at which the slot is deleted and not yet created.
_WINDOW = 1


def table(records: Sequence[Shown] | None = None) -> Table:
    """Return one row for each access and guest context."""
    records = shown("q0.jsonl") if records is None else records
    measured = {
        (one.record.experiment, one.parameters["context"]): one
        for one in records
        if (one.parameters["method"], one.parameters["api"]) == (Method.RENDEZVOUS.value, "today")
    }
    rows = [
        _row(test, context, measured.get((test.name, context.value)))
        for test in litmus.TESTS.values()
        for context in Context
    ]
    return Table(("Access", "Guest", "Upstream, simulated", "Kernel", "Verdict"), rows)


def _row(test: litmus.Litmus, context: Context, found: Shown | None) -> tuple[object, ...]:
    upstream = predicted(test, context, HostPolicy())
    if found is None:
        return test.access.value, context.value, upstream, "", Verdict.not_run("no record")
    guest = context.value + ("*" if found.native else "")
    return test.access.value, guest, upstream, ", ".join(found.run.exits), found.verdict


def predicted(test: litmus.Litmus, context: Context, policy: HostPolicy) -> str:
    """Return the exit that the simulator predicts inside the window."""
    runner = litmus.BoundaryRunner(lambda: SimVm(policy=policy))
    return runner.outcomes(test, "today", context)[_WINDOW].exit.reason
