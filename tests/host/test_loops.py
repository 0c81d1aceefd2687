import pytest

from memslotlib.host import loops
from memslotlib.host.guest import LOOP, STACK_TOP
from memslotlib.host.ioctls import REGS
from memslotlib.host.loops import Access
from memslotlib.interface import Context


def target(code, at):
    """Where the jump ends whose last byte is code[at]."""
    return at + 1 + int.from_bytes(code[at : at + 1], signed=True)


@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("context", Context)
def test_an_access_loop_jumps_to_its_first_byte(access, context):
    code = loops.access_loop(access, context)

    assert code[-2] == 0xEB
    assert target(code, len(code) - 1) == 0


@pytest.mark.parametrize("access", Access)
def test_every_jump_of_the_overlap_loop_lands_where_its_comment_says(access):
    code = loops.overlap_loop(access)

    assert len(code) == 0x36
    assert code[0x07:0x0A] == bytes.fromhex(
        {"load": "48 8b 03", "store": "48 89 03", "fetch": "ff d3 90"}[access.value]
    )
    jumps = {0x15: 0x1A, 0x1E: 0x28, 0x23: 0x28, 0x33: 0x03, 0x35: 0x00}
    assert {at: target(code, at) for at in jumps} == jumps


def test_the_words_are_where_the_code_counts():
    code = loops.overlap_loop(Access.LOAD)

    assert code[0x06] == code[0x0D] == 8 * loops.Word.PHASE
    assert code[0x19] == 8 * loops.Word.WRONG
    assert code[0x27] == 8 * loops.Word.OVERLAPPING


def test_the_loop_starts_with_its_pages_and_its_pattern():
    regs = REGS.unpack(loops.overlap_regs(0x10000, 3, 0xABCD))

    assert (regs[5], regs[10], regs[8], regs[0]) == (0x10000, 0x13000, 0xABCD, 0xABCD)
    assert (regs[6], regs[16]) == (STACK_TOP, LOOP)


@pytest.mark.parametrize("context", Context)
def test_what_is_called_returns_by_the_width_that_was_pushed(context):
    expected = b"\x66\xc3" if context is Context.REAL16 else b"\xc3"

    assert loops.called(context) == expected
