import pytest

from memslotlib.abi import SimVm
from memslotlib.abi.policy import HostPolicy
from memslotlib.conformance.differential import GPA, HVA, Answer, MismatchError, Operation, Pair
from memslotlib.interface import Context, Exit
from memslotlib.uapi import PAGE_SIZE

CREATE = Operation("set_user_memory_region", (1, 0, GPA, PAGE_SIZE, HVA))


@pytest.fixture
def pair():
    with SimVm() as simulator, SimVm() as other:
        yield Pair(simulator, other)


def test_equal_answers_are_counted_by_method_outcome_and_rule(pair):
    assert pair.step(CREATE) == Answer(0)
    assert pair.step(Operation("set_user_memory_region", (2, *CREATE.arguments[1:]))).errno == 17

    assert pair.coverage == {
        "set_user_memory_region: OK": 1,
        "set_user_memory_region: EEXIST": 1,
        "rule overlap": 1,
    }


def test_a_different_errno_is_a_mismatch_that_lists_the_calls(pair):
    pair.simulator.set_user_memory_region(*CREATE.arguments)

    with pytest.raises(MismatchError) as caught:
        pair.step(Operation("set_user_memory_region", (2, *CREATE.arguments[1:])))

    text = str(caught.value)
    assert "the simulator answers EEXIST, the other OK" in text
    assert "0: set_user_memory_region(0x2, 0x0, 0x10000000, 0x1000, 0x200000000000)" in text


def test_a_different_exit_is_a_mismatch():
    with SimVm() as simulator, SimVm(policy=HostPolicy.kvm_pvm()) as other:
        pair = Pair(simulator, other)
        with pytest.raises(MismatchError, match="answers shutdown, the other internal_error"):
            pair.step(Operation("fetch", (GPA,), Context.LONG64_CPL3))


def test_a_different_bitmap_is_a_mismatch(pair):
    pair.step(Operation("set_user_memory_region", (1, 1, GPA, PAGE_SIZE, HVA)))
    pair.other.write(GPA + 8, b"x")

    with pytest.raises(MismatchError, match="get_dirty_log"):
        pair.step(Operation("get_dirty_log", (1,)))


def test_a_different_byte_of_memory_is_a_mismatch(pair):
    pair.compare_memory()
    pair.other.memory(HVA + 0x123, 1)[0] = 7

    with pytest.raises(MismatchError, match="memory differs at hva 0x200000000123: 0xe6 and 0x07"):
        pair.compare_memory()


def test_what_userspace_pokes_the_guest_reads(pair):
    pair.step(CREATE)
    pair.step(Operation("poke", (HVA + 8, b"abcd")))

    answer = pair.step(Operation("read", (GPA + 8, 4), Context.REAL16))

    assert answer.value == Exit("done", b"abcd")
