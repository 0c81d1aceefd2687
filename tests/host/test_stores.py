import pytest

from memslotlib.host import KvmVm, guest, stores
from memslotlib.host.ioctls import REGS
from memslotlib.host.stores import PLACES, Word
from memslotlib.interface import Context

from .conftest import GPA, HVA
from .test_runner import until


@pytest.mark.parametrize("pages", [1, 2, 16, 512])
def test_every_place_is_stored_to_once_a_round_and_every_page_in_turn(pages):
    count = pages * PLACES
    places = [stores.place(number, pages) for number in range(1, count + 1)]

    assert sorted(places) == list(range(count))
    assert [place // PLACES for place in places[: 2 * pages]] == [*range(pages)] * 2
    assert stores.place(count + 1, pages) == places[0]


@pytest.mark.parametrize("pages", [-4, 0, 3, 12])
def test_a_slot_of_any_other_size_is_refused(pages):
    with pytest.raises(ValueError, match=f"{pages} pages: not a power of two"):
        stores.program(pages)


def test_it_tells_of_a_store_before_and_after_it():
    code = stores.program(4)

    begun, store, ended = (
        code.index(bytes.fromhex(one)) for one in ("48 89 46 00", "48 89 04 3b", "48 89 46 10")
    )
    assert begun < store < ended
    assert sorted(Word) == list(range(stores.WORDS))


def test_every_jump_lands_on_an_instruction():
    code = stores.program(4)

    begin, pause = code.index(b"\x48\x3b"), code.index(b"\xff\xc9")
    wait, turn, last = code.index(b"\x73"), code.index(b"\x75"), len(code) - 2
    for at, target in ((wait, begin), (turn, pause), (last, begin)):
        assert at + 2 + int.from_bytes(code[at + 1 : at + 2], signed=True) == target


def test_it_starts_at_the_slot():
    regs = REGS.unpack(stores.regs(GPA, 7))

    assert (regs[1], regs[6], regs[7], regs[16]) == (GPA, guest.STACK_TOP, 7, guest.LOOP)


@pytest.mark.needs_kvm
@pytest.mark.parametrize("context", [Context.LONG64, Context.LONG64_CPL3])
def test_the_guest_stores_each_number_to_its_place_and_stops_at_the_limit(backend, context):
    pages, limit = 4, 4 * PLACES + 3
    with KvmVm(backend=backend) as vm:
        memory = vm.memory(HVA, pages << 12).cast("Q")
        vm.set_user_memory_region(1, 0, GPA, pages << 12, HVA)
        own, code = vm.guest().memory, stores.program(pages)
        own[guest.LOOP - guest.BASE :][: len(code)] = code
        words = own[guest.SHARED - guest.BASE :][: 8 * stores.WORDS].cast("Q")
        words[Word.LIMIT] = limit
        running = vm.run_in_thread(stores.regs(GPA, 1), context)
        until(lambda: words[Word.ENDED] >= limit)
        running.stop()

        assert running.exits == 0
        assert (words[Word.BEGUN], words[Word.ENDED]) == (limit, limit)
        second_round = {stores.place(n, pages): n for n in range(4, limit + 1)}
        assert memory.tolist() == [second_round[place] for place in range(pages * PLACES)]
