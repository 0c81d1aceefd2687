"""Decision trees over the bits of a packed state: what an engine walks instead of Python code.

A tree has a node for each thing that a micro-step reads or chooses, in order, and ends in what it
came to. Nodes and leaves are 64-bit numbers in two arrays, which the C walker, the numpy engine and
the Python engine read alike::

    node   bits 0-7 kind, 8-15 mask (of a read), 16-31 offset (of a read) or count (of a choice),
           32-63 first child, or leaf
    leaf   ``words`` words to keep with AND, ``words`` words to set with OR, one word of marks

A node of kind UNKNOWN has never been walked: the engine stops there and asks for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from .errors import CheckError

UNKNOWN, READ, CHOOSE, LEAF, BLOCKED, END, TRUE, FALSE = range(8)

#: A read of more bits is several reads, so that a node has at most 256 children.
READ_BITS_MAX = 8
#: In a leaf's marks: the step leads nowhere.
STOP = 1 << 63
NODES_MAX = 1 << 28
_WORD = (1 << 64) - 1


class ConflictError(Exception):
    """The same path led to something else before: the actor does not repeat itself."""


class Trees:
    """The nodes and leaves of all trees of a program, for states of so many words."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.nodes = array("Q", [0])
        self.leaves = array("Q")
        #: The same leaves as ints: what to keep, what to set, the marks.
        self.effects: list[tuple[int, int, int]] = []
        self._known: dict[tuple[int, int, int], int] = {}

    def root(self) -> int:
        """Return a new tree, of which nothing is known."""
        return self._children(1)

    def read(self, node: int, offset: int, width: int, code: int) -> int:
        """Go on from ``node`` along a read of ``width`` bits at ``offset`` that gave ``code``."""
        while width > READ_BITS_MAX:
            low = code & ((1 << READ_BITS_MAX) - 1)
            node = self._step(node, READ, (1 << READ_BITS_MAX) - 1, offset, low)
            offset, width, code = (
                offset + READ_BITS_MAX,
                width - READ_BITS_MAX,
                code >> READ_BITS_MAX,
            )
        return self._step(node, READ, (1 << width) - 1, offset, code)

    def choose(self, node: int, count: int, chosen: int) -> int:
        """Go on from ``node`` along one of ``count`` choices."""
        return self._step(node, CHOOSE, 0, count, chosen)

    def end(self, node: int, kind: int, leaf: int = 0) -> None:
        """Say what a path comes to."""
        found = kind | leaf << 32
        if self.nodes[node] not in (UNKNOWN, found):
            raise ConflictError
        self.nodes[node] = found

    def leaf(self, keep: int, put: int, marks: int) -> int:
        """Return the leaf with these bits to keep and to set, and these marks."""
        effect = (keep, put, marks)
        number = self._known.get(effect)
        if number is None:
            number = self._known[effect] = len(self.effects)
            self.effects.append(effect)
            self.leaves.extend(self._words(keep))
            self.leaves.extend(self._words(put))
            self.leaves.append(marks)
        return number

    def _words(self, value: int) -> Sequence[int]:
        return [(value >> 64 * word) & _WORD for word in range(self.words)]

    def _step(self, node: int, kind: int, mask: int, place: int, child: int) -> int:
        count = place if kind == CHOOSE else mask + 1
        found = self.nodes[node]
        if found == UNKNOWN:
            found = kind | mask << 8 | place << 16 | self._children(count) << 32
            self.nodes[node] = found
        elif found & 0xFFFFFFFF != kind | mask << 8 | place << 16:
            raise ConflictError
        return (found >> 32) + child

    def _children(self, count: int) -> int:
        first = len(self.nodes)
        if first + count > NODES_MAX:
            raise CheckError(f"over {NODES_MAX:,} nodes: a step reads too much to be tabulated")
        self.nodes.frombytes(bytes(8 * count))
        return first


def outcomes(trees: Trees, node: int, state: int) -> list[int]:
    """Return the nodes in which the paths of ``state`` end, in the order of the choices.

    The last one is UNKNOWN when the walk cannot go on.
    """
    nodes = trees.nodes
    found: list[int] = []
    waiting = [node]
    while waiting:
        place = waiting.pop()
        word = nodes[place]
        kind = word & 0xFF
        while kind == READ:
            place = (word >> 32) + (state >> (word >> 16 & 0xFFFF) & (word >> 8 & 0xFF))
            word = nodes[place]
            kind = word & 0xFF
        if kind == CHOOSE:
            first = word >> 32
            waiting.extend(range(first + (word >> 16 & 0xFFFF) - 1, first - 1, -1))
            continue
        found.append(place)
        if kind == UNKNOWN:
            break
    return found
