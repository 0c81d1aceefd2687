"""A trace as a picture: a lane for each actor, a row for each micro-step, time goes down.

A static SVG without scripts and without fonts of its own. It brings its background along, so that
it can be read on a light page and on a dark one. All text is set in the reader's monospaced font,
whose width is known, and a cell is cut off at its edge: whatever font that is, nothing overlaps.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ..check import Trace
from ..check.events import Event, events
from ..check.trace import TraceStep
from .charts import PALETTE
from .words import acting, changes, counted, fitted, headline, place, wrapped, wrapped_change

#: What all lanes together may take before their text is wrapped, in characters.
ROOM_COLUMNS = 92
_NARROWEST = 14
#: A cell with more lines than this is cut; its title has the rest.
_CELL_LINES = 12
#: Up to here a message widens the last lane; a longer one goes over the lanes at its left.
_MESSAGE = 36

_CHAR, _LINE, _FONT = 7.25, 16, 12
_PAD, _BAR, _BAND, _BAND_STEP = 16, 14, 16, 22
_ROW_GAP = 8

#: Class, attribute, and its value on a light page and on a dark one.
_COLOURS = (
    ("card", "fill", "#ffffff", "#15191e"),
    ("card", "stroke", "#d5d9de", "#3a424c"),
    ("ink", "fill", "#1b1f24", "#e6eaef"),
    ("muted", "fill", "#545b64", "#aab4bf"),
    ("bad", "fill", "#a1260d", "#ff9c85"),
    ("shown", "fill", "#0b6b3a", "#6fd39b"),
    ("bad-row", "fill", "#fdeae6", "#41201a"),
    ("shown-row", "fill", "#e7f4ec", "#17352a"),
    ("rule", "stroke", "#d5d9de", "#3a424c"),
    ("switch", "stroke", "#8a929b", "#7f8994"),
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Svg:
    """A picture and the same in words, for readers who do not see it."""

    svg: str
    text: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": self.text}


@dataclass(frozen=True)
class _Text:
    """A line of text in a cell: how many columns it is indented, and its class."""

    indent: int
    text: str
    look: str = "ink"
    is_bold: bool = False


@dataclass(frozen=True)
class _Row:
    """A micro-step with its place: ``y`` and ``height`` include what it breaks."""

    number: int
    step: TraceStep
    lane: int
    cell: tuple[_Text, ...]
    told: tuple[Event, ...]
    banner: tuple[_Text, ...]
    y: float
    height: float

    @property
    def middle(self) -> float:
        """Where the step happens: the middle of its first line."""
        return self.y + _LINE / 2


@dataclass(frozen=True)
class _Lane:
    actor: str
    x: float
    columns: int
    colour: str

    @property
    def width(self) -> float:
        """The width of the text in it."""
        return self.columns * _CHAR + 2

    @property
    def text_x(self) -> float:
        """Where text begins."""
        return self.x + _BAR


def swim_lanes(trace: Trace) -> Svg:
    """Return the picture of a trace: each step's label, and only the words that it changes.

    A step that breaks a property, or shows one, is marked by a tinted row and in words. Intervals
    that the model declares are bands at the left, from the step that switches them on to the one
    that switches them off. What is cut for want of room is in the title of its row.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import increment
    >>> picture = swim_lanes(explore(increment()).trace())
    >>> picture.svg[:5], picture.text.splitlines()[0]
    ('<svg ', 'increment: no lost update is broken after 4 steps')
    """
    return Svg(_Picture(trace).svg(), _told(trace))


def _told(trace: Trace) -> str:
    """Return everything that the picture shows, as text."""
    lines = [headline(trace), *trace.lines]
    last = len(trace)
    for name, on in trace.intervals.items():
        stretches = ", ".join(
            f"{'from the beginning' if a == 0 else f'from step {a}'}"
            f"{' on' if b > last else f' to step {b}'}"
            for a, b in _stretches(on)
        )
        lines.append(f"{name}: {stretches or 'at no time'}")
    for event in events(trace):
        if event.step == 0 or (event.name, event.message) not in trace.steps[event.step - 1].failed:
            lines.append(f"{f'step {event.step}' if event.step else 'initially'}: {event.text}")
    return "\n".join([*lines, f"replay {trace.replay}"])


def _stretches(on: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Return the stretches in which an interval is on, as half-open ranges of states.

    >>> list(_stretches([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    begin = -1
    for number, is_on in enumerate([*on, False]):
        if is_on and begin < 0:
            begin = number
        elif not is_on and begin >= 0:
            yield begin, number
            begin = -1


class _Picture:
    """Lays a trace out, then draws it."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.actors = acting(trace) or trace.actors[:1]
        # Bands take up the colours where the lanes leave off: they say different things.
        first = len(self.actors)
        self.letters = [
            (string.ascii_uppercase[n] if n < 26 else str(n + 1), name, on, _colour(first + n))
            for n, (name, on) in enumerate(trace.intervals.items())
        ]
        self.told: dict[int, list[Event]] = {}
        for event in events(trace):
            self.told.setdefault(event.step, []).append(event)
        gutter = len(self.letters) * _BAND_STEP + (4 if self.letters else 0)
        self.number_x = _PAD + 6 + gutter + len(str(len(trace))) * _CHAR
        self.lanes = self._lanes(self.number_x + 14)
        self.right = self.lanes[-1].text_x + self.lanes[-1].width
        self.columns = int((self.right - _PAD) // _CHAR)
        self.title = wrapped(headline(trace), self.columns)
        self.key = [line for one in self.letters for line in self._key_lines(*one[:3])]
        self.head_y = _PAD + (len(self.title) + len(self.key)) * _LINE + _ROW_GAP
        self.top = self.head_y + _LINE + 2 * _ROW_GAP
        self.rows = self._rows()
        self.bottom = self.rows[-1].y + self.rows[-1].height if self.rows else self.top
        self.notes = self._notes()
        self.height = self.bottom + 4 + len(self.notes) * _LINE + _PAD

    def _lanes(self, x: float) -> list[_Lane]:
        widths = [max(len(actor), _NARROWEST) for actor in self.actors]
        for step in self.trace.steps:
            lane = self.actors.index(step.actor)
            widths[lane] = max(widths[lane], len(step.label), *map(len, changes(step, "")), 0)
        widths = fitted(widths, ROOM_COLUMNS, _NARROWEST)
        for number, told in self.told.items():
            if number and self.trace.steps[number - 1].actor == self.actors[-1]:
                widths[-1] = max(widths[-1], *(min(len(one.text), _MESSAGE) for one in told))
        # A picture of one narrow lane would leave no room for its own title.
        widths[-1] += max(0, 3 * _NARROWEST - sum(widths))
        lanes = []
        for number, (actor, width) in enumerate(zip(self.actors, widths, strict=True)):
            lanes.append(_Lane(actor, x, width, _colour(number)))
            x = lanes[-1].text_x + lanes[-1].width + 10
        return lanes

    def _key_lines(self, letter: str, name: str, on: Sequence[bool]) -> list[_Text]:
        said = f"{letter}  {name}" + ("" if any(on) else " (at no time)")
        return [_Text(0, line, "muted") for line in wrapped(said, self.columns, "   ")]

    def _rows(self) -> list[_Row]:
        rows, y = [], self.top
        for number, step in enumerate(self.trace.steps, 1):
            lane = self.actors.index(step.actor)
            cell = _cell(step, self.lanes[lane].columns)
            told = tuple(self.told.get(number, ()))
            banner = tuple(line for event in told for line in self._banner(event))
            height = (len(cell) + len(banner)) * _LINE + _ROW_GAP
            rows.append(_Row(number, step, lane, cell, told, banner, y, height))
            y += height
        return rows

    def _banner(self, event: Event) -> list[_Text]:
        columns = int((self.right - self.lanes[0].text_x) // _CHAR)
        look = "bad" if event.is_bad else "shown"
        return [_Text(0, line, look, True) for line in wrapped(event.text, columns, "  ")]

    def _notes(self) -> list[str]:
        notes = [f"{event.text} in the initial state" for event in self.told.get(0, ())]
        idle = [actor for actor in self.trace.actors if actor not in self.actors]
        if idle:
            steps = f"no step of {', '.join(idle)}"
            notes.append(steps if self.rows else "no step at all")
        return [line for note in notes for line in wrapped(note, self.columns)]

    # Drawing, from the back to the front.

    def svg(self) -> str:
        """Return the picture."""
        width, height = round(self.right + _PAD), round(self.height)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="memslots-lanes" role="img" '
            f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'style="max-width:100%;height:auto" font-size="{_FONT}" '
            f"font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\">",
            f"<title>{_xml(headline(self.trace))}</title>",
            f"<desc>{_xml(_told(self.trace))}</desc>",
            f"<style>{_dark()}</style>",
            f'<rect {_look("card")} x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" '
            f'rx="4"/>',
            *self._head(),
            *self._lifelines(),
            *self._tints(),
            *self._bands(),
            *self._switches(),
            *(self._row(row) for row in self.rows),
            *self._foot(),
            "</svg>",
        ]
        return "\n".join(parts)

    def _head(self) -> Iterator[str]:
        y: float = _PAD
        for line in self.title:
            yield _text(_PAD, y, _Text(0, line, "ink", True))
            y += _LINE
        for text in self.key:
            yield _text(_PAD, y, text)
            y += _LINE
        for number, (letter, *_) in enumerate(self.letters):
            yield _text(self._band_x(number) + 4, self.head_y, _Text(0, letter, "muted"))
        for lane in self.lanes:
            name = _Text(0, _cut(lane.actor, lane.columns), "ink", True)
            yield (
                f'<g><title>{_xml(lane.actor)}</title><rect x="{lane.x:g}" y="{self.head_y:g}" '
                f'width="6" height="{_LINE}" fill="{lane.colour}"/>'
                f"{_text(lane.text_x, self.head_y, name)}</g>"
            )

    def _tints(self) -> Iterator[str]:
        for row in self.rows:
            if row.told:
                look = "bad" if any(event.is_bad for event in row.told) else "shown"
                left = self._band_x(len(self.letters)) - 4
                y, height = row.y - _ROW_GAP / 2, row.height
                yield (
                    f'<rect {_look(f"{look}-row")} x="{left:g}" y="{y:g}" '
                    f'width="{self.right + 4 - left:g}" height="{height:g}"/>'
                    f'<rect {_look(look)} x="{left:g}" y="{y:g}" width="3" height="{height:g}"/>'
                )

    def _bands(self) -> Iterator[str]:
        begins = [self.top - _ROW_GAP, *(row.middle for row in self.rows)]
        begins.append(self.bottom - _ROW_GAP / 2)
        for number, (letter, name, on, colour) in enumerate(self.letters):
            x = self._band_x(number)
            for begin, end in _stretches(on):
                y, height = begins[begin], begins[end] - begins[begin]
                middle = y + height / 2
                long = len(name) * _CHAR + _LINE < height
                said = name if long else letter if height >= _LINE else ""
                turn = f' transform="rotate(-90 {x + _BAND / 2:g} {middle:g})"' if long else ""
                yield (
                    f"<g><title>{_xml(name)}</title>"
                    f'<rect x="{x:g}" y="{y:g}" width="{_BAND}" height="{height:g}" '
                    f'fill="{colour}" fill-opacity="0.28" stroke="{colour}"/>'
                    f'<text {_look("ink")} x="{x + _BAND / 2:g}" y="{middle + 4:g}" '
                    f'text-anchor="middle"{turn}>{_xml(said)}</text></g>'
                )

    def _lifelines(self) -> Iterator[str]:
        for lane in self.lanes:
            x, y = lane.x + 3, self.head_y + _LINE
            yield (
                f'<path {_look("rule")} d="M{x:g} {y:g}V{self.bottom - _ROW_GAP / 2:g}" '
                f'fill="none"/>'
            )

    def _switches(self) -> Iterator[str]:
        for before, row in zip(self.rows, self.rows[1:], strict=False):
            if before.lane != row.lane:
                x, to = self.lanes[before.lane].x + 3, self.lanes[row.lane].x + 3
                y = row.y - _ROW_GAP / 2
                yield (
                    f'<path {_look("switch")} d="M{x:g} {y:g}H{to:g}" fill="none" '
                    f'stroke-dasharray="2 2"/>'
                )

    def _row(self, row: _Row) -> str:
        lane = self.lanes[row.lane]
        cell = "".join(
            _text(line.indent * _CHAR, n * _LINE, line) for n, line in enumerate(row.cell)
        )
        number = _Text(0, str(row.number), "muted")
        y = row.y + len(row.cell) * _LINE
        longest = max((len(line.text) for line in row.banner), default=0) * _CHAR
        # As near to the step as the line allows.
        x = max(self.lanes[0].text_x, min(lane.text_x, self.right - longest))
        banner = "".join(
            _text(x + line.indent * _CHAR, y + n * _LINE, line) for n, line in enumerate(row.banner)
        )
        bar = row.height
        if x < lane.text_x:
            bar = len(row.cell) * _LINE + _ROW_GAP / 2
        return (
            f"<g><title>{_xml(_hint(row))}</title>"
            f'<rect x="{_PAD}" y="{row.y - _ROW_GAP / 2:g}" width="{self.right - _PAD:g}" '
            f'height="{row.height:g}" fill="none" pointer-events="all"/>'
            f'<rect x="{lane.x:g}" y="{row.y - _ROW_GAP / 2:g}" width="6" '
            f'height="{bar:g}" fill="{lane.colour}"/>'
            f"{_text(self.number_x, row.y, number, 'end')}"
            f'<svg x="{lane.text_x:g}" y="{row.y:g}" width="{lane.width:g}" '
            f'height="{len(row.cell) * _LINE}">{cell}</svg>{banner}</g>'
        )

    def _foot(self) -> Iterator[str]:
        for number, note in enumerate(self.notes):
            look = "bad" if note.startswith("BREAKS") else "muted"
            yield _text(_PAD, self.bottom + 4 + number * _LINE, _Text(0, note, look))

    def _band_x(self, number: int) -> float:
        return _PAD + number * _BAND_STEP


def _cell(step: TraceStep, columns: int) -> tuple[_Text, ...]:
    """Return the lines of a step, cut if they are too many."""
    lines = [_Text(0, line, "ink", True) for line in wrapped(step.label, columns, "  ")]
    for change in changes(step, ""):
        lines += [_Text(0, line) for line in wrapped_change(change, columns)]
    lines = lines or [_Text(0, "(no label)", "muted")]
    if len(lines) > _CELL_LINES:
        rest = counted(len(lines) - _CELL_LINES + 1, "more line")
        lines = [*lines[: _CELL_LINES - 1], _Text(0, _cut(f"... {rest}", columns), "muted")]
    # Blanks at the beginning of a line would be lost in a picture.
    return tuple(
        _Text(len(one.text) - len(one.text.lstrip()), one.text.strip(), one.look, one.is_bold)
        for one in lines
    )


def _hint(row: _Row) -> str:
    """Return everything that a row says, with its line of source."""
    step = row.step
    lines = [f"step {row.number}, {step.actor}: {step.label}", *changes(step, "")]
    lines += [event.text for event in row.told]
    if step.where:
        lines.append(f"{place(step.where)}: {step.text}")
    return "\n".join(lines)


def _cut(text: str, columns: int) -> str:
    """Return a text of at most so many columns.

    >>> _cut("updater", 7), _cut("updater", 5)
    ('updater', 'up...')
    """
    return text if len(text) <= columns else f"{text[: columns - 3]}..."


def _text(x: float, y: float, text: _Text, anchor: str = "") -> str:
    bold = ' font-weight="600"' if text.is_bold else ""
    end = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text {_look(text.look)} x="{x:g}" y="{y + 12:g}"{bold}{end}>{_xml(text.text)}</text>'


def _colour(number: int) -> str:
    """Return a colour of the palette; its black could not be seen on a dark page."""
    return PALETTE[number % (len(PALETTE) - 1)]


def _look(name: str) -> str:
    """Return class and colours of a light page; a style cannot be relied on everywhere."""
    colours = " ".join(f'{attribute}="{light}"' for n, attribute, light, _ in _COLOURS if n == name)
    return f'class="{name}" {colours}'


def _dark() -> str:
    """Return the style for readers who prefer dark pages."""
    rules = "".join(f".memslots-lanes .{n}{{{a}:{dark}}}" for n, a, _, dark in _COLOURS)
    return f"@media (prefers-color-scheme:dark){{{rules}}}"


def _xml(text: str) -> str:
    return escape(_UNPRINTABLE.sub("\ufffd", text), quote=True)
