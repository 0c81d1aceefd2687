from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check import trees as t


def walk(tree, node, log):
    """Enter a path: reads as (offset, width, code), choices as (count, chosen)."""
    for one in log:
        node = tree.read(node, *one) if len(one) == 3 else tree.choose(node, *one)
    return node


def test_a_new_tree_knows_nothing():
    tree = t.Trees(1)
    root = tree.root()

    assert t.outcomes(tree, root, 5) == [root]
    assert tree.nodes[root] == t.UNKNOWN
    assert tree.root() != root


@given(st.integers(0, 50), st.integers(1, 12), st.integers(0, (1 << 62) - 1))
def test_a_read_goes_on_by_the_bits_at_its_offset_however_wide_it_is(offset, width, state):
    tree = t.Trees(1)
    root = tree.root()
    code = state >> offset & ((1 << width) - 1)
    end = walk(tree, root, [(offset, width, code)])
    tree.end(end, t.BLOCKED)

    assert t.outcomes(tree, root, state) == [end]
    for bit in range(offset, min(62, offset + width)):
        (other,) = t.outcomes(tree, root, state ^ (1 << bit))
        assert tree.nodes[other] == t.UNKNOWN


def test_the_bits_of_another_word_are_read_too():
    tree = t.Trees(2)
    root = tree.root()
    tree.end(walk(tree, root, [(64 + 3, 2, 2)]), t.END)

    (end,) = t.outcomes(tree, root, 2 << 67)
    assert tree.nodes[end] == t.END


def test_outcomes_come_in_the_order_of_the_choices():
    tree = t.Trees(1)
    root = tree.root()
    ends = []
    for choices in itertools.product(range(2), range(3)):
        end = walk(tree, root, [(2, choices[0]), (0, 1, 1), (3, choices[1])])
        tree.end(end, t.LEAF, tree.leaf(~0xF0, len(ends) << 4, 0))
        ends.append(end)

    assert t.outcomes(tree, root, 1) == ends
    assert [tree.effects[tree.nodes[end] >> 32][1] >> 4 for end in ends] == list(range(6))


def test_what_is_unknown_comes_last_and_ends_the_walk():
    tree = t.Trees(1)
    root = tree.root()
    first = walk(tree, root, [(3, 0)])
    tree.end(first, t.BLOCKED)
    tree.end(walk(tree, root, [(3, 2)]), t.BLOCKED)

    found = t.outcomes(tree, root, 0)

    assert found[0] == first
    assert [tree.nodes[end] & 0xFF for end in found] == [t.BLOCKED, t.UNKNOWN]


@pytest.mark.parametrize(
    "other",
    [
        [(0, 2, 1), (4, 1, 1)],
        [(0, 3, 1)],
        [(1, 2, 1)],
        [(2, 1)],
        [(3, 2)],
        [],
    ],
)
def test_a_path_that_does_something_else_than_before_is_a_conflict(other):
    tree = t.Trees(1)
    root = tree.root()
    tree.end(walk(tree, root, [(0, 2, 1)]), t.BLOCKED)

    with pytest.raises(t.ConflictError):
        tree.end(walk(tree, root, other), t.BLOCKED)


def test_the_same_path_with_another_end_is_a_conflict_and_with_the_same_is_none():
    tree = t.Trees(1)
    node = walk(tree, tree.root(), [(0, 2, 1)])
    tree.end(node, t.BLOCKED)
    tree.end(node, t.BLOCKED)

    with pytest.raises(t.ConflictError):
        tree.end(node, t.END)


@given(
    st.integers(0, (1 << 128) - 1), st.integers(0, (1 << 128) - 1), st.integers(0, (1 << 64) - 1)
)
def test_a_leaf_lies_in_words_as_the_walker_reads_it(keep, put, marks):
    tree = t.Trees(2)
    tree.leaf(0, 0, 0)
    number = tree.leaf(keep, put, marks)

    assert tree.effects[number] == (keep, put, marks)
    words = list(tree.leaves[number * 5 : number * 5 + 5])
    assert words[0] | words[1] << 64 == keep
    assert words[2] | words[3] << 64 == put
    assert words[4] == marks


def test_leaves_that_do_the_same_are_one():
    tree = t.Trees(1)

    assert tree.leaf(~3, 1, 0) == tree.leaf(~3, 1, 0)
    assert (
        len({tree.leaf(~3, 1, 0), tree.leaf(~3, 1, 1), tree.leaf(~3, 2, 0), tree.leaf(~7, 1, 0)})
        == 4
    )
    assert len(tree.effects) == 4


def test_a_read_makes_no_more_than_256_children_at_once():
    tree = t.Trees(1)
    root = tree.root()
    before = len(tree.nodes)
    walk(tree, root, [(0, 16, 0x1234)])

    assert len(tree.nodes) == before + 2 * 256
