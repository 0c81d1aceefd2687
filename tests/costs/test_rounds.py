import pytest

from memslotlib.costs.rounds import (
    BLOCKS,
    Spread,
    UnequalRoundsError,
    blocks,
    by_turns,
    ratios,
    verdict,
)
from memslotlib.errors import NotRunError
from memslotlib.verdict import Word


def test_each_round_begins_with_another_contender_and_the_first_round_is_not_kept():
    order = []

    def turn(name):
        def take():
            order.append(name)
            return {"ns": len(order)}

        return take

    samples = by_turns({name: turn(name) for name in "abc"}, 3)

    assert order == [*"abc", *"bca", *"cab", *"abc"]
    assert samples["a"] == {"ns": [6, 8, 10]}
    assert all(len(taken["ns"]) == 3 for taken in samples.values())


def test_no_values_have_no_spread():
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_ratios_are_of_the_same_rounds():
    assert ratios([2, 9], [1, 3]) == [2, 3]
    with pytest.raises(UnequalRoundsError, match="2 rounds against 1"):
        ratios([1, 2], [1])


def test_a_round_in_which_nothing_ran_is_no_round():
    with pytest.raises(NotRunError, match="in 1 of 2 rounds nothing ran"):
        ratios([1, 2], [0, 2])


@pytest.mark.parametrize("count", [1, 7, 20, 23, 40, 200])
def test_every_value_is_in_one_block(count):
    # Each value its own level: a block's median tells which ones are in it.
    found = blocks(list(range(count)), BLOCKS)

    assert len(found) == min(count, BLOCKS)
    assert found == sorted(found)
    assert sum(found) / len(found) == pytest.approx((count - 1) / 2, abs=1)


def test_one_bad_round_of_many_makes_no_hit():
    steady = [1.0] * 200
    steady[17] = 50.0

    assert not any(one >= 2 for one in blocks(steady))


def test_nothing_measured_is_not_run_and_silence_has_a_bound():
    assert verdict([], 0, "demo").word is Word.NOT_RUN
    silent = verdict([False] * 50, 50, "demo", "ioctls")
    assert silent.word is Word.NOT_SEEN
    assert silent.bound == "in at most 5.9 % of such ioctls, with 95 %; 50 measurements"
    assert verdict([True] * 3, 3, "demo").bound == ""
