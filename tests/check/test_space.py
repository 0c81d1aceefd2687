from __future__ import annotations

from memslotlib.check.space import Bounds, Counts, Hits


def test_hits_are_counted_and_the_first_level_is_kept():
    hits = Hits()
    assert (hits.count, hits.first_level) == (0, -1)

    hits.add(0, 0)
    assert (hits.count, hits.first_level) == (0, -1)
    hits.add(2, 3)
    hits.add(4)

    assert (hits.count, hits.first_level) == (4, 2)


def test_distinct_states_are_those_of_all_levels():
    assert Counts(levels=[1, 3, 2]).distinct == 6
    assert Counts().distinct == 1


def test_nothing_is_bounded_by_default():
    assert set(vars(Bounds()).values()) == {None}
