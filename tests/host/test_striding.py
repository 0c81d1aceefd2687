import pytest

from memslotlib.host import guest
from memslotlib.host.pausing import pause, paused_guests, resume
from memslotlib.host.striding import Count, program, regs
from memslotlib.interface import Context
from memslotlib.uapi import PAGE_SIZE

from .conftest import GPA
from .test_pausing import programs, runs


def test_the_program_fits_where_it_is_put():
    assert guest.LOOP + len(program()) <= guest.SHARED


def test_the_guest_starts_with_its_first_page_and_the_end():
    given = regs(0x1000, 0x3000)

    words = [int.from_bytes(given[at : at + 8], "little") for at in range(0, len(given), 8)]
    assert {0x1000, 0x4000, guest.SHARED, guest.LOOP} <= set(words)


@pytest.mark.needs_kvm
def test_a_round_is_a_load_of_each_page(vm):
    made, (words,) = programs(vm, 1)
    with paused_guests(made, Context.LONG64_CPL3) as running:
        resume(running)
        assert runs(words)
        pause(running)
        pages = 0x4000 // PAGE_SIZE
        rounds, loads = words[Count.ROUNDS], words[Count.LOADS]
        # Paused in the middle of a round, or just before it is counted.
        assert rounds * pages <= loads <= (rounds + 1) * pages
        assert running[0].exits == 0
    words.release()


@pytest.mark.needs_kvm
def test_pages_outside_of_the_range_are_not_accessed(vm):
    made, (words,) = programs(vm, 1)
    cpu, _ = made[0]
    with paused_guests([(cpu, regs(GPA + 0x4000, PAGE_SIZE))], Context.LONG64_CPL3) as running:
        resume(running)
        while running[0].exits < 3:
            pass
        pause(running)
        seen = {one.gpa for one in running[0].since(0)}
    words.release()

    assert seen == {GPA + 0x4000}
