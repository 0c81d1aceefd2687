from __future__ import annotations

from protocol.history.judging import explored, labels, steps

from memslotlib.protocol.apis import rfc_list
from memslotlib.protocol.history import error_path
from memslotlib.protocol.world import X86


def test_the_ioctl_returns_with_its_slots_invalid() -> None:
    trace = explored(error_path.before).trace(error_path.UNCHANGED)

    assert labels(trace)[-1] == "updater: the update has returned"
    assert str(trace.values(len(trace))["sets[0,0]"]) == "{s!}"
    assert str(trace.values(len(trace))["sets[0,1]"]) == "{s!}"


def test_a_vcpu_spins_from_the_first_swap_on() -> None:
    trace = explored(error_path.before).trace(error_path.ENDS)

    assert labels(trace)[-1] == "updater: swap active set of as_id 0"


def test_putting_the_slots_back_takes_one_more_swap() -> None:
    before = steps(rfc_list.failing(error_path.CHANGE, X86))
    after = steps(error_path.rolled_back(error_path.CHANGE, X86))

    assert after[: len(before) - 2] == before[:-2]
    assert after[len(before) - 2 :] == [
        "edit_inactive",
        "publish",
        "begin_grace_period",
        "end_grace_period",
        "edit_inactive",
        "release_slots_lock",
        "ioctl_returns",
    ]
