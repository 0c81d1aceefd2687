import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check import Actor, Int, Model, always, explore, never, replay
from memslotlib.check.examples import peterson
from memslotlib.check.exports.mermaid import escaped, to_mermaid

GOLDEN = """\
sequenceDiagram
  autonumber
  participant a0 as thread0
  participant a1 as thread1
  participant shared
  a1->>shared: want<br/>wants[1] False -> True
  a1->>a1: give way
  a1->>shared: enter<br/>inside[1] False -> True
  a0->>shared: want<br/>wants[0] False -> True
  a0->>a0: give way
  a0->>shared: enter<br/>inside[0] False -> True
  Note over a0,shared: BREAKS mutual exclusion
"""


def counting(*labels, fails=""):
    """Return a model of one actor that reads, with such labels; and one that never steps."""

    def end(m):
        for label in labels:
            if m.n == 0 and fails:
                m.fail("it", fails)
            yield label

    def idle(m):
        m.wait(m.n == 1)
        yield

    return Model("count", {"n": Int(2)}, [Actor(end), Actor(idle)], [never("it")])


def test_a_trace_is_a_sequence_diagram():
    assert to_mermaid(explore(peterson(forgets_turn=True)).trace()) == GOLDEN


def test_only_actors_that_step_take_part_and_none_by_a_word_of_the_language():
    model = counting("look", fails="why")
    lines = to_mermaid(explore(model).trace("it")).splitlines()

    participants = [line for line in lines if "participant" in line]
    assert participants == ["  participant a0 as end", "  participant shared"]


def test_a_step_that_only_reads_is_a_message_from_what_is_shared():
    text = to_mermaid(explore(counting("look", fails="why")).trace("it"))

    assert "\n  shared-->>a0: look\n  Note over a0,shared: BREAKS it: why\n" in text


def test_every_step_is_one_message_so_that_the_numbers_are_the_steps():
    model = peterson()
    trace = replay(model, f"{model.digest}:0*4,1*4")

    text = to_mermaid(trace)
    assert len([line for line in text.splitlines() if ">>" in line]) == 8
    assert "autonumber" in text


def test_a_property_that_the_initial_state_breaks_is_a_note_without_a_step():
    def count(m):
        m.n = 1
        yield

    model = Model("count", {"n": Int(2)}, [Actor(count)], [always("one", lambda m: m.n == 1)])

    assert to_mermaid(explore(model).trace()) == (
        "sequenceDiagram\n  participant shared\n  Note over shared: BREAKS one\n"
    )


def test_an_empty_label_leaves_no_empty_message():
    model = counting(" ")

    assert "shared-->>a0: (no label)\n" in to_mermaid(replay(model, f"{model.digest}:0"))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a; b", "a#59; b"),
        ("# of slots", "#35; of slots"),
        ("a\nb", "a<br/>b"),
        ("a \r\n b", "a<br/>b"),
        ("a\u2028b", "a<br/>b"),
        ("%%{init}%%", "#37;#37;#123;init#125;#37;#37;"),
        ("a < b > c & d", "a #lt; b > c #amp; d"),
        ("$$x$$", "#36;#36;x#36;#36;"),
        ("wrap: x", "wrap#58; x"),
        ("nowrap: x", "nowrap#58; x"),
        ("unwrap: x", "unwrap: x"),
        ("0 -> 1", "0 -> 1"),
    ],
)
def test_what_mermaid_takes_for_its_own_is_escaped_and_the_rest_left(text, safe):
    assert escaped(text) == safe


@given(st.text())
def test_escaped_text_is_one_statement(text):
    safe = escaped(text)

    assert len(safe.splitlines()) <= 1
    rest = safe.replace("<br/>", "")
    for name in ("35", "59", "37", "lt", "amp", "36", "123", "125", "92", "58"):
        rest = rest.replace(f"#{name};", "")
    assert not set(rest) & set("#;<&%${}\\")
