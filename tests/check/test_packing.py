from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check import CheckError, Symmetric
from memslotlib.check.packing import FIRST_WORD_BITS, WORD_BITS, Field, pack

CPU = Symmetric("cpu", 3)
CORE = Symmetric("core", 2)


@st.composite
def field_lists(draw):
    """Draw fields of nobody and of members, those of a set alike for each member."""
    fields = [Field(width) for width in draw(st.lists(st.integers(0, 20), max_size=12))]
    for of in (CPU, CORE):
        for width in draw(st.lists(st.integers(0, 16), max_size=4)):
            fields += [Field(width, member) for member in of]
    return fields


def places(packing):
    return [
        range(offset, offset + one.width_bits)
        for offset, one in zip(packing.offsets, packing.fields, strict=True)
    ]


@given(field_lists())
def test_no_two_fields_share_a_bit_and_none_crosses_a_word(fields):
    packing = pack(fields)

    bits = [bit for place in places(packing) for bit in place]
    assert len(bits) == len(set(bits)) == packing.bits
    assert all(bit < packing.words * WORD_BITS for bit in bits)
    assert FIRST_WORD_BITS not in bits
    for place in places(packing):
        assert not place or place[0] // WORD_BITS == place[-1] // WORD_BITS


@given(field_lists(), st.data())
def test_what_was_put_is_what_is_got_and_other_fields_stay(fields, data):
    packing = pack(fields)
    codes = [data.draw(st.integers(0, (1 << one.width_bits) - 1)) for one in fields]
    state = 0
    for index, code in enumerate(codes):
        state = packing.put(state, index, (1 << fields[index].width_bits) - 1)
        state = packing.put(state, index, code)

    assert [packing.get(state, index) for index in range(len(fields))] == codes


@given(field_lists(), st.data())
def test_an_effect_puts_codes_and_keeps_the_rest(fields, data):
    packing = pack(fields)
    codes = {
        index: data.draw(st.integers(0, (1 << one.width_bits) - 1))
        for index, one in enumerate(fields)
        if data.draw(st.booleans())
    }
    state = expected = data.draw(st.integers(0, (1 << WORD_BITS * packing.words) - 1))
    for index, code in codes.items():
        expected = packing.put(expected, index, code)

    keep, put = packing.effect(codes.items())

    assert state & keep | put == expected


def permuted(fields, codes, of, order):
    """Return the codes with the fields of member ``i`` moved to member ``order[i]``."""
    seats = [[n for n, one in enumerate(fields) if one.member is member] for member in of]
    found = list(codes)
    for one, other in enumerate(order):
        for source, target in zip(seats[one], seats[other], strict=True):
            found[target] = codes[source]
    return found


@given(field_lists(), st.data())
def test_states_are_canonically_the_same_exactly_if_they_differ_by_a_permutation(fields, data):
    packing = pack(fields)

    def state_of(codes):
        state = 0
        for index, code in enumerate(codes):
            state = packing.put(state, index, code)
        return state

    codes = [data.draw(st.integers(0, min(2, (1 << one.width_bits) - 1))) for one in fields]
    orbit = {
        state_of(permuted(fields, permuted(fields, codes, CPU, one), CORE, other))
        for one in itertools.permutations(range(3))
        for other in itertools.permutations(range(2))
    }

    canonical = packing.canonical(state_of(codes))
    assert canonical in orbit
    assert {packing.canonical(one) for one in orbit} == {canonical}
    for of, one, other in ((CPU, 0, 2), (CPU, 1, 2), (CORE, 0, 1)):
        order = list(range(of.size))
        order[one], order[other] = other, one
        expected = state_of(permuted(fields, codes, of, order))
        assert packing.swapped(state_of(codes), of, one, other) == expected


def test_a_members_fields_lie_together_in_chunks_that_fit_a_word():
    fields = [Field(20, member) for _ in range(4) for member in CORE]

    packing = pack(fields)

    assert [chunk.width_bits for chunk in packing.chunks] == [60, 20]
    assert [chunk.of for chunk in packing.chunks] == [CORE, CORE]
    assert packing.words == 3
    assert [one for one, _ in packing.by_set] == [CORE]


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ([], 1),
        ([20, 20, 20, 3], 1),
        ([20, 20, 20, 4], 2),
        ([16] * 7 + [15], 2),
        ([16] * 8, 3),
        ([16] * 16, 6),  # 5 would do, but the walker knows 6
        ([16] * 24, 8),
        ([16] * 31 + [15], 8),
    ],
)
def test_a_state_takes_as_many_words_as_the_walker_knows(widths, words):
    assert pack([Field(width) for width in widths]).words == words


@pytest.mark.parametrize(
    ("widths", "spare", "words"),
    [
        ([20, 20, 20, 4], 0, 1),
        ([20, 20, 20, 4], 3, 1),
        ([20, 20, 20, 5], 0, 2),
    ],
)
def test_a_word_is_full_only_if_it_is_never_all_ones(widths, spare, words):
    fields = [Field(width, has_spare=place == spare) for place, width in enumerate(widths)]

    assert pack(fields).words == words


def test_a_state_that_is_too_big_is_refused_with_its_size():
    with pytest.raises(CheckError) as error:
        pack([Field(16)] * 32)
    assert str(error.value) == (
        "a state takes 512 bits, over 8 words of 64: declare narrower variables, or fewer"
    )
