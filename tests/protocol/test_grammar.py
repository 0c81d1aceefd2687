"""The grammar of steps without a quiescent period: every order that the pairs allow, each once."""

import math

from memslotlib.protocol.grammar import BEFORE, orders, steps
from memslotlib.protocol.scenes import FLIP

ORDERS = list(orders(FLIP))


def test_there_is_every_order_in_which_a_request_comes_before_its_wait():
    count = math.factorial(len(steps(FLIP))) // 2 ** len(BEFORE)

    assert len(ORDERS) == count == 1260
    assert len({program.name for program in ORDERS}) == count


def test_no_order_waits_for_what_nobody_has_begun():
    for program in ORDERS:
        place = {op.step: number for number, op in enumerate(program)}
        for one, other in BEFORE:
            assert place[one] < place[other], program.name


def test_the_steps_stand_between_the_edits_of_the_inactive_set():
    program = ORDERS[0]
    names = [op.step.__name__ for op in program]

    assert names[:3] == ["take_slots_lock", "edit_inactive", "edit_inactive"]
    assert names[-4:] == ["edit_inactive", "edit_inactive", "release_slots_lock", "ioctl_returns"]
    assert list(program.ops[3:-4]) == list(steps(FLIP))
