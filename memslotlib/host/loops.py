"""Guest programs that never end: they access memory while the host updates its slots.

Each counts its turns in guest memory, so that the host can tell a guest that ran from one that did
not. All run from ``guest.LOOP`` with rbx (or rdi) at the accessed page and rsi at the shared words.
"""

from __future__ import annotations

from enum import Enum, IntEnum

from ..interface import Context
from ..uapi import PAGE_SIZE
from . import guest


class Access(Enum):
    """What a guest does to the memory whose slot is updated."""

    LOAD = "load"
    STORE = "store"
    FETCH = "fetch"


class Word(IntEnum):
    """Which of the shared 64-bit words is what."""

    HEARTBEAT = 0
    PHASE = 1
    OVERLAPPING = 2
    WRONG = 3


#: How many of the shared words there are.
WORDS = len(Word)

_WIDE = {
    Access.LOAD: "8b 03",  # mov (%rbx), %eax
    Access.STORE: "89 03",  # mov %eax, (%rbx)
    Access.FETCH: "ff d3",  # call *%rbx
}
_ACCESSES = {
    # 0x67: 32-bit addresses; 0x66: 32-bit operands. Real mode without its 64 KiB limit.
    Context.REAL16: {
        Access.LOAD: "67 66 8b 03",
        Access.STORE: "67 66 89 03",
        Access.FETCH: "66 ff d3",
    },
    Context.PROT32: _WIDE,
    Context.LONG64: _WIDE,
    Context.LONG64_CPL3: _WIDE,
}
_COUNT_64 = "48 ff 06"  # incq (%rsi)
#: One turn more. 32 bits alone would be full after seconds of a guest that runs natively.
_COUNT = {
    Context.REAL16: "67 66 83 06 01  67 66 83 56 04 00",  # addl $1, (%esi); adcl $0, 4(%esi)
    Context.PROT32: "83 06 01  83 56 04 00",
    Context.LONG64: _COUNT_64,
    Context.LONG64_CPL3: _COUNT_64,
}


def access_loop(access: Access, context: Context) -> bytes:
    """Return the loop: one access to the page at rbx, one turn counted, and again.

    >>> access_loop(Access.LOAD, Context.LONG64_CPL3).hex(" ")
    '8b 03 48 ff 06 eb f9'
    """
    # In real mode the jump, too, must not cut the instruction pointer to 16 bits.
    jump = "66 eb" if context is Context.REAL16 else "eb"
    body = bytes.fromhex(_ACCESSES[context][access] + _COUNT[context] + jump)
    return body + bytes([0x100 - len(body) - 1])


def called(context: Context) -> bytes:
    """Return what a fetch loop calls: ``ret`` of the width that the call pushed."""
    return bytes.fromhex("66 c3" if context is Context.REAL16 else "c3")


#: The access of the overlap loop, three bytes each. rax holds the pattern that a store writes.
_OVERLAP_ACCESSES = {
    Access.LOAD: "48 8b 03",  # mov (%rbx), %rax
    Access.STORE: "48 89 03",  # mov %rax, (%rbx)
    Access.FETCH: "ff d3 90",  # call *%rbx; nop
}


def overlap_loop(access: Access) -> bytes:
    """Return 64-bit code that proves which of its accesses ran while an ioctl did.

    It accesses each page in [rdi, r10) in turn, and before and after each access reads the phase
    that the host makes odd for as long as its ioctls run. An access between two equal, odd phases
    began and ended inside that bracket: x86 keeps loads in order, and a store or a fetch is over
    in KVM's sense, its page mapped or its exit made, before the next instruction runs.
    """
    return bytes.fromhex(
        "48 89 fb"  #                00       mov  %rdi, %rbx       the first page
        "48 8b 4e 08"  #             03 loop: mov  8(%rsi), %rcx    PHASE before
        + _OVERLAP_ACCESSES[access]  # 07
        + "48 8b 56 08"  #           0a       mov  8(%rsi), %rdx    PHASE after
        "48 ff 06"  #                0e       incq (%rsi)           HEARTBEAT
        "4c 39 c0"  #                11       cmp  %r8, %rax        read what is not there?
        "74 04"  #                   14       je   1a
        "48 ff 46 18"  #             16       incq 24(%rsi)         WRONG
        "48 39 d1"  #                1a       cmp  %rdx, %rcx
        "75 09"  #                   1d       jne  next
        "f6 c1 01"  #                1f       test $1, %cl
        "74 04"  #                   22       jz   next
        "48 ff 46 10"  #             24       incq 16(%rsi)         OVERLAPPING
        "48 81 c3 00 10 00 00"  #    28 next: add  $4096, %rbx
        "4c 39 d3"  #                2f       cmp  %r10, %rbx
        "72 cf"  #                   32       jb   loop
        "eb ca"  #                   34       jmp  00
    )


def overlap_regs(first_gpa: int, pages: int, pattern: int) -> bytearray:
    """Return the registers of the overlap loop over ``pages`` pages that all hold ``pattern``."""
    end = first_gpa + pages * PAGE_SIZE
    return guest.regs(guest.LOOP, rdi=first_gpa, r10=end, r8=pattern, rax=pattern)
