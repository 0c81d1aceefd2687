import importlib.util
import subprocess
import sys

import pytest

from memslotlib.check import CheckError, explore, replay
from memslotlib.check.examples import increment, peterson
from memslotlib.check.exports.pytest_file import to_pytest

PETERSON = "memslotlib.check.examples:peterson"

GOLDEN = '''\
"""peterson: mutual exclusion, 6 steps.

Written by memslotlib.check.exports.pytest_file from a trace. It replays that run, step by step, on
the model as it is now, and fails when a step is not possible any more, when something else is
broken or shown, or when the run ends in other values.
"""

from memslotlib.check.examples import peterson

from memslotlib.check import replay
from memslotlib.check.events import events
from memslotlib.check.exports.trace_json import plain

#: The run: which actor steps, one after the other.
REPLAY = 'DIGEST:1*3,0*3'

#: What happens: after how many steps, to which property, and whether that is bad.
EVENTS = [(6, 'mutual exclusion', True)]

#: The values after the last step.
VALUES = {'wants[0]': True, 'wants[1]': True, 'inside[0]': True, 'inside[1]': True, 'turn': 0}


def test_peterson_mutual_exclusion():
    # The model may have changed: that it still behaves so is what is tested.
    trace = replay(peterson(forgets_turn=True), REPLAY, any_model=True)

    found = [(event.step, event.name, event.is_bad) for event in events(trace)]
    assert found == EVENTS, f"this run:\\n{trace}"
    assert {name: plain(value) for name, value in trace.values(len(trace)).items()} == VALUES
'''

MODEL = """\
from memslotlib.check import Actor, Int, Model, never


def counting(by=1):
    def count(m):
        m.n += by
        m.fail("it")
        yield

    return Model("count", {"n": Int(9)}, [Actor(count)], [never("it")])
"""


@pytest.fixture(scope="module")
def trace():
    return explore(peterson(forgets_turn=True)).trace()


@pytest.fixture
def run(tmp_path):
    """Run the text of a test module with pytest, in a process of its own."""

    def run_text(text):
        (tmp_path / "test_made.py").write_text(text, "utf-8")
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_made.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run_text


def test_the_module_is_written_out(trace):
    text = to_pytest(trace, PETERSON, {"forgets_turn": True})

    assert text == GOLDEN.replace("DIGEST", trace.replay[:6])


def test_it_passes_on_the_model_that_it_was_made_from(trace, run):
    done = run(to_pytest(trace, PETERSON, {"forgets_turn": True}))

    assert "1 passed" in done.stdout, done.stdout


def test_it_fails_on_the_model_without_the_fault_and_says_what_became_impossible(trace, run):
    done = run(to_pytest(trace, PETERSON))

    assert done.returncode == 1
    assert "CheckError: step 6: thread0 has no outcome 0" in done.stdout


def test_it_fails_when_the_run_is_possible_and_breaks_nothing(run):
    found = explore(increment()).trace()
    text = to_pytest(found, "memslotlib.check.examples:increment")
    assert "1 passed" in run(text).stdout

    # With a third thread that is not done yet, nothing is lost for good.
    done = run(to_pytest(found, "memslotlib.check.examples:increment", {"threads": 3}))

    assert done.returncode == 1
    assert "assert [] == [(4, 'no lost update', True)]" in done.stdout


def test_it_fails_when_other_values_come_out(run, tmp_path):
    (tmp_path / "made_model.py").write_text(MODEL, "utf-8")
    spec = importlib.util.spec_from_file_location("made_model", tmp_path / "made_model.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = to_pytest(explore(made.counting()).trace(), "made_model:counting", {"by": 1})

    assert "1 passed" in run(text).stdout
    done = run(text.replace("by=1", "by=2"))

    assert done.returncode == 1
    assert "{'n': 2} == {'n': 1}" in done.stdout


def test_what_a_trace_is_about_is_left_out_where_no_replay_can_tell_it(run):
    found = explore(peterson()).trace("thread 0 enters")

    text = to_pytest(found, PETERSON)
    assert "EVENTS = []\n" in text
    assert "1 passed" in run(text).stdout


def test_a_replayed_trace_gives_the_same_module_but_for_its_title(trace):
    again = replay(peterson(forgets_turn=True), trace.replay)

    one, other = (to_pytest(t, PETERSON, {"forgets_turn": True}) for t in (trace, again))
    assert (
        one.partition("EVENTS")[2].partition("def")[0]
        == (other.partition("EVENTS")[2].partition("def")[0])
    )
    assert "def test_peterson_a_run():" in other


def test_a_name_with_quotes_and_braces_makes_no_broken_module(trace):
    odd = type(trace)(**{**vars(trace), "model": 'a """ {b} \\ \n c'})

    compile(to_pytest(odd, PETERSON), "test_made.py", "exec")


def test_a_nested_function_is_imported_by_its_root(trace):
    text = to_pytest(trace, "a.b:Models.c")

    assert "from a.b import Models\n" in text
    assert "replay(Models.c(), REPLAY" in text


@pytest.mark.parametrize("expression", ["peterson", "a.b", "a:b()", "a b:c", "a:b\nimport os", ""])
def test_what_names_no_function_is_refused(trace, expression):
    with pytest.raises(CheckError, match="not of the form package.module:function"):
        to_pytest(trace, expression)


def test_a_keyword_that_is_none_is_refused(trace):
    with pytest.raises(CheckError, match="'a b' is no keyword argument"):
        to_pytest(trace, PETERSON, {"a b": 1})
