import importlib.util
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from memslotlib.check import CheckError, explore, replay
from memslotlib.check.examples import increment, peterson
from memslotlib.views import stepper as views
from memslotlib.views.stepper import Moments, Still, stepper, widget

STATE = """\
step 4 of 6, thread0: want; wants[0] False -> True

element    value  changed
---------  -----  ---------
wants[0]   True   was False
wants[1]   True
inside[0]  False
inside[1]  True
turn       0
"""

OPTIONS = """\
Could run here

actor    could do  line             this trace
-------  --------  ---------------  ----------
thread0  give way  examples.py:000  goes on so
thread1  leave     examples.py:000
"""

BLOCKED = """\
Cannot run here

actor    held back by            line             now
-------  ----------------------  ---------------  ----------------------
thread1  m.wait(not              examples.py:000  wants[0] = True, turn
         m.wants[other] or                        = 0
         m.turn == me)
"""


@pytest.fixture(scope="module")
def trace():
    return explore(peterson(forgets_turn=True)).trace()


@pytest.fixture
def moments(trace):
    return Moments(trace)


def text(table):
    """Return a table without blanks at the ends of lines, and without line numbers."""
    lines = re.sub(r":\d{3}\b", ":000", table.text).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def test_a_moment_shows_every_value_and_what_the_step_changed(moments):
    assert text(moments.state(4)) == STATE


def test_the_first_moment_is_the_initial_state_and_the_last_tells_what_broke(moments):
    assert len(moments) == 7
    assert moments.step(0) == "the initial state"
    assert moments.step(6) == (
        "step 6 of 6, thread0: enter; inside[0] False -> True; BREAKS mutual exclusion"
    )
    assert all(row[2] == "" for row in moments.state(0).rows)


def test_what_else_could_run_is_listed_and_what_does_run_next_is_marked(moments):
    assert text(moments.options(4)) == OPTIONS
    assert "goes on so" not in text(moments.options(6)), "the trace ends here"


def test_the_condition_that_holds_an_actor_back_is_named_with_its_values():
    model = peterson()
    trace = replay(model, f"{model.digest}:0*3,1*2")
    moments = Moments(trace)

    assert text(moments.blocked(5)) == BLOCKED
    assert moments.blocked(4).rows == [("nobody", "", "", "")]


def test_where_nobody_waits_or_nothing_can_run_a_row_says_so(moments):
    trace = explore(increment()).trace("both added")
    ended = Moments(trace)

    assert moments.blocked(0).rows == [("nobody", "", "", "")]
    assert [row[:2] for row in ended.blocked(4).rows] == [
        ("add_one0", "returned"),
        ("add_one1", "returned"),
    ]
    assert ended.options(4).rows == [("nobody", "no step is possible", "", "")]


def test_moments_come_in_any_order(trace):
    there_and_back, fresh = (Moments(trace) for _ in range(2))

    there_and_back.options(6)
    for moment in (5, 1, 3):
        again = [table.text for table in there_and_back.tables(moment)]
        assert again == [table.text for table in fresh.tables(moment)]
        fresh = Moments(trace)


@pytest.mark.parametrize("moment", [-1, 7])
def test_a_moment_beyond_the_trace_is_refused(moments, moment):
    with pytest.raises(CheckError, match=f"the trace has 6 steps, and no moment {moment}"):
        moments.options(moment)


def test_the_widget_follows_its_slider_and_its_buttons(moments):
    box = widget(moments)
    title, (back, slider, on), shown = box.children[0], box.children[1].children, box.children[2]

    assert "mutual exclusion is broken after 6 steps" in title.value
    assert "the initial state" in shown.value
    assert (back.disabled, on.disabled) == (True, False)

    on.click()
    assert slider.value == 1
    assert "step 1 of 6" in shown.value
    assert (back.disabled, on.disabled) == (False, False)

    slider.value = 6
    assert "BREAKS mutual exclusion" in shown.value
    assert (back.disabled, on.disabled) == (False, True)

    on.click()
    assert slider.value == 6

    back.click()
    assert "step 5 of 6" in shown.value


def test_the_widget_shows_all_three_tables(moments):
    shown = widget(moments).children[2].value

    assert shown == "".join(table.html for table in moments.tables(0))
    assert [shown.count(head) for head in ("the initial state", "Could run", "Cannot run")] == [
        2,
        2,
        2,
    ]


def test_a_notebook_gets_the_widget(trace, monkeypatch):
    monkeypatch.delenv("MEMSLOTS_BOOK", raising=False)

    assert type(stepper(trace)).__name__ == "VBox"


def test_in_the_book_the_picture_and_the_table_stand_in(trace, monkeypatch):
    monkeypatch.setenv("MEMSLOTS_BOOK", "1")
    still = stepper(trace)

    assert isinstance(still, Still)
    bundle = still._repr_mimebundle_()
    assert "<svg " in bundle["text/html"]
    assert "<table " in bundle["text/html"]
    assert bundle["image/svg+xml"].startswith("<svg ")
    assert bundle["text/plain"].startswith("peterson: mutual exclusion is broken")


def test_so_they_do_where_ipywidgets_is_missing(trace, monkeypatch):
    monkeypatch.delenv("MEMSLOTS_BOOK", raising=False)
    monkeypatch.setattr(views.importlib.util, "find_spec", lambda name: None)

    assert isinstance(stepper(trace), Still)


def test_a_trace_without_its_program_is_refused(trace):
    with pytest.raises(CheckError, match="no program: replay it on its model"):
        stepper(replace(trace, program=None))


def test_importing_it_loads_no_widgets():
    program = "import sys, memslotlib.views.stepper; print('ipywidgets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("False\n", "")
    assert importlib.util.find_spec("ipywidgets") is not None
