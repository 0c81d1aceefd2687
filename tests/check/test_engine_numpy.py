"""What is the numpy engine's own: how it sorts, finds and orders packed states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check.explore import ENGINES
from memslotlib.check.kinds import Symmetric
from memslotlib.check.packing import Field, pack

pytestmark = pytest.mark.skipif("numpy" not in ENGINES, reason="numpy is not installed")

ROWS = st.integers(1, 3).flatmap(
    lambda words: st.tuples(st.just(words), st.lists(st.integers(0, (1 << 64 * words) - 1)))
)


@given(ROWS)
def test_states_are_sorted_each_once_and_found_again(rows):
    from memslotlib.check import engine_numpy as e

    words, states = rows
    packed = e._as_words(states, words).reshape(-1, words)

    ordered = e._sorted(packed)

    assert [e._as_int(one) for one in ordered] == sorted(set(states))
    if states:
        assert e._found(ordered, packed).all()
        other = e._as_words([state ^ 1 for state in states], words)
        expected = [(state ^ 1) in states for state in states]
        assert e._found(ordered, other).tolist() == expected
    assert not e._found(packed[:0], packed).any()


@given(st.lists(st.integers(0, (1 << 130) - 1), min_size=1), st.integers(2, 4))
def test_members_are_put_in_the_same_order_as_in_python(states, members):
    import numpy as np

    from memslotlib.check import engine_numpy as e

    cpu = Symmetric("cpu", members)
    fields = [Field(20, member) for member in cpu for _ in range(2)] + [Field(9), Field(3)]
    fields += [Field(50, member) for member in cpu]
    packing = pack(fields, least_words=3)
    whole = (1 << 64 * packing.words) - 1
    states = [state * 0x9E3779B97F4A7C15F39CC0605CEDC835 & whole for state in states]
    packed = e._as_words(states, packing.words)

    for of, chunks in packing.by_set:
        e._order(packed, of.size, chunks)

    assert packed.dtype == np.uint64
    assert [e._as_int(one) for one in packed] == [packing.canonical(state) for state in states]
