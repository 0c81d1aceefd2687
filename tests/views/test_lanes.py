import re
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.check import (
    Actor,
    Array,
    Flag,
    Int,
    Model,
    always,
    explore,
    interval,
    never,
    replay,
)
from memslotlib.check.examples import increment, peterson
from memslotlib.views.charts import PALETTE
from memslotlib.views.lanes import swim_lanes

SVG = "{http://www.w3.org/2000/svg}"
#: The widest of the fonts asked for, DejaVu Sans Mono, at a size of 12.
CHAR = 7.23

GOLDEN = """\
peterson: mutual exclusion is broken after 6 steps
1 thread1  want  wants[1] False -> True
2 thread1  give way
3 thread1  enter  inside[1] False -> True
4 thread0  want  wants[0] False -> True
5 thread0  give way
6 thread0  enter  inside[0] False -> True
thread 0 inside: from step 6 on
thread 1 inside: from step 3 on
step 6: BREAKS mutual exclusion
replay DIGEST:1*3,0*3"""


@pytest.fixture(scope="module")
def trace():
    return explore(peterson(forgets_turn=True)).trace()


def tree(trace):
    return ElementTree.fromstring(swim_lanes(trace).svg)


def boxes(root):
    """Return text, left, top, right and bottom of every text, as far as it is not cut off."""
    found = []

    def visit(node, x, y, right):
        for child in node:
            if child.tag == f"{SVG}svg":
                left = x + float(child.get("x"))
                visit(child, left, y + float(child.get("y")), left + float(child.get("width")))
            elif child.tag == f"{SVG}text":
                if child.get("transform") or not child.text:
                    continue  # A band's name, inside its band.
                width = len(child.text) * CHAR
                at = x + float(child.get("x"))
                left = at - {"end": width, "middle": width / 2}.get(child.get("text-anchor"), 0)
                base = y + float(child.get("y"))
                found.append((child.text, left, base - 10, min(right, left + width), base + 3))
            else:
                visit(child, x, y, right)

    visit(root, 0, 0, float("inf"))
    return found


def texts(root):
    return [node.text for node in root.iter(f"{SVG}text")]


def bands(root):
    """Return the name, top and height of each band."""
    return [
        (node.find(f"{SVG}title").text, float(rect.get("y")), float(rect.get("height")))
        for node in root.iter(f"{SVG}g")
        for rect in node.findall(f"{SVG}rect")
        if rect.get("fill-opacity")
    ]


def numbers(root):
    """Return the height at which each step's number stands."""
    found = {}
    for text, _, top, _, bottom in boxes(root):
        if text.isdigit():
            found[int(text)] = (top + bottom) / 2
    return found


def test_the_same_is_told_in_words(trace):
    picture = swim_lanes(trace)

    assert picture.text == GOLDEN.replace("DIGEST", trace.replay[:6])
    assert picture._repr_mimebundle_() == {"image/svg+xml": picture.svg, "text/plain": picture.text}


def test_a_reader_who_does_not_see_it_is_given_its_title_and_its_words(trace):
    root = tree(trace)

    assert root.get("role") == "img"
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert root[0].text == "peterson: mutual exclusion is broken after 6 steps"
    assert root[1].text == swim_lanes(trace).text


def test_it_shows_labels_and_what_changed_and_nothing_else(trace):
    assert texts(tree(trace)) == [
        "peterson: mutual exclusion is broken after 6 steps",
        "A  thread 0 inside",
        "B  thread 1 inside",
        "A",
        "B",
        "thread0",
        "thread1",
        "A",
        "thread 1 inside",
        *("1", "want", "wants[1] False -> True"),
        *("2", "give way"),
        *("3", "enter", "inside[1] False -> True"),
        *("4", "want", "wants[0] False -> True"),
        *("5", "give way"),
        *("6", "enter", "inside[0] False -> True", "BREAKS mutual exclusion"),
    ]


def test_each_step_has_its_line_of_source_for_whoever_points_at_it(trace):
    titles = [node.text for node in tree(trace).iter(f"{SVG}title")]

    place = trace.steps[5].where.rpartition("/")[2]
    assert titles[-1] == (
        "step 6, thread0: enter\ninside[0] False -> True\nBREAKS mutual exclusion\n"
        f"{place}: m.wait(not m.wants[other] or m.turn == me)"
    )


