"""Two vCPUs that count: the program, and that what is missing is counted."""

from types import SimpleNamespace

import pytest
from interrupted import ctrl_c

from memslotlib.host import increments
from memslotlib.host.arena import NoProgressError
from memslotlib.host.increments import How, Run, count, program


def test_the_instruction_is_locked_or_not():
    assert bytes.fromhex("f0 48 ff 03") in program(locked=True)
    assert bytes.fromhex("f0") not in program(locked=False)
    assert len(program(locked=True)) == len(program(locked=False)) + 1


@pytest.mark.parametrize("locked", [True, False])
def test_every_jump_lands_on_the_first_instruction(locked):
    code = program(locked=locked)

    for at in (code.index(b"\x73"), len(code) - 2):
        assert at + 2 + int.from_bytes(code[at + 1 : at + 2], signed=True) in (0, at)


def test_a_run_says_something_when_there_were_enough_updates_or_none_are_needed():
    def says(updates, needs):
        return Run(4, 0, updates, 0, 1, needs).overlapped

    assert [says(4, True), says(5, True), says(0, False)] == [False, True, True]
    assert set(Run(4, 0, 1, 0, 1, True).row) == {
        "made",
        "lost",
        "updates",
        "served",
        "duration_ns",
    }


def test_an_update_after_one_vcpu_has_finished_does_not_count():
    first, second = [0], [0]
    counting = SimpleNamespace(check=lambda: None)

    def update():
        # The first is done with its third update, the second with its fifth.
        first[0], second[0] = first[0] + 3, second[0] + 2

    made = increments._updated([(counting, first), (counting, second)], 9, update)

    assert (made, first[0], second[0]) == (2, 15, 10)


@pytest.mark.needs_kvm
@pytest.mark.parametrize("how", How)
def test_every_increment_is_made_and_only_a_hole_needs_serving(how, backend):
    one = count(how, 3_000_000, backend=backend)

    assert one.made == 6_000_000
    assert one.needs_updates is (how not in (How.NONE, How.UNLOCKED))
    if how is not How.TODAY:
        assert one.served == 0
    if how not in (How.TODAY, How.UNLOCKED):
        assert one.lost == 0


@pytest.mark.needs_kvm
def test_vcpus_that_do_not_get_on_are_told(backend, monkeypatch):
    monkeypatch.setattr(increments, "WAIT_LIMIT_S", 0.05)

    with pytest.raises(NoProgressError, match=r"not 1099511627776 increments after \d+ updates"):
        count(How.PAUSE, 1 << 40, backend=backend)


@pytest.mark.needs_kvm
def test_ctrl_c_leaves_neither_thread_nor_vm(backend, leaks):
    count(How.TODAY, 1000, backend=backend)
    leaks()
    with pytest.raises(KeyboardInterrupt), ctrl_c(0.4):
        count(How.PAUSE, 1 << 40, backend=backend)

    assert not leaks()
