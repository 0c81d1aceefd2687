import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check import Actor, Array, CheckError, Flag, Int, Model, always, explore, never
from memslotlib.check.events import Event
from memslotlib.check.examples import increment, peterson
from memslotlib.views.cpu_table import CpuTable, Row, cpu_table

PETERSON = """\
peterson: mutual exclusion is broken after 6 steps

   thread0                      thread1
   ===========================  ==========================
1                               want
                                  wants[1]: False -> True
2                               give way
3                               enter
                                  inside[1]: False -> True
4  want
     wants[0]: False -> True
5  give way
6  enter
     inside[0]: False -> True
   <-- BREAKS mutual exclusion

replay DIGEST:1*3,0*3
"""


@pytest.fixture(scope="module")
def trace():
    return explore(peterson(forgets_turn=True)).trace()


def by_turns(order, labels=None, **fails):
    """Return the trace of a model whose actors, named in ``order``, step in that order."""
    names = sorted(set(order), key=order.index)

    def actor(m, me):
        for turn in [n for n, name in enumerate(order) if name == me]:
            m.wait(m.turn == turn)
            m.turn += 1
            if m.turn == len(order):
                m.fail("the end", fails.get("message", ""))
            yield (labels or {}).get(turn, "go")

    model = Model(
        "turns",
        {"turn": Int(len(order) + 1)},
        [Actor(actor, name, name=name) for name in names],
        [never("the end")],
    )
    return explore(model).trace()


def test_a_trace_is_a_table_of_the_kernels_shape(trace):
    table = cpu_table(trace)

    assert str(table) + "\n" == PETERSON.replace("DIGEST", trace.replay[:6])
    assert str(table) == table.text


def test_up_to_three_actors_have_a_lane_each_in_the_order_of_the_model():
    assert cpu_table(by_turns(["cpu1", "cpu0", "log"])).titles == ("cpu1", "cpu0", "log")


def test_more_actors_share_the_lane_of_their_kind_and_name_themselves():
    table = cpu_table(by_turns(["vcpu0", "log", "vcpu1", "ipi_0", "ipi_1"]))

    assert table.titles == ("vcpu", "log", "ipi")
    assert [row.lane for row in table.rows] == [0, 1, 0, 2, 2]
    assert [row.label for row in table.rows] == [
        "vcpu0: go",
        "go",
        "vcpu1: go",
        "ipi_0: go",
        "ipi_1: go",
    ]


def test_the_name_of_the_only_actor_of_a_kind_is_the_title_with_its_number():
    table = cpu_table(by_turns(["vcpu0", "vcpu1", "ipi0", "log"]))

    assert table.titles == ("vcpu", "ipi0", "log")


def test_of_more_than_three_kinds_those_that_step_least_share_the_last_lane():
    order = ["a0", "b", "c", "d", "b", "d", "a1", "d", "e"]
    table = cpu_table(by_turns(order))

    # Two steps of a and b, three of d; between equals the first one of the model stays.
    assert table.titles == ("a", "d", "b, c, e")
    assert table.rows[1].label == "b: go"
    assert table.rows[3].label == "go"


def test_lanes_that_are_given_decide_what_stands_where():
    order = ["vcpu0", "ipi0", "vcpu1", "log"]
    lanes = {"VMM": ["log"], "CPU 0": ["vcpu0", "ipi0"], "CPU 1": ["vcpu1"]}
    table = cpu_table(by_turns(order), lanes)

    assert table.titles == ("VMM", "CPU 0", "CPU 1")
    assert [(row.lane, row.label) for row in table.rows] == [
        (1, "vcpu0: go"),
        (1, "ipi0: go"),
        (2, "go"),
        (0, "go"),
    ]


@pytest.mark.parametrize(
    ("lanes", "said"),
    [
        ({}, "0 lanes: a table has 1 to 4"),
        ({str(n): [] for n in range(5)}, "5 lanes: a table has 1 to 4"),
        ({"a": ["thread0", "thraed1"]}, "no actor 'thraed1': did you mean 'thread1'?"),
        ({"a": ["thread0", "thread1"], "b": ["thread0"]}, "two lanes show thread0"),
        ({"a": ["thread0"]}, "no lane shows thread1, which takes steps"),
    ],
)
def test_lanes_that_would_hide_or_double_a_step_are_refused(trace, lanes, said):
    with pytest.raises(CheckError) as error:
        cpu_table(trace, lanes)
    assert str(error.value).startswith(said)


