import pytest

from memslotlib.abi.mmu import Mmu

#: Two pages of one large page of the guest, and one of the next.
A, B, C = (0, 0x100), (0, 0x1FF), (0, 0x200)


def load(mmu, place):
    if not mmu.serves(place, is_write=False):
        mmu.map(place, writable=not mmu.shadow)
        return True
    return False


def store(mmu, place):
    if not mmu.serves(place, is_write=True):
        mmu.map(place, writable=True)
        return True
    return False


@pytest.mark.parametrize("shadow", [False, True])
def test_the_first_access_faults_and_the_next_does_not(shadow):
    for access in (load, store):
        mmu = Mmu(shadow=shadow)
        assert [access(mmu, A), access(mmu, A), access(mmu, B)] == [True, False, True]


def test_with_two_dimensional_paging_a_load_maps_for_stores():
    mmu = Mmu(shadow=False)

    assert [load(mmu, A), store(mmu, A)] == [True, False]
    assert mmu.mapped == {A: True}


def test_a_readonly_page_is_mapped_for_loads_only():
    mmu = Mmu(shadow=False)
    mmu.map(A, writable=False)

    assert mmu.serves(A, is_write=False)
    assert not mmu.serves(A, is_write=True)
    assert mmu.mapped == {A: False}


def test_under_shadow_paging_a_load_maps_for_loads():
    mmu = Mmu(shadow=True)

    assert [load(mmu, A), store(mmu, A), store(mmu, A), load(mmu, A)] == [True, True, False, False]


def test_under_shadow_paging_a_load_elsewhere_makes_the_next_store_fault():
    mmu = Mmu(shadow=True)
    store(mmu, A)
    store(mmu, C)

    assert load(mmu, B)
    assert load(mmu, A)  # the table for loads has not got the page yet
    assert not store(mmu, C)  # another large page
    assert [store(mmu, A), store(mmu, A)] == [True, False]
    assert load(mmu, B)  # it is in the table for loads only


def test_the_table_for_loads_is_kept_while_stores_go_through_the_other():
    mmu = Mmu(shadow=True)
    load(mmu, A)
    store(mmu, B)
    load(mmu, A)

    assert not load(mmu, A)
    assert mmu.loading == {(0, 0)}
    assert mmu.loaded == {A}
    assert sorted(mmu.places()) == [A, B]


def test_address_spaces_have_tables_of_their_own():
    mmu = Mmu(shadow=True)
    store(mmu, A)
    load(mmu, (1, 0x101))

    assert not store(mmu, A)
    assert mmu.loading == {(1, 0)}


def test_a_protected_page_faults_on_a_store_and_not_on_a_load():
    mmu = Mmu(shadow=True)
    store(mmu, A)
    store(mmu, B)
    mmu.protect([A, C])

    assert mmu.mapped == {A: False, B: True}
    assert not load(mmu, A)
    assert [store(mmu, A), store(mmu, B)] == [True, False]


@pytest.mark.parametrize("place", [A, B])
def test_zapped_pages_are_gone_from_both_tables(place):
    mmu = Mmu(shadow=True)
    for each in (A, B):
        store(mmu, each)
        load(mmu, each)
        mmu.map(each, writable=False)
    mmu.zap(each for each in mmu.places() if each == place)

    assert list(mmu.places()) == [A if place == B else B]
    assert mmu.loaded == set(mmu.mapped) == {A if place == B else B}


def test_a_page_that_only_loads_reach_can_be_zapped():
    mmu = Mmu(shadow=True)
    mmu.map(A, writable=False)
    mmu.zap([A])

    assert list(mmu.places()) == []
    assert not mmu.serves(A, is_write=False)


def test_zapping_all_leaves_no_table():
    mmu = Mmu(shadow=True)
    store(mmu, A)
    load(mmu, B)
    mmu.zap_all()

    assert (mmu.mapped, mmu.loaded, mmu.loading) == ({}, set(), set())


def test_a_page_in_both_tables_is_one_place():
    mmu = Mmu(shadow=True)
    mmu.map(A, writable=True)
    mmu.map(A, writable=False)

    assert list(mmu.places()) == [A]
