"""A guest that uses many pages: it loads from one after the other, round after round.

It starts at ``guest.LOOP`` with rdx at the first page and r8 behind the last, and tells in two
words of guest memory how many loads and how many rounds it has made.
"""

from __future__ import annotations

from enum import IntEnum

from ..uapi import PAGE_SIZE
from . import guest
from .loops import assembled


class Count(IntEnum):
    """Which shared 64-bit word counts what."""

    LOADS = 0
    ROUNDS = 1


def program() -> bytes:
    """Return the program, of long mode.

    >>> program()[:5].hex(" ")
    '48 89 d3 8b 03'
    """
    return assembled(
        [
            "round:",
            "48 89 d3",  #             mov %rdx, %rbx
            "page:",
            "8b 03",  #                mov (%rbx), %eax
            f"48 ff 46 {8 * Count.LOADS:02x}",  #  incq LOADS(%rsi)
            f"48 81 c3 {PAGE_SIZE.to_bytes(4, 'little').hex(' ')}",  #  add $4096, %rbx
            "4c 39 c3",  #             cmp %r8, %rbx
            "72 -> page",  #           jb page
            f"48 ff 46 {8 * Count.ROUNDS:02x}",  #  incq ROUNDS(%rsi)
            "eb -> round",  #          jmp round
        ]
    )


def regs(first: int, size_bytes: int, words: int = guest.SHARED) -> bytearray:
    """Return the registers with which the guest uses the pages of [first, first + size_bytes)."""
    return guest.regs(guest.LOOP, rdx=first, r8=first + size_bytes, rsi=words)