def test_a_band_lasts_from_the_step_that_switches_it_on_to_the_one_that_switches_it_off():
    model = peterson()
    root = tree(replay(model, f"{model.digest}:1*4,0*3,1"))
    at = numbers(root)

    (name, top, height), (other, other_top, other_height) = sorted(bands(root), reverse=True)
    assert (name, other) == ("thread 1 inside", "thread 0 inside")
    assert top == pytest.approx(at[3], abs=2)
    assert top + height == pytest.approx(at[4], abs=2)
    assert other_top == pytest.approx(at[7], abs=2)
    assert other_top + other_height > at[8], "it is still on at the end"


def test_a_band_that_is_on_from_the_beginning_begins_above_the_first_step():
    model = replace(peterson(), intervals=[interval("free", lambda m: not m.inside[0])])
    root = tree(explore(model).trace("thread 0 enters"))

    ((name, top, height),) = bands(root)
    assert name == "free"
    assert top < numbers(root)[1] - 10
    assert top + height == pytest.approx(numbers(root)[3], abs=2)
    assert "free: from the beginning to step 3" in root[1].text


def test_a_band_that_is_too_short_for_its_name_has_its_letter_and_the_key_has_the_name(trace):
    key = texts(tree(trace))

    assert key.count("thread 0 inside") == 0
    assert "A  thread 0 inside" in key
    assert key.count("A") == 2


def test_an_interval_that_is_never_on_says_so():
    model = replace(peterson(), intervals=[interval("both", lambda m: all(m.inside))])
    root = tree(explore(model).trace("thread 0 enters"))

    assert "A  both (at no time)" in texts(root)
    assert "both: at no time" in root[1].text
    assert bands(root) == []


def test_a_violation_is_told_by_words_and_by_a_red_row(trace):
    root = tree(trace)
    (row,) = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "bad-row"]
    (text,) = [t for t in root.iter(f"{SVG}text") if t.get("class") == "bad"]

    assert text.text == "BREAKS mutual exclusion"
    top, bottom = float(row.get("y")), float(row.get("y")) + float(row.get("height"))
    assert top < numbers(root)[6] < float(text.get("y")) < bottom
    assert top > numbers(root)[5]


def test_what_a_trace_shows_is_not_red():
    root = tree(explore(peterson()).trace("thread 0 enters"))
    looks = {node.get("class") for node in root.iter()}

    assert "SHOWS thread 0 enters" in texts(root)
    assert {"shown", "shown-row"} <= looks
    assert not {"bad", "bad-row"} & looks


def test_lanes_and_bands_take_different_colours_and_never_black(trace):
    root = tree(trace)
    lanes = [r.get("fill") for r in root.iter(f"{SVG}rect") if r.get("width") == "6"]
    shaded = [r.get("fill") for r in root.iter(f"{SVG}rect") if r.get("fill-opacity")]

    assert set(lanes) == set(PALETTE[:2])
    assert set(shaded) == set(PALETTE[2:4])


def test_a_switch_from_one_actor_to_another_is_drawn_and_no_other():
    root = tree(explore(increment()).trace())
    switches = [p for p in root.iter(f"{SVG}path") if p.get("class") == "switch"]

    assert explore(increment()).trace().switches == len(switches) == 2
    at = numbers(root)
    heights = [float(re.search(r"M\S+ (\S+)H", p.get("d"))[1]) for p in switches]
    assert at[1] < heights[0] < at[2]
    assert at[3] < heights[1] < at[4]


def test_actors_that_never_step_are_named_below():
    root = tree(explore(peterson()).trace("thread 1 enters"))

    assert texts(root)[-1] == "no step of thread0"


def test_a_run_without_steps_has_its_message_all_the_same():
    def idle(m):
        m.on = True
        yield

    model = Model("idle", {"on": Flag()}, [Actor(idle)], [always("is on", lambda m: m.on)])
    picture = swim_lanes(explore(model).trace())

    root = ElementTree.fromstring(picture.svg)
    assert texts(root)[-2:] == ["idle", "BREAKS is on in the initial state"]
    assert "initially: BREAKS is on" in picture.text


def test_a_light_page_needs_no_style_and_a_dark_one_gets_its_own_colours(trace):
    root = tree(trace)
    style = root.find(f"{SVG}style").text

    assert style.startswith("@media (prefers-color-scheme:dark){")
    for node in root.iter():
        look = node.get("class")
        if look and node is not root:
            assert node.get("fill") or node.get("stroke")
            assert f".memslots-lanes .{look}{{" in style, "no rule reaches other pictures"


