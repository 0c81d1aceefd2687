import pytest

from memslotlib.abi import HostPolicy, SimVm
from memslotlib.abi.state import GuestMemfd, bitmap_size_bytes

GPA, HVA, PAGE = 0x10_0000, 0x2000_0000_0000, 0x1000


def a_state():
    vm = SimVm(2)
    vm.memory(HVA, 4 * PAGE)
    fd = vm.create_guest_memfd(8 * PAGE)
    vm.set_user_memory_region(1, 1, GPA, 2 * PAGE, HVA)
    vm.set_user_memory_region(2, 0, 0, PAGE, HVA)
    vm.set_user_memory_region(4, 2, 2 * GPA, PAGE, HVA)
    vm.set_user_memory_region2(3, 4, 4 * GPA, PAGE, HVA, PAGE, fd)
    vm.write(GPA, b"!")
    vm.read(2 * GPA, 1)
    return vm._state


def swap_in(state, number, **fields):
    old = state.slot(number)
    state.spaces[0].replace(old, old._replace(**fields))


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda s: swap_in(s, 1, bitmap=None),
        lambda s: swap_in(s, 2, bitmap=bytearray(8)),
        lambda s: swap_in(s, 1, bitmap=bytearray(16)),
        lambda s: s.slot(1).bitmap.__setitem__(0, 4),
        lambda s: setattr(s, "total_pages", 4),
        lambda s: s.gmem_fds[3].bindings.clear(),
        lambda s: s.gmem_fds[3].bindings.update({(0, 3): range(2)}),
        lambda s: s.gmem_fds[3].bindings.update({(0, 2): range(1)}),
        lambda s: s.mmu.mapped.update({(1, 0x100): True}),
        lambda s: s.mmu.mapped.update({(0, 0x200): True}),
        lambda s: setattr(s.spaces[1], "generation", 0),
    ],
)
def test_the_walker_sees_every_corruption(corrupt):
    state = a_state()
    state.check()
    corrupt(state)

    with pytest.raises(AssertionError):
        state.check()


@pytest.mark.parametrize(
    ("corrupt", "text"),
    [
        (lambda s: swap_in(s, 1, bitmap=None), "slot 0x1: bitmap"),
        (lambda s: s.mmu.mapped.update({(1, 0x100): True}), "gfn 0x100 is mapped in a hole"),
        (lambda s: s.gmem_fds[3].bindings.clear(), "guest_memfd bindings and slots disagree"),
    ],
)
def test_the_walker_says_where(corrupt, text):
    state = a_state()
    corrupt(state)

    with pytest.raises(AssertionError) as error:
        state.check()
    assert str(error.value).startswith(text)


def test_a_slot_created_under_a_ring_has_no_bitmap():
    vm = SimVm(policy=HostPolicy())
    vm.enable_cap(192, 0x1000)
    vm.set_user_memory_region(1, 1, GPA, PAGE, HVA)

    vm.check()
    assert vm._state.slot(1).bitmap is None


def test_a_slot_that_logged_before_the_ring_came_keeps_its_bitmap():
    vm = SimVm(policy=HostPolicy())
    vm.set_user_memory_region(1, 1, GPA, PAGE, HVA)
    vm.enable_cap(192, 0x1000)

    vm.check()
    assert vm._state.slot(1).bitmap == bytes(8)
    swap_in(vm._state, 1, flags=0)
    with pytest.raises(AssertionError, match="slot 0x1: bitmap"):
        vm.check()


def test_bound_ranges_are_half_open():
    gmem = GuestMemfd(8 * PAGE, 0, bindings={(0, 1): range(2, 4)})

    assert [gmem.bound(range(n, n + 1)) for n in range(1, 5)] == [False, True, True, False]
    assert gmem.bound(range(8))


@pytest.mark.parametrize(("pages", "size"), [(0, 0), (1, 8), (63, 8), (64, 8), (65, 16)])
def test_bitmaps_are_whole_words(pages, size):
    assert bitmap_size_bytes(pages) == size
