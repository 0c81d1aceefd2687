"""The guest program that never ends: it accesses memory while the host updates its slots.

It tells of itself in words of guest memory that the host reads: how many accesses it has made,
which one it is making, and which it proves to have run while an update did. It starts at
``guest.LOOP`` with rsi at the words and ebp holding the content that each access finds or leaves.
"""

from __future__ import annotations

from enum import IntEnum

from ..interface import Access, Context
from . import guest


class Word(IntEnum):
    """Which shared 64-bit word is what; the host writes PHASE and AT, the guest the others."""

    #: Accesses that came to their end.
    HEARTBEAT = 0
    #: Odd while an update is under way.
    PHASE = 1
    #: Accesses that began and ended within one odd phase.
    OVERLAPPING = 2
    #: Loads that found something else than the content.
    WRONG = 3
    #: Where to access.
    AT = 4
    #: Where the access under way, or the last one, was begun.
    BEGUN = 5


#: How many of the shared words there are.
WORDS = len(Word)

_ACCESSES = {
    Access.LOAD: "8b 03",  # mov (%ebx), %eax
    Access.STORE: "89 03",  # mov %eax, (%ebx)
    Access.FETCH: "ff d3",  # call *%ebx, in long mode *%rbx
}
_LONG = (Context.LONG64, Context.LONG64_CPL3)


def loop(access: Access, context: Context) -> bytes:
    """Return the program for one kind of access in one context.

    Before and after each access it reads the phase. An access between two equal, odd phases began
    and ended while the host's calls ran: x86 keeps loads in order; and before the next instruction
    can retire, a load or a store is over in KVM's sense, its page mapped or its exit made. For a
    fetch the *execution* is bracketed: no instruction that an application may use orders the
    fetching itself, which may run ahead of the first look by as much as a processor prefetches.

    That an access lay inside the bracket does not say that it met the slot invalid, or met the slot
    at all: a processor that still has the page mapped asks nobody.

    >>> loop(Access.LOAD, Context.PROT32)[:8].hex(" ")
    '8b 5e 20 89 5e 28 8b 4e'
    """
    return assembled(
        [
            "begin:",
            f"8b 5e {_at(Word.AT)}",  #     mov AT(%esi), %ebx
            f"89 5e {_at(Word.BEGUN)}",  #  mov %ebx, BEGUN(%esi)
            f"8b 4e {_at(Word.PHASE)}",  #  mov PHASE(%esi), %ecx
            _ACCESSES[access],
            f"8b 56 {_at(Word.PHASE)}",  #  mov PHASE(%esi), %edx
            "39 e8",  #                     cmp %ebp, %eax
            "74 -> right",  #               je right
            *_count(Word.WRONG, context),
            "right:",
            "39 d1",  #                     cmp %edx, %ecx
            "75 -> apart",  #               jne apart
            "f6 c1 01",  #                  test $1, %cl
            "74 -> apart",  #               jz apart
            *_count(Word.OVERLAPPING, context),
            "apart:",
            # Last: whoever sees the beat sees the other counts.
            *_count(Word.HEARTBEAT, context),
            "eb -> begin",  #               jmp begin
        ],
        # The same instructions in real mode: 32-bit addresses and operands, also of the jumps,
        # which would otherwise cut the instruction pointer to 16 bits.
        bytes.fromhex("67 66") if context is Context.REAL16 else b"",
    )


def regs(content: bytes) -> bytearray:
    """Return the registers that the loop starts with."""
    pattern = int.from_bytes(content[:4], "little")
    return guest.regs(guest.LOOP, rbp=pattern, rax=pattern)


def called(context: Context) -> bytes:
    """Return what a fetch finds instead of the content: ``ret`` of the width that was pushed.

    The loop must go on without leaving the guest, as ``interface.FETCH_STUB`` would.
    """
    return bytes.fromhex("66 c3" if context is Context.REAL16 else "c3")


def _at(word: Word, offset: int = 0) -> str:
    return f"{8 * word + offset:02x}"


def _count(word: Word, context: Context) -> list[str]:
    """Count one more; 32 bits alone would be full after seconds of a guest that runs natively."""
    if context in _LONG:
        return [f"48 ff 46 {_at(word)}"]  # incq
    return [f"83 46 {_at(word)} 01", f"83 56 {_at(word, 4)} 00"]  # addl $1; adcl $0


def assembled(lines: list[str], prefix: bytes = b"") -> bytes:
    """Return the bytes of lines: instruction, short jump (``opcode -> label``), or ``label:``."""
    labels: dict[str, int] = {}
    jumps: dict[int, str] = {}
    code = bytearray()
    for line in lines:
        if line.endswith(":"):
            labels[line[:-1]] = len(code)
            continue
        instruction, _, label = line.partition(" -> ")
        code += prefix + bytes.fromhex(instruction)
        if label:
            code.append(0)
            jumps[len(code)] = label
    for end, label in jumps.items():
        code[end - 1] = (labels[label] - end) & 0xFF
    return bytes(code)
