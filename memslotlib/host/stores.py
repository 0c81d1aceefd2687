"""The guest program that stores without end, each store told from every other.

Store number ``n`` writes ``n``, eight bytes, to a place of its own, page after page of a slot in
turn, until every place was written; then it begins again at the first. Before a store it tells
that it has begun, afterwards that it has ended, and it waits when it has made as many as the host
allows. It starts at ``guest.LOOP`` with rsi at the words, rbx at the slot, ebp the length of the
pause between two stores. Long mode only.
"""

from __future__ import annotations

from enum import IntEnum

from ..uapi import PAGE_SHIFT, PAGE_SIZE
from . import guest, loops

#: Bytes of one store, and places in one page.
STORE_SIZE_BYTES = 8
PLACES = PAGE_SIZE // STORE_SIZE_BYTES


class Word(IntEnum):
    """Which shared 64-bit word is what; the host writes LIMIT, the guest the others."""

    #: The store that was begun last: what comes after it in the program is not visible yet.
    BEGUN = 0
    #: How many stores the guest may make.
    LIMIT = 1
    #: The store that ended last.
    ENDED = 2


#: How many of the shared words there are.
WORDS = len(Word)


def program(pages: int) -> bytes:
    """Return the program for a slot of so many pages, a power of two.

    x86 makes a processor's stores visible in order. So who reads that store ``n`` is the last one
    begun, reads it before any later store can be seen anywhere; and all stores before ``n`` are
    where they landed.
    """
    if pages < 1 or pages & (pages - 1):
        raise ValueError(f"{pages} pages: not a power of two")
    return loops.assembled(
        [
            "begin:",
            f"48 3b 46 {8 * Word.LIMIT:02x}",  #  cmp LIMIT(%rsi), %rax
            "73 -> begin",  #                     jae begin
            "89 c2",  #                           mov %eax, %edx
            "48 ff c0",  #                        inc %rax
            f"48 89 46 {8 * Word.BEGUN:02x}",  #  mov %rax, BEGUN(%rsi)
            "89 d7",  #                           mov %edx, %edi
            f"81 e7 {_imm32(pages - 1)}",  #      and $pages-1, %edi
            f"c1 e7 {PAGE_SHIFT:02x}",  #         shl $12, %edi
            f"c1 ea {pages.bit_length() - 1:02x}",  # shr $log2(pages), %edx
            f"81 e2 {_imm32(PLACES - 1)}",  #     and $511, %edx
            "8d 3c d7",  #                        lea (%rdi,%rdx,8), %edi
            "48 89 04 3b",  #                     mov %rax, (%rbx,%rdi)
            f"48 89 46 {8 * Word.ENDED:02x}",  #  mov %rax, ENDED(%rsi)
            "89 e9",  #                           mov %ebp, %ecx
            "pause:",
            "ff c9",  #                           dec %ecx
            "75 -> pause",  #                     jnz pause
            "eb -> begin",  #                     jmp begin
        ]
    )


def regs(gpa: int, pause: int) -> bytearray:
    """Return the registers that the program starts with; ``pause`` is at least 1."""
    return guest.regs(guest.LOOP, rbx=gpa, rbp=pause)


def place(number: int, pages: int) -> int:
    """Return which of the slot's 64-bit words store ``number`` writes, the first being 1.

    >>> [place(number, 4) for number in (1, 2, 4, 5, 2048, 2049)]
    [0, 512, 1536, 1, 2047, 0]
    """
    turn, page = divmod(number - 1, pages)
    return page * PLACES + turn % PLACES


def _imm32(value: int) -> str:
    return value.to_bytes(4, "little").hex()
