"""Where each cell and each actor's local state lies among the bits of a packed state.

The fields of a member of a symmetric set lie together, in the same order for every member, in
chunks that do not cross a word: permuting members is swapping chunks. A packed state is an int, or
``words`` words of 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .errors import CheckError
from .kinds import Member, Symmetric

WORD_BITS = 64
#: One word is stored as its value plus one, so that an empty place can be told from it: 64 ones
#: must not occur. Either a bit stays unused, or a field says that it never is all ones.
FIRST_WORD_BITS = 63
#: What the walker is compiled for.
WORDS_MAX = 8


@dataclass(frozen=True)
class Field:
    """So many bits, of a member or of nobody; ``has_spare`` says that they never are all ones."""

    width_bits: int
    member: Member | None = None
    has_spare: bool = False


@dataclass(frozen=True)
class Chunk:
    """A part of every member's block: the same width at another offset for each member."""

    of: Symmetric
    width_bits: int
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class Packing:
    """The offset of each field, in the order in which they were given, and the members' chunks."""

    offsets: tuple[int, ...]
    fields: tuple[Field, ...]
    chunks: tuple[Chunk, ...]
    words: int
    bits: int

    def get(self, state: int, index: int) -> int:
        """Return the code that field ``index`` has in ``state``."""
        return (state >> self.offsets[index]) & self.masks[index]

    def put(self, state: int, index: int, code: int) -> int:
        """Return ``state`` with another code in field ``index``."""
        offset = self.offsets[index]
        return (state & ~(self.masks[index] << offset)) | (code << offset)

    def effect(self, codes: Iterable[tuple[int, int]]) -> tuple[int, int]:
        """Return which bits of a state to keep and which to set, to put codes into fields."""
        changed = put = 0
        for index, code in codes:
            changed |= self.masks[index] << self.offsets[index]
            put |= code << self.offsets[index]
        return ~changed & (1 << WORD_BITS * self.words) - 1, put

    def canonical(self, state: int) -> int:
        """Return the representative of all states that differ from this by permuting members.

        Of each set, the blocks in descending order.
        """
        for of, chunks in self.by_set:
            blocks = [
                tuple(
                    (state >> chunk.offsets[i]) & ((1 << chunk.width_bits) - 1) for chunk in chunks
                )
                for i in range(of.size)
            ]
            ordered = sorted(blocks, reverse=True)
            if ordered == blocks:
                continue
            for number, chunk in enumerate(chunks):
                mask = (1 << chunk.width_bits) - 1
                for i, offset in enumerate(chunk.offsets):
                    state = (state & ~(mask << offset)) | (ordered[i][number] << offset)
        return state

    def swapped(self, state: int, of: Symmetric, one: int, other: int) -> int:
        """Return ``state`` with two members of a set exchanged."""
        for chunk in self.chunks:
            if chunk.of is of:
                a, b = chunk.offsets[one], chunk.offsets[other]
                difference = ((state >> a) ^ (state >> b)) & ((1 << chunk.width_bits) - 1)
                state ^= (difference << a) | (difference << b)
        return state

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """The ones of each field, not shifted."""
        return tuple((1 << one.width_bits) - 1 for one in self.fields)

    @cached_property
    def by_set(self) -> list[tuple[Symmetric, list[Chunk]]]:
        """The chunks of each set."""
        sets = dict.fromkeys(chunk.of for chunk in self.chunks)
        return [(of, [chunk for chunk in self.chunks if chunk.of is of]) for of in sets]


def pack(fields: Sequence[Field], least_words: int = 1) -> Packing:
    """Lay fields out in as few words as a simple rule finds: the biggest pieces first.

    Raises CheckError when they do not fit into what the walker is compiled for.
    """
    first_bits = WORD_BITS if any(one.has_spare for one in fields) else FIRST_WORD_BITS
    pieces = list(_pieces(fields, first_bits))
    pieces.sort(key=lambda piece: -piece[0])
    filled: list[int] = []
    offsets = [0] * len(fields)
    chunks = []
    for width, group, of in pieces:
        copies = of.size if of else 1
        places = [_place(filled, width, first_bits) for _ in range(copies)]
        for copy, place in enumerate(places):
            for index in group[copy]:
                offsets[index] = place
                place += fields[index].width_bits
        if of is not None:
            chunks.append(Chunk(of, width, tuple(places)))
    if len(filled) > WORDS_MAX:
        raise CheckError(
            f"a state takes {sum(filled)} bits, over {WORDS_MAX} words of {WORD_BITS}: "
            "declare narrower variables, or fewer"
        )
    words = max(least_words, len(filled))
    words += words in (5, 7)  # the walker knows 1, 2, 3, 4, 6 and 8
    return Packing(tuple(offsets), tuple(fields), tuple(chunks), words, sum(filled))


#: A piece: its width, for each copy the fields in it, and the set whose members the copies are.
_Piece = tuple[int, list[list[int]], Symmetric | None]


def _pieces(fields: Sequence[Field], widest_bits: int) -> Iterable[_Piece]:
    sets: dict[Symmetric, list[list[int]]] = {}
    for index, one in enumerate(fields):
        if one.member is None:
            yield one.width_bits, [[index]], None
        else:
            of = one.member.of
            blocks = sets.setdefault(of, [[] for _ in range(of.size)])
            blocks[one.member.index].append(index)
    for of, blocks in sets.items():
        start = width = 0
        for end, index in enumerate(blocks[0]):
            bits = fields[index].width_bits
            if width + bits > widest_bits:
                yield width, [block[start:end] for block in blocks], of
                start, width = end, 0
            width += bits
        yield width, [block[start:] for block in blocks], of


def _place(filled: list[int], width: int, first_bits: int) -> int:
    for word, used in enumerate(filled):
        if used + width <= (WORD_BITS if word else first_bits):
            filled[word] += width
            return word * WORD_BITS + used
    filled.append(width)
    return (len(filled) - 1) * WORD_BITS
