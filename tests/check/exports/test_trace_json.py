import enum
import json

import pytest

from memslotlib.check import (
    Actor,
    CheckError,
    Flag,
    Model,
    OneOf,
    Ref,
    Symmetric,
    always,
    explore,
    sometimes,
)
from memslotlib.check.examples import peterson
from memslotlib.check.exports.trace_json import from_json, plain, to_json

GOLDEN = """\
{
 "#meta": {"format": "ITF", "format-description": \
"https://apalache-mc.org/docs/adr/015adr-trace.html", "source": "memslotlib.check", \
"model": "lock", "about": "held", "is_shortest": true, "actors": ["taker0", "taker1"], \
"initially": []},
 "vars": ["owner", "mood", "is_new"],
 "states": [
  {"#meta": {"index": 0}, "owner": null, "mood": "calm", "is_new": true},
  {"#meta": {"index": 1}, "owner": "cpu0", "mood": "busy", "is_new": true}
 ],
 "steps": [
  {"actor": "taker0", "label": "take “it”", "where": "test_trace_json.py:LINE", \
"text": "m.wait(m.owner is None)", "choice": 0, "reads": {"owner": null}, \
"changes": {"owner": [null, "cpu0"], "mood": ["calm", "busy"]}, \
"events": [{"name": "held", "message": "", "is_bad": false}], "stops": false}
 ],
 "intervals": {},
 "replay": "DIGEST:0"
}
"""


def lock(*properties):
    cpu = Symmetric("cpu", 2)

    def taker(m, me):
        m.wait(m.owner is None)
        m.owner = me
        m.mood = "busy"
        yield "take “it”"

    return Model(
        "lock",
        {"owner": Ref(cpu), "mood": OneOf("calm", "busy"), "is_new": Flag(init=True)},
        [Actor(taker, per=cpu)],
        [sometimes("held", lambda m: m.owner is not None), *properties],
    )


def test_a_trace_is_a_line_for_each_state_and_each_step():
    trace = explore(lock()).trace("held")
    line = trace.steps[0].where.rpartition(":")[2]

    golden = GOLDEN.replace("LINE", line).replace("DIGEST", trace.replay[:6])
    assert to_json(trace) == golden


def test_what_is_written_is_read_again_with_the_keys_in_the_same_order():
    trace = explore(peterson(forgets_turn=True)).trace()
    found = from_json(to_json(trace))

    assert found["vars"] == ["wants[0]", "wants[1]", "inside[0]", "inside[1]", "turn"]
    assert all(list(state) == ["#meta", *found["vars"]] for state in found["states"])
    assert len(found["states"]) == len(found["steps"]) + 1 == 7
    assert found["replay"] == trace.replay


def test_states_follow_from_the_steps_changes():
    found = from_json(to_json(explore(peterson(forgets_turn=True)).trace()))

    for before, step, after in zip(
        found["states"], found["steps"], found["states"][1:], strict=False
    ):
        changed = {name: [before[name], after[name]] for name in found["vars"]}
        changed = {name: both for name, both in changed.items() if both[0] != both[1]}
        assert changed == step["changes"]


def test_events_come_with_their_step_and_those_of_the_initial_state_apart():
    found = from_json(to_json(explore(peterson(forgets_turn=True)).trace()))
    assert [len(step["events"]) for step in found["steps"]] == [0, 0, 0, 0, 0, 1]
    assert found["steps"][-1]["events"][0]["is_bad"] is True
    assert found["#meta"]["initially"] == []

    broken = explore(lock(always("held by one", lambda m: m.owner is not None)))
    found = json.loads(to_json(broken.trace("held by one")))
    assert [event["name"] for event in found["#meta"]["initially"]] == ["held by one"]
    assert found["steps"] == []


def test_intervals_have_a_value_for_each_state():
    found = from_json(to_json(explore(peterson(forgets_turn=True)).trace()))

    assert found["intervals"] == {
        "thread 0 inside": [False] * 6 + [True],
        "thread 1 inside": [False] * 3 + [True] * 4,
    }


class Mood(enum.IntEnum):
    CALM = 0


@pytest.mark.parametrize(
    ("value", "written"), [(0, 0), (False, False), (None, None), ("a", "a"), ((1, 2), "(1, 2)")]
)
def test_numbers_truth_values_and_text_stay_and_the_rest_becomes_text(value, written):
    assert plain(value) == written
    assert type(plain(value)) is type(written)


def test_a_member_of_an_enumeration_is_text_even_if_it_is_a_number():
    assert plain(Mood.CALM) == str(Mood.CALM)
    assert type(plain(Mood.CALM)) is str


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON: "),
        ("[]", 'no trace: it has no "states"'),
        ('{"states": [], "replay": ""}', 'no trace: it has no "steps"'),
    ],
)
def test_what_is_no_trace_is_refused(text, said):
    with pytest.raises(CheckError, match=said):
        from_json(text)
