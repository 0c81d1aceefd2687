"""The experiments that hold the simulator and this host's kernel against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .experiment import Experiment, Measured

CONFORMANCE_CALLS = 100_000
CONFORMANCE_SEED = 1979276


def cases() -> Experiment:
    """Return the experiment that puts the table of cases to this host."""
    code = (
        "memslotlib.conformance.table",
        "memslotlib.conformance.hostpolicy",
        "memslotlib.host.vm",
    )
    return Experiment("cases", {}, "conformance.jsonl", code, measure_cases, ("a1.s1",), True)


def measure_cases(parameters: Mapping[str, Any]) -> Measured:
    """Run the table of cases on this host's kernel; NotRunError when there is none."""
    from .conformance.hostpolicy import this_host
    from .conformance.table import run_cases
    from .host import KvmVm, require

    require()
    rows = list(run_cases(KvmVm, this_host().policy))
    answers = {row.case.name: str(row.answer) for row in rows if row.answer is not None}
    differ = [row.case.name for row in rows if not row.agrees]
    return Measured(
        {"cases": len(rows), "run": len(answers), "differ": differ}, {"answers": answers}
    )


def conformance() -> Experiment:
    """Return the experiment that puts random calls to the simulator and to this host."""
    parameters = {"calls": CONFORMANCE_CALLS, "seed": CONFORMANCE_SEED}
    code = (
        "memslotlib.conformance.generate",
        "memslotlib.conformance.hostpolicy",
        "memslotlib.abi.vm",
        "memslotlib.host.vm",
    )
    return Experiment(
        "conformance",
        parameters,
        "conformance.jsonl",
        code,
        measure_conformance,
        shows=("a1.s4",),
        quick=True,
    )


def measure_conformance(parameters: Mapping[str, Any]) -> Measured:
    """Ask the simulator and this host's kernel the same random calls.

    Raises MismatchError at the first difference: there is no record of a run that found one.
    """
    from .conformance.generate import random_run
    from .conformance.hostpolicy import this_host
    from .host import KvmVm, require

    require()
    host = this_host()
    coverage = random_run(
        host.simulator,
        KvmVm,
        parameters["calls"],
        parameters["seed"],
        guest_memfd=host.policy.guest_memfd,
    )
    calls = coverage.pop("calls")
    return Measured({"calls": calls, "mismatches": 0}, {"coverage": dict(sorted(coverage.items()))})
