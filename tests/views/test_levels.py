from dataclasses import replace

import pytest

from memslotlib.check import explore
from memslotlib.check.examples import increment, two_phase_commit
from memslotlib.views.levels import levels_chart, levels_rows


@pytest.fixture(scope="module")
def result():
    return explore(increment())


def drawn(*results):
    return levels_chart(*results).to_dict()


def test_a_row_for_each_level_and_its_states(result):
    assert levels_rows([result]) == [
        {"model": "increment", "steps": steps, "states": states}
        for steps, states in enumerate([1, 1, 2, 2, 2])
    ]


def test_a_level_without_states_has_no_row_since_no_logarithm_would_show_it(result):
    rows = levels_rows([replace(result, levels=(1, 0, 3))])

    assert [row["steps"] for row in rows] == [0, 2]


def test_results_of_one_model_are_told_apart_by_their_reductions_and_then_by_a_number(result):
    other, whole = explore(two_phase_commit(2)), explore(increment(), symmetry=False)
    partial = explore(increment(), partial_order=True)

    rows = levels_rows([result, other, result, whole, partial])

    assert list(dict.fromkeys(row["model"] for row in rows)) == [
        "increment, symmetry",
        "2pc-2",
        "increment, symmetry (2)",
        "increment",
        "increment, symmetry, partial order",
    ]


@pytest.mark.parametrize(
    ("levels", "scale"), [((1, 1000), "linear"), ((1, 1001), "log"), ((2, 1001), "linear")]
)
def test_more_than_three_decades_are_drawn_on_a_logarithmic_scale(result, levels, scale):
    spec = drawn(replace(result, levels=levels))

    assert spec["encoding"]["y"]["scale"]["type"] == scale


def test_the_decades_are_those_of_all_results_together(result):
    spec = drawn(replace(result, levels=(1, 1)), replace(result, levels=(2000,)))

    assert spec["encoding"]["y"]["scale"]["type"] == "log"


def test_one_result_needs_no_legend_and_several_do(result):
    one, two = drawn(result)["encoding"], drawn(result, result)["encoding"]

    for channel in ("color", "shape"):
        assert one[channel]["legend"] is None
        assert "legend" not in two[channel]


def test_the_description_gives_each_result_in_words(result):
    assert drawn(result, explore(two_phase_commit(2)))["description"] == (
        "States by distance from the initial one: "
        "increment 8 states in 5 levels, at most 2 in level 2; "
        "2pc-2 34 states in 8 levels, at most 7 in level 3"
    )


def test_nothing_is_drawn_of_nothing():
    with pytest.raises(ValueError, match="no result to draw"):
        levels_chart()
