"""Walking through one trace in a notebook: the state at each point, and what else could run there.

In a page of the book, and without ipywidgets, there is the picture of the trace and its table
instead: a page has nobody to answer its slider.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from ..check import CheckError, Trace
from ..check.events import events
from ..check.walk import Walk
from .cpu_table import cpu_table
from .lanes import swim_lanes
from .tables import Table
from .words import changes, headline, place


@dataclass(frozen=True)
class Still:
    """What stands in for the stepper where nothing can move: the picture, and the table."""

    trace: Trace

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        picture, table = swim_lanes(self.trace), cpu_table(self.trace)
        html = f'<figure style="margin:0">{picture.svg}</figure>\n{table.html}'
        return {"text/html": html, "image/svg+xml": picture.svg, "text/plain": table.text}


class Moments:
    """What there is to see after so many steps of a trace: no widgets, only tables.

    Raises CheckError for a trace that has lost its program, and for a moment beyond its end.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import increment
    >>> moments = Moments(explore(increment()).trace())
    >>> moments.step(3)
    'step 3 of 4, add_one1: store; counter 0 -> 1; done 0 -> 1'
    >>> moments.options(5)
    Traceback (most recent call last):
    memslotlib.check.errors.CheckError: the trace has 4 steps, and no moment 5
    """

    def __init__(self, trace: Trace) -> None:
        if trace.program is None:
            raise CheckError("this trace has no program: replay it on its model")
        self.trace = trace
        self._told = events(trace)
        self._walk = Walk(trace.program)
        self._at = 0

    def __len__(self) -> int:
        """Return the number of moments: one more than there are steps."""
        return len(self.trace) + 1

    def step(self, moment: int) -> str:
        """Return the step that led here, with what it breaks or shows."""
        told = [event.text for event in self._told if event.step == moment]
        if moment == 0:
            return "; ".join(["the initial state", *told])
        one = self.trace.steps[moment - 1]
        said = [f"{one.actor}: {one.label}", *changes(one, ""), *told]
        return f"step {moment} of {len(self.trace)}, {'; '.join(said)}"

    def state(self, moment: int) -> Table:
        """Return the value of every element, and what it was before where that differs."""
        before = self.trace.steps[moment - 1].changes if moment else {}
        rows = [
            (name, str(value), f"was {before[name][0]}" if name in before else "")
            for name, value in self.trace.values(moment).items()
        ]
        return Table(("element", "value", "changed"), rows, self.step(moment))

    def options(self, moment: int) -> Table:
        """Return what could run next; what does run next in this trace is marked."""
        self._go(moment)
        following = self._following(moment)
        rows = [
            (
                one.actor,
                one.label,
                place(one.where),
                "goes on so" if (one.actor, one.choice) == following else "",
            )
            for one in self._walk.options
        ]
        nothing = [("nobody", "no step is possible", "", "")]
        return Table(("actor", "could do", "line", "this trace"), rows or nothing, "Could run here")

    def blocked(self, moment: int) -> Table:
        """Return who cannot run, which condition holds them back, and what it reads."""
        self._go(moment)
        rows = [
            (
                one.actor,
                one.condition,
                place(one.where),
                ", ".join(f"{name} = {value}" for name, value in one.reads.items()),
            )
            for one in self._walk.blocked
        ]
        nothing = [("nobody", "", "", "")]
        columns = ("actor", "held back by", "line", "now")
        return Table(columns, rows or nothing, "Cannot run here")

    def tables(self, moment: int) -> Iterator[Table]:
        """Return everything that there is to see at one moment."""
        yield self.state(moment)
        yield self.options(moment)
        yield self.blocked(moment)

    def _following(self, moment: int) -> tuple[str, int] | None:
        if moment == len(self.trace):
            return None
        step = self.trace.steps[moment]
        return step.actor, step.choice

    def _go(self, moment: int) -> None:
        if not 0 <= moment < len(self):
            raise CheckError(f"the trace has {len(self.trace)} steps, and no moment {moment}")
        while self._at > moment:
            self._walk.back()
            self._at -= 1
        while self._at < moment:
            actor, choice = self.trace.moves[self._at]
            self._walk.take(actor, choice)
            self._at += 1


def stepper(trace: Trace) -> Any:
    """Return a widget that walks through a trace: a slider, and a step on or back.

    It shows the state, what else could run there, and which condition holds back whoever cannot.
    In the book, and where ipywidgets is not installed, a :class:`Still` instead.

    Raises CheckError for a trace that has lost its program.
    """
    moments = Moments(trace)
    if "MEMSLOTS_BOOK" in os.environ or importlib.util.find_spec("ipywidgets") is None:
        return Still(trace)
    return widget(moments)


def widget(moments: Moments) -> Any:
    """Return the widget that shows these moments; ImportError where ipywidgets is missing."""
    # Optional, slow to import, and without types of its own.
    widgets = importlib.import_module("ipywidgets")

    slider = widgets.IntSlider(
        value=0,
        min=0,
        max=len(moments) - 1,
        description="after step",
        continuous_update=False,
        style={"description_width": "initial"},
    )
    back = widgets.Button(description="back", tooltip="one step back")
    on = widgets.Button(description="on", tooltip="one step on")
    shown = widgets.HTML()

    def show(*_: object) -> None:
        moment = slider.value
        back.disabled, on.disabled = moment == 0, moment == slider.max
        shown.value = "".join(table.html for table in moments.tables(moment))

    def move(by: int) -> None:
        slider.value = min(max(slider.value + by, 0), slider.max)

    back.on_click(lambda _: move(-1))
    on.on_click(lambda _: move(1))
    slider.observe(show, "value")
    show()
    title = widgets.HTML(f"<strong>{escape(headline(moments.trace))}</strong>")
    return widgets.VBox([title, widgets.HBox([back, slider, on]), shown])
