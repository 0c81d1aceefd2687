import re

import pytest

from memslotlib.host import loops
from memslotlib.host.guest import LOOP, STACK_TOP
from memslotlib.host.ioctls import REGS
from memslotlib.host.loops import Word
from memslotlib.interface import Access, Context

LONG = (Context.LONG64, Context.LONG64_CPL3)


@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("context", Context)
def test_every_jump_lands_on_an_instruction_and_the_last_one_on_the_first(access, context):
    code = loops.loop(access, context)
    prefix = bytes.fromhex("67 66") if context is Context.REAL16 else b""
    width = 3 if context in LONG else 4

    begin = re.escape(prefix + bytes.fromhex("8b 5e 20"))
    starts = {match.start() for match in re.finditer(begin, code)}
    assert starts == {0}
    last_jump = int.from_bytes(code[-1:], signed=True)
    assert (code[-2], len(code) + last_jump) == (0xEB, 0)
    # Both conditions lead past the count of OVERLAPPING, to the count of HEARTBEAT.
    heartbeat = code.rindex(prefix + (b"\x48\xff\x46\0" if width == 3 else b"\x83\x46\0\1"))
    targets = [
        match.end() + match.group(1)[0]
        for match in re.finditer(re.escape(prefix) + rb"[\x74\x75](.)", code, re.DOTALL)
    ]
    assert targets[1:] == [heartbeat, heartbeat]
    assert code[targets[0] :].startswith(prefix + bytes.fromhex("39 d1"))


@pytest.mark.parametrize(
    ("access", "code"), [("load", "8b 03"), ("store", "89 03"), ("fetch", "ff d3")]
)
def test_the_access_lies_between_two_looks_at_the_phase(access, code):
    before, after = bytes.fromhex("8b 4e 08"), bytes.fromhex("8b 56 08")

    assert before + bytes.fromhex(code) + after in loops.loop(Access(access), Context.PROT32)


def test_long_mode_differs_from_32_bits_only_in_how_it_counts():
    wide, narrow = (loops.loop(Access.LOAD, c).hex(" ") for c in (Context.LONG64, Context.PROT32))

    assert loops.loop(Access.LOAD, Context.LONG64_CPL3).hex(" ") == wide
    assert wide.count("48 ff 46") == narrow.count("83 56") == 3
    assert wide[: wide.index("74")] == narrow[: narrow.index("74")]


def test_the_words_are_apart():
    assert sorted(Word) == list(range(loops.WORDS))


def test_the_loop_starts_with_its_content():
    regs = REGS.unpack(loops.regs(b"\xcd\xab\0\0\xff\xff\xff\xff"))

    assert (regs[0], regs[7]) == (0xABCD, 0xABCD)
    assert (regs[6], regs[16]) == (STACK_TOP, LOOP)


@pytest.mark.parametrize("context", Context)
def test_what_is_called_returns_by_the_width_that_was_pushed(context):
    expected = b"\x66\xc3" if context is Context.REAL16 else b"\xc3"

    assert loops.called(context) == expected