def test_there_is_no_script_and_nothing_from_elsewhere(trace):
    svg = swim_lanes(trace).svg

    assert "<script" not in svg
    assert "href" not in svg
    assert re.findall(r"https?://[^\"' ]+", svg) == ["http://www.w3.org/2000/svg"]


def test_what_xml_forbids_or_means_is_shown_as_it_is_or_as_unknown():
    def odd(m):
        m.n = 1
        m.fail("<it>", "a & b")
        yield 'say "<\x07>"'

    model = Model("<odd>", {"n": Int(2)}, [Actor(odd)], [never("<it>")])
    root = tree(explore(model).trace())

    assert 'say "<\ufffd>"' in texts(root)
    assert "BREAKS <it>: a & b" in texts(root)


@pytest.mark.parametrize(
    ("count", "last"), [(11, "many[10] False -> True"), (12, "... 2 more lines")]
)
def test_a_cell_with_too_many_lines_is_cut_and_its_title_has_the_rest(count, last):
    def filler(m):
        for i in range(count):
            m.many[i] = True
        m.fail("it")
        yield "fill"

    model = Model("fill", {"many": Array(Flag(), count)}, [Actor(filler)], [never("it")])
    root = tree(explore(model).trace())

    shown = texts(root)
    cell = shown[shown.index("fill") :]
    assert cell[:2] == ["fill", "many[0] False -> True"]
    assert cell[11:] == [last, "BREAKS it"]
    titles = [node.text for node in root.iter(f"{SVG}title")]
    assert f"many[{count - 1}] False -> True" in titles[-1]


def made(names, labels, values, message, bands):
    """Return a trace of actors with such names, one step each, with such labels and changes."""

    def actor(m, me):
        m.wait(m.turn == me)
        m.turn += 1
        for i in range(values[me % len(values)]):
            m.some_variable_with_a_long_name[i] = not m.some_variable_with_a_long_name[i]
        if m.turn == len(names):
            m.fail("the end", message)
        yield labels[me % len(labels)]

    model = Model(
        "made",
        {"turn": Int(len(names) + 1), "some_variable_with_a_long_name": Array(Flag(), 20)},
        [Actor(actor, n, name=name) for n, name in enumerate(names)],
        [never("the end")],
        intervals=[interval(name, lambda m, n=n: m.turn % 3 == n) for n, name in enumerate(bands)],
    )
    return replay(model, f"{model.digest}:{','.join(map(str, range(len(names))))}")


def test_seven_lanes_find_no_black_in_the_palette():
    root = tree(made("abcdefg", ["go"], [0], "", ["x"]))
    fills = [r.get("fill") for r in root.iter(f"{SVG}rect") if r.get("width") in ("6", "16")]

    assert set(fills) == set(PALETTE[:6])
    assert PALETTE[6] == "#000000"


def test_four_wide_lanes_wrap_rather_than_leaving_the_page():
    wide = tree(made("abcd", ["a label of very many words " * 3], [20], "", []))
    narrow = tree(made("abcd", ["go"], [0], "", []))

    assert float(narrow.get("width")) < float(wide.get("width")) < 850
    assert float(wide.get("height")) > 2 * float(narrow.get("height"))


words = st.text("abcdefghij <->&\x01\n", min_size=1, max_size=60)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text("abcdef_0", min_size=1, max_size=30), min_size=1, max_size=9, unique=True),
    st.lists(words, min_size=1, max_size=3),
    st.lists(st.integers(0, 20), min_size=1, max_size=3),
    st.lists(words, max_size=4).map(" ".join),
    st.lists(words, max_size=3),
)
def test_no_text_overlaps_another_or_leaves_the_picture(names, labels, values, message, bands):
    root = tree(made(names, labels, values, message, bands))
    found = boxes(root)

    width, height = float(root.get("width")), float(root.get("height"))
    for text, left, top, right, bottom in found:
        assert left >= 0, text
        assert top >= 0, text
        assert right <= width, text
        assert bottom <= height, text
    for one, other in combinations(found, 2):
        apart = one[3] <= other[1] or other[3] <= one[1] or one[4] <= other[2] or other[4] <= one[2]
        assert apart, (one, other)
    bars = [
        (float(r.get("x")), float(r.get("y")), float(r.get("height")))
        for r in root.iter(f"{SVG}rect")
        if r.get("width") == "6"
    ]
    for text, left, top, right, bottom in found:
        for x, y, tall in bars:
            crosses = left < x + 6 and x < right and top < y + tall and y < bottom
            assert not crosses, text
