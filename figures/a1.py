"""Appendix A1: every rule of the simulated ioctls, the simulator's answer and the kernel's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memslotlib.abi import SimVm
from memslotlib.abi.rule import Rule
from memslotlib.abi.rules import RULES, rule
from memslotlib.conformance.cases import Refused
from memslotlib.conformance.table import CASES, run_cases
from memslotlib.conformance_experiments import measure_cases
from memslotlib.errors import NotRunError
from memslotlib.experiments import host_label
from memslotlib.host.describe import describe
from memslotlib.views.prose import Said, say
from memslotlib.views.tables import Cell, Table

from .records import Shown, shown

FILE = "conformance.jsonl"


@dataclass(frozen=True)
class Answers:
    """What one VM made of the table of cases: its answer by case, and who it was."""

    by_case: Mapping[str, str]
    who: str


@dataclass(frozen=True)
class Pair:
    """Two rules that one request broke: the later one, and what the attempt can show.

    ``telling``: the errnos differ, so the answer tells which rule refused. ``differs``: the kernel
    answered otherwise than the simulator.
    """

    later: str
    telling: bool
    differs: bool


def simulator() -> Answers:
    """Run the table on the simulator, upstream's policy."""
    rows = run_cases(SimVm)
    answers = {row.case.name: str(row.answer) for row in rows if row.answer is not None}
    return Answers(answers, "the simulator")


def kernel(records: Sequence[Shown] | None = None) -> Answers:
    """Run the table on this host's kernel, or return what is recorded of another one.

    Without a usable kernel and without a record every answer is missing, and ``who`` says why.
    """
    try:
        measured = measure_cases({})
    except NotRunError as error:
        records = shown(FILE) if records is None else records
        for one in records:
            if one.record.experiment == "cases":
                stale = ", stale" if one.stale else ""
                who = f"{host_label(one.record)} (recorded{stale}; NOT RUN here: {error})"
                return Answers(one.record.samples["answers"], who)
        return Answers({}, f"NOT RUN: {error}")
    return Answers(measured.samples["answers"], f"{describe().label} (this build)")


def summary(real: Answers) -> Said:
    """Return how many cases there are and how the kernel's answers compare."""
    ours = simulator().by_case
    same = sum(real.by_case.get(name) == answer for name, answer in ours.items())
    other = [name for name, answer in ours.items() if real.by_case.get(name, answer) != answer]
    return say(
        "The table has {cases:,} cases. Kernel: {who}. It answers {same:,} as the simulator does "
        "with upstream's policy; {other:,} differ{names}; {absent:,} were not run.",
        cases=len(ours),
        who=real.who,
        same=same,
        other=len(other),
        names=f" ({'; '.join(other)})" if other else "",
        absent=sum(name not in real.by_case for name in ours),
    )


def rules(real: Answers) -> Table:
    """Return one row a rule, in the order in which the kernel checks them."""
    ours = simulator().by_case
    alone: dict[str, str] = {}
    for case in CASES:
        if (
            case.about
            and isinstance(case.expected, Refused)
            and case.about == (case.expected.rule,)
        ):
            alone.setdefault(case.expected.rule, case.name)
    rows = [
        (
            number,
            each.id,
            f"{each.condition} (source only: {each.source_only})"
            if each.source_only
            else each.condition,
            each.errno_name,
            *_answers(each, alone.get(each.id, ""), ours, real.by_case),
            each.source,
        )
        for number, each in enumerate(RULES, 1)
    ]
    columns = ("", "Rule", "Refused when", "Errno", "Simulator", "Kernel", "Source")
    return Table(columns, rows)


def winners(real: Answers) -> Table:
    """Return, for each rule, the later rules that it was tried against, and who won."""
    ours = simulator().by_case
    tried: dict[str, list[Pair]] = {}
    for case in CASES:
        if len(case.about) == 2 and isinstance(case.expected, Refused):
            first, second = (rule(name) for name in case.about)
            differs = real.by_case.get(case.name, ours[case.name]) != ours[case.name]
            pair = Pair(second.id, first.errno != second.errno, differs)
            tried.setdefault(first.id, []).append(pair)
    rows = [
        (
            first,
            len(pairs),
            sum(pair.telling for pair in pairs),
            sum(pair.differs for pair in pairs),
            ", ".join(dict.fromkeys(pair.later for pair in pairs)),
        )
        for first, pairs in tried.items()
    ]
    columns = ("Rule", "Pairs", "Told apart by errno", "Kernel differs", "Checked before")
    return Table(columns, rows)


def differences(real: Answers) -> Table:
    """Return the cases that the kernel answers otherwise than upstream's policy says."""
    ours = simulator().by_case
    rows = [
        (case.name, ours[case.name], real.by_case[case.name], case.reason)
        for case in CASES
        if case.name in ours and real.by_case.get(case.name, ours[case.name]) != ours[case.name]
    ]
    return Table(("Case", "Upstream, simulated", "Kernel", "The case's reason"), rows)


def coverage(records: Sequence[Shown] | None = None) -> Table:
    """Return what the recorded random run asked, by method and outcome, and by rule."""
    records = shown(FILE) if records is None else records
    found = [one for one in records if one.record.experiment == "conformance"]
    counts: Mapping[str, int] = found[-1].record.samples["coverage"] if found else {}
    rows = [(name, count) for name, count in counts.items()]
    return Table(("Asked and answered", "Times"), rows)


def conformance(records: Sequence[Shown] | None = None) -> Said:
    """Return the recorded random run in a sentence."""
    records = shown(FILE) if records is None else records
    for one in records:
        if one.record.experiment == "conformance":
            counts = one.record.samples["coverage"]
            least = min((n, name) for name, n in counts.items() if name.startswith("rule "))
            return say(
                "{calls:,} random calls (seed {seed}) on {host}: {mismatches} mismatches{stale}. "
                "The rule met least often is {rule}, {times:,} times.",
                calls=one.record.result["calls"],
                seed=one.parameters["seed"],
                host=host_label(one.record),
                mismatches=one.record.result["mismatches"],
                stale=" (stale: the code has changed since)" if one.stale else "",
                rule=least[1].removeprefix("rule "),
                times=least[0],
            )
    return Said("NOT RUN: no random run is recorded.")


def _answers(
    rule: Rule, case: str, ours: Mapping[str, str], theirs: Mapping[str, str]
) -> tuple[object, object]:
    """Return what the simulator and the kernel answered to the case that breaks this rule alone."""
    if rule.source_only:
        return Cell("source only", "aside"), Cell("source only", "aside")
    if case not in theirs:
        return ours[case], Cell("NOT RUN", "verdict not-run")
    if ours[case] == theirs[case]:
        return ours[case], theirs[case]
    return ours[case], Cell(f"{theirs[case]} (differs)", "verdict violated")
