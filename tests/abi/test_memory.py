import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.abi.memory import HostMemory
from memslotlib.errors import MemslotError

HVA = 0x2000_0000_0000
PAGE = 4096


def test_whole_pages_are_mapped_and_zeroed():
    memory = HostMemory()
    memory.view(HVA + 10, 4)

    assert memory.load(HVA, PAGE) == bytes(PAGE)
    assert memory.load(HVA + PAGE - 1, 2) is None
    assert memory.load(HVA - 1, 1) is None
    assert memory.holds(HVA, PAGE)
    assert not memory.holds(HVA, PAGE + 1)


def test_a_range_that_ends_at_a_page_maps_no_more():
    memory = HostMemory()
    memory.view(HVA, PAGE)

    assert not memory.holds(HVA + PAGE, 1)


def test_a_view_is_the_memory_itself():
    memory = HostMemory()
    view = memory.view(HVA + 8, 4)
    view[:] = b"abcd"

    assert view.nbytes == 4
    assert memory.load(HVA + 7, 6) == b"\0abcd\0"
    assert memory.store(HVA + 9, b"XY")
    assert bytes(view) == b"aXYd"


def test_a_store_outside_writes_nothing():
    memory = HostMemory()
    memory.view(HVA, PAGE)

    assert not memory.store(HVA + PAGE - 2, b"abc")
    assert memory.load(HVA + PAGE - 2, 2) == b"\0\0"


@pytest.mark.parametrize("second", [HVA - PAGE, HVA + PAGE])
def test_neighbouring_areas_become_one_and_keep_their_bytes(second):
    memory = HostMemory()
    memory.view(HVA, 1)[:] = b"1"
    memory.view(second, 1)[:] = b"2"

    low = min(HVA, second)
    assert memory.holds(low, 2 * PAGE)
    assert (memory.load(HVA, 1), memory.load(second, 1)) == (b"1", b"2")


def test_an_area_between_two_joins_all_three():
    memory = HostMemory()
    memory.view(HVA, 1)[:] = b"1"
    memory.view(HVA + 2 * PAGE, 1)[:] = b"3"
    assert not memory.holds(HVA, 3 * PAGE)
    memory.view(HVA + PAGE, 1)[:] = b"2"

    whole = memory.load(HVA, 3 * PAGE)
    assert (whole[0:1], whole[PAGE : PAGE + 1], whole[2 * PAGE : 2 * PAGE + 1]) == (
        b"1",
        b"2",
        b"3",
    )


def test_areas_apart_stay_apart():
    memory = HostMemory()
    memory.view(HVA + 4 * PAGE, 1)[:] = b"2"
    memory.view(HVA, 1)[:] = b"1"

    assert memory.load(HVA + 4 * PAGE, 1) == b"2"
    assert not memory.holds(HVA + PAGE, 1)


def test_memory_does_not_grow_under_a_view_that_is_held():
    memory = HostMemory()
    view = memory.view(HVA, PAGE)

    with pytest.raises(MemslotError) as error:
        memory.view(HVA, 2 * PAGE)

    assert str(error.value) == (
        "memory [0x200000000000, 0x200000001000) cannot grow while a view of it is held: "
        "ask for the whole area first"
    )
    view[0] = 7
    assert memory.load(HVA, 1) == b"\7"
    view.release()
    assert memory.view(HVA, 2 * PAGE).nbytes == 2 * PAGE


def test_a_part_can_be_seen_while_a_view_of_the_whole_is_held():
    memory = HostMemory()
    whole = memory.view(HVA, 2 * PAGE)
    memory.view(HVA + PAGE, 1)[0] = 7

    assert whole[PAGE] == 7


def test_a_refused_growth_keeps_every_area_as_it_was():
    memory = HostMemory()
    memory.view(HVA, PAGE)[0] = 1
    held = memory.view(HVA + 2 * PAGE, PAGE)

    with pytest.raises(MemslotError):
        memory.view(HVA, 3 * PAGE)

    held[0] = 3
    assert memory.load(HVA, PAGE) == b"\1" + bytes(PAGE - 1)
    assert memory.load(HVA + 2 * PAGE, 1) == b"\3"
    assert not memory.holds(HVA + PAGE, 1)


@pytest.mark.parametrize(
    ("hva", "size", "text"),
    [
        (HVA, 0, "no memory in [0x200000000000, 0x200000000000)"),
        (HVA, -1, "no memory in [0x200000000000, 0x1fffffffffff)"),
        (-1, 4, "no memory in [-0x1, 0x3)"),
    ],
)
def test_an_empty_or_negative_range_is_no_memory(hva, size, text):
    with pytest.raises(ValueError) as error:
        HostMemory().view(hva, size)

    assert str(error.value) == text


def test_address_0_is_memory_like_any_other():
    assert HostMemory().view(0, 1).nbytes == 1


def test_clear_forgets_everything():
    memory = HostMemory()
    memory.view(HVA, 1)
    memory.clear()

    assert not memory.holds(HVA, 1)
    assert memory.view(HVA, 1)[0] == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), max_size=12))
def test_it_is_a_map_from_page_to_bytes(areas):
    memory, pages = HostMemory(), {}
    for mark, (page, count) in enumerate(areas, start=1):
        memory.view(HVA + page * PAGE, count * PAGE)[::PAGE] = bytes([mark]) * count
        pages |= dict.fromkeys(range(page, page + count), mark)

    for page in range(25):
        expected = bytes([pages[page]]) if page in pages else None
        assert memory.load(HVA + page * PAGE, 1) == expected