def test_what_a_step_breaks_stands_below_its_changes_and_wraps():
    table = cpu_table(by_turns(["a", "b"], message="a message of more than forty letters in all"))

    assert table.text.splitlines()[6:11] == [
        "2                  go",
        "                     turn: 1 -> 2",
        "                   <-- BREAKS the end: a message",
        "                       of more than forty letters",
        "                       in all",
    ]


def test_a_change_that_does_not_fit_has_its_name_on_a_line_of_its_own():
    row = Row(1, 0, "label", ("dirty[0]: False -> True",), ())

    assert row.lines(25) == ["label", "  dirty[0]: False -> True"]
    assert row.lines(24) == ["label", "  dirty[0]:", "    False -> True"]


def test_a_run_without_steps_has_its_message_in_the_caption():
    def idle(m):
        m.on = True
        yield

    model = Model("idle", {"on": Flag()}, [Actor(idle)], [always("is on", lambda m: m.on)])
    lines = cpu_table(explore(model).trace()).text.splitlines()

    assert lines[0] == "idle: is on is broken in the initial state"
    assert lines[2:4] == ["   idle", "   ===="]


def test_html_is_a_table_with_heads_and_escapes_what_it_shows():
    table = CpuTable(
        ("a & b", "c"),
        (Row(1, 1, "x < y", ("n: 0 -> 1",), (Event(1, "it", "<why>"),)),),
        "one > two",
        "0",
    )
    bundle = table._repr_mimebundle_()

    assert bundle["text/plain"] == table.text
    assert bundle["text/html"] == (
        '<div class="memslots-table" tabindex="0" role="region" aria-label="one &gt; two">'
        '<table class="memslots"><caption>one &gt; two</caption><thead><tr>'
        '<th scope="col">step</th><th scope="col">a &amp; b</th><th scope="col">c</th>'
        '</tr></thead><tbody><tr><th scope="row">1</th><td></td>'
        "<td>x &lt; y<br><code>n: 0 -&gt; 1</code><br>"
        '<strong class="verdict violated">&lt;-- BREAKS it: &lt;why&gt;</strong></td>'
        "</tr></tbody></table></div>"
    )


def test_what_a_step_shows_is_not_marked_as_a_violation():
    table = cpu_table(explore(increment()).trace("both added"))

    assert "<-- SHOWS both added" in table.text
    assert 'class="verdict holds">&lt;-- SHOWS both added<' in table.html
    assert "violated" not in table.html


words = st.text("abc_0->[]", min_size=1, max_size=30)
rows = st.builds(
    Row,
    st.integers(1, 999),
    st.integers(0, 3),
    st.lists(words, max_size=6).map(" ".join),
    st.lists(st.tuples(words, words, words).map("{0[0]}: {0[1]} -> {0[2]}".format)).map(tuple),
    st.lists(
        st.builds(Event, st.just(1), words, st.lists(words, max_size=9).map(" ".join)), max_size=2
    ).map(tuple),
)


@given(
    st.lists(words, min_size=4, max_size=4),
    st.lists(rows, max_size=9),
    st.lists(st.sampled_from(["0*12,1.3", "4,2"]), max_size=30).map(",".join),
)
def test_no_line_is_wider_than_a_mail_and_nothing_is_lost(titles, rows, replay):
    text = CpuTable(tuple(titles), tuple(rows), "a caption", replay).text

    assert max(map(len, text.splitlines())) <= 72
    letters = sorted("".join(text.split()))
    said = [*titles, "acaption", "replay", replay]
    for row in rows:
        said += [row.label, *row.changes, *(f"<--{event.text}" for event in row.events)]
    kept = [one for one in letters if one not in "=0123456789"]
    assert kept == sorted(one for one in "".join("".join(said).split()) if one not in "=0123456789")


def test_an_array_element_keeps_its_whole_name():
    def put(m):
        m.table[1, 0] = 2
        m.fail("it")
        yield

    model = Model("put", {"table": Array(Int(3), 2, 2)}, [Actor(put)], [never("it")])

    assert "table[1,0]: 0 -> 2" in cpu_table(explore(model).trace()).text
