"""What an exploration found, and what a trace tells, as tables."""

from __future__ import annotations

from pathlib import PurePath

from ..check import Result, Trace, first_difference, why
from .tables import Cell, Table
from .words import counted, headline, place


def result_table(result: Result) -> Table:
    """Return a row for each property: its sort, verdict, when its first event comes, how many.

    An event is what the property is about: a violation, or for ``sometimes`` that it comes true.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import increment
    >>> print(result_table(explore(increment())))
    increment: 8 states, 10 generated, depth 5; every interleaving, up to
    permutations of thread
    <BLANKLINE>
    property        sort         verdict   first after  events
    --------------  -----------  --------  -----------  ------
    no lost update  never        VIOLATED      4 steps       1
    both added      sometimes    HOLDS         4 steps       1
    no deadlock     no deadlock  HOLDS                       0
    """
    rows = [
        (
            name,
            one.about.sort.value,
            one.verdict,
            Cell(counted(one.after_steps, "step") if one.after_steps >= 0 else "", "number"),
            one.hits,
        )
        for name, one in result.verdicts.items()
    ]
    kind = "sampled" if result.samples else "generated"
    counts = f"{counted(result.states, 'state')}, {result.generated:,} {kind}, depth {result.depth}"
    columns = ("property", "sort", "verdict", "first after", "events")
    return Table(columns, rows, f"{result.model}: {counts}; {result.bound}")


def coverage_table(result: Result) -> Table:
    """Return the lines of the actors that no path ran; one row that says so when there are none."""
    lines = sum(map(len, result.coverage.values()))
    uncovered = list(result.uncovered)
    names = _short_names([file for file, _ in uncovered])
    rows = [(f"{names[file]}:{line.number}", line.text.strip()) for file, line in uncovered]
    caption = f"{result.model}: {len(uncovered):,} of {counted(lines, 'line')} never ran"
    nothing = [("none", "every line of the actors ran")]
    return Table(("line", "source"), rows or nothing, caption)


def footprint_table(result: Result) -> Table:
    """Return what each micro-step may read and write, over all its paths, by where it begins."""
    rows = [
        (
            one.actor,
            place(one.where),
            ", ".join(one.labels) or one.text,
            _listed(one.reads),
            _listed(one.writes),
        )
        for one in result.footprints
    ]
    columns = ("actor", "line", "step", "may read", "may write")
    return Table(columns, rows, f"{result.model}: what each micro-step may touch")


def why_table(trace: Trace, step: int = 0) -> Table:
    """Return who wrote last what a step read: the last step of all, by default.

    Raises CheckError when the trace has no such step.
    """
    number = step or len(trace)
    found = why(trace, number)
    one = trace.steps[number - 1]
    rows = [
        (name, str(one.reads[name]), f"step {by}" if by else "", line)
        for name, (by, line) in found.items()
    ]
    caption = f"Step {number}, {one.actor}: {one.label}: what it read, and who wrote that last"
    nothing = [("", "", "", "it reads nothing that is shared")]
    return Table(("read", "value", "written by", "which was"), rows or nothing, caption)


def diff_table(one: Trace, other: Trace) -> Table:
    """Return two runs side by side, up to and including the first step in which they part.

    Where they are the same, that is the last row and the caption says so.
    """
    found = first_difference(one, other)
    part = found[0] if found else 0
    common = one.steps[: part - 1] if found else one.steps
    rows: list[tuple[object, ...]] = [(n, s.line, "the same") for n, s in enumerate(common, 1)]
    if found:
        rows.append(found)
        caption = f"The runs part at step {part}"
    else:
        caption = f"The runs are the same: {counted(len(one), 'step')}"
    return Table(("step", headline(one), headline(other)), rows, caption)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"


def _short_names(files: list[str]) -> dict[str, str]:
    """Return each file's name, with as many folders as tell it from the others.

    >>> _short_names(["/a/b/m.py", "/a/c/m.py", "/a/n.py"])
    {'/a/b/m.py': 'b/m.py', '/a/c/m.py': 'c/m.py', '/a/n.py': 'n.py'}
    """
    found = {}
    for file in files:
        parts = PurePath(file).parts
        others = [PurePath(other).parts for other in files if other != file]
        count = 1
        while any(other[-count:] == parts[-count:] for other in others) and count < len(parts):
            count += 1
        found[file] = "/".join(parts[-count:])
    return found
