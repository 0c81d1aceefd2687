"""A trace as the kernel's documents draw one: a column for each CPU, and time goes down."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

from ..check import CheckError, Trace
from ..check.errors import nearest
from ..check.events import Event, events
from .tables import WIDTH_COLUMNS
from .words import acting, changes, fitted, headline, wrapped, wrapped_change

#: How many columns there are when nobody says which.
LANES = 3
#: More would leave less than a word's width to each.
LANES_MAX = 4
_GAP = "  "
_NARROWEST = 12
_MESSAGE = 30
_ARROW = "<-- "
_INDENT = "  "

Lanes = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Row:
    """One micro-step: its number, the lane that it is in, what it does, and what comes of it."""

    number: int
    lane: int
    label: str
    changes: tuple[str, ...]
    events: tuple[Event, ...]

    def lines(self, width: int) -> list[str]:
        """Return the cell's lines."""
        found = wrapped(self.label, width) or [""]
        for change in self.changes:
            found += [_INDENT + line for line in wrapped_change(change, width - len(_INDENT))]
        for event in self.events:
            found += wrapped(f"{_ARROW}{event.text}", width, " " * len(_ARROW))
        return found


@dataclass(frozen=True)
class CpuTable:
    """A column for each lane, a row for each micro-step; in text at most 72 columns wide.

    ``caption`` says what the run shows, ``replay`` is what it takes to run it again.
    """

    titles: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str
    replay: str

    @property
    def text(self) -> str:
        """The table as plain text, its caption first and the replay string last."""
        margin = max((len(str(row.number)) for row in self.rows), default=1)
        widths = self._widths(WIDTH_COLUMNS - margin)
        lines = [*wrapped(self.caption, WIDTH_COLUMNS), ""]
        titles = [wrapped(title, width) for title, width in zip(self.titles, widths, strict=True)]
        lines += _side_by_side("", margin, titles, widths)
        lines += _side_by_side("", margin, [["=" * width] for width in widths], widths)
        for row in self.rows:
            cells = [row.lines(width) if row.lane == n else [] for n, width in enumerate(widths)]
            lines += _side_by_side(str(row.number), margin, cells, widths)
        lines += ["", *wrapped(f"replay {self.replay}", WIDTH_COLUMNS, "       ")]
        return "\n".join(line.rstrip() for line in lines)

    @property
    def html(self) -> str:
        """The table as HTML, for a page whose style knows ``table.memslots``."""
        heads = "".join(f'<th scope="col">{escape(title)}</th>' for title in self.titles)
        body = "".join(map(self._tr, self.rows))
        # A wide table scrolls inside its box; focusable, so that a keyboard can scroll it too.
        return (
            f'<div class="memslots-table" tabindex="0" role="region" '
            f'aria-label="{escape(self.caption)}">'
            f'<table class="memslots"><caption>{escape(self.caption)}</caption>'
            f'<thead><tr><th scope="col">step</th>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    def _tr(self, row: Row) -> str:
        lines = [escape(row.label)]
        lines += [f"<code>{escape(change)}</code>" for change in row.changes]
        for event in row.events:
            kind = "violated" if event.is_bad else "holds"
            lines.append(
                f'<strong class="verdict {kind}">{escape(f"{_ARROW}{event.text}")}</strong>'
            )
        cells = ["<td></td>"] * len(self.titles)
        cells[row.lane] = f"<td>{'<br>'.join(lines)}</td>"
        return f'<tr><th scope="row">{row.number}</th>{"".join(cells)}</tr>'

    def _widths(self, room: int) -> list[int]:
        room -= len(_GAP) * len(self.titles)
        widths = [max(1, len(title)) for title in self.titles]
        for row in self.rows:
            lines = replace(row, events=()).lines(room)
            widths[row.lane] = max(widths[row.lane], *map(len, lines))
        widths = fitted(widths, room, _NARROWEST)
        # Messages get what the steps leave: they are prose, which may wrap.
        for row in self.rows:
            longest = min(
                _MESSAGE, max((len(one.text) for one in row.events), default=0) + len(_ARROW)
            )
            widths[row.lane] += max(0, min(longest - widths[row.lane], room - sum(widths)))
        return widths


def cpu_table(trace: Trace, lanes: Lanes | None = None) -> CpuTable:
    """Return a trace as a table with a column for each lane.

    ``lanes`` maps a lane's title to the names of the actors that it shows. Without it there is one
    for each actor that takes a step; if these are more than three, one for actors that are called
    alike (vcpu0 and vcpu1: vcpu); and if those are still more, what does least goes together into
    the last. Where a lane shows several actors, each step names its own.

    Raises CheckError for more than four lanes, an actor that the model has not, that two lanes
    show, or that takes a step and no lane shows.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import increment
    >>> trace = explore(increment()).trace()
    >>> print(cpu_table(trace))  # doctest: +ELLIPSIS
    increment: no lost update is broken after 4 steps
    <BLANKLINE>
       add_one0                        add_one1
       ==============================  =================
    1  load
    2                                  load
    3                                  store
                                         counter: 0 -> 1
                                         done: 0 -> 1
    4  store
         done: 1 -> 2
       <-- BREAKS no lost update: 2
           threads are done, the
           counter is 1
    <BLANKLINE>
    replay ...:0,1*2,0
    >>> cpu_table(trace, {"CPU 0": ["add_one0"]})
    Traceback (most recent call last):
    memslotlib.check.errors.CheckError: no lane shows add_one1, which takes steps
    """
    chosen = _grouped(trace) if lanes is None else _checked(trace, lanes)
    lane_of = {actor: n for n, actors in enumerate(chosen.values()) for actor in actors}
    is_shared = [len(actors) > 1 for actors in chosen.values()]
    told: dict[int, list[Event]] = {}
    for event in events(trace):
        told.setdefault(event.step, []).append(event)
    rows = []
    for number, step in enumerate(trace.steps, 1):
        lane = lane_of[step.actor]
        label = f"{step.actor}: {step.label}" if is_shared[lane] else step.label
        rows.append(Row(number, lane, label, changes(step), tuple(told.get(number, ()))))
    return CpuTable(tuple(chosen), tuple(rows), headline(trace), trace.replay)


def _grouped(trace: Trace) -> dict[str, list[str]]:
    actors = acting(trace) or trace.actors[:1]
    if len(actors) <= LANES:
        return {actor: [actor] for actor in actors}
    groups: dict[str, list[str]] = {}
    for actor in actors:
        groups.setdefault(re.sub(r"[\W_]*\d+$", "", actor) or actor, []).append(actor)
    # The name of one actor says more than that of its kind.
    groups = {one[0] if len(one) == 1 else base: one for base, one in groups.items()}
    if len(groups) <= LANES:
        return groups
    steps = {base: sum(step.actor in one for step in trace.steps) for base, one in groups.items()}
    busy = sorted(groups, key=steps.__getitem__, reverse=True)[: LANES - 1]
    kept = {base: one for base, one in groups.items() if base in busy}
    others = [base for base in groups if base not in busy]
    return {**kept, ", ".join(others): [actor for base in others for actor in groups[base]]}


def _checked(trace: Trace, lanes: Lanes) -> Lanes:
    if not 1 <= len(lanes) <= LANES_MAX:
        raise CheckError(f"{len(lanes)} lanes: a table has 1 to {LANES_MAX}")
    shown = [actor for actors in lanes.values() for actor in actors]
    for actor in shown:
        if actor not in trace.actors:
            raise CheckError(f"no actor {actor!r}: {nearest(actor, trace.actors)}")
        if shown.count(actor) > 1:
            raise CheckError(f"two lanes show {actor}")
    hidden = [actor for actor in acting(trace) if actor not in shown]
    if hidden:
        raise CheckError(f"no lane shows {', '.join(hidden)}, which takes steps")
    return lanes


def _side_by_side(
    number: str, margin: int, cells: Sequence[list[str]], widths: Sequence[int]
) -> Iterator[str]:
    for line in range(max(1, *map(len, cells))):
        parts = [(number if line == 0 else "").rjust(margin)]
        for cell, width in zip(cells, widths, strict=True):
            parts.append((cell[line] if line < len(cell) else "").ljust(width))
        yield _GAP.join(parts)
