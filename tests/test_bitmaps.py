"""Bits follow their pages: slices and joins against sets of pages, all small ones and random."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_layout import LOG, layouts

from memslotlib import bitmaps
from memslotlib.abi import SimVm
from memslotlib.bitmaps import Bitmap, carried, joined, last_mask, log_of, named, sliced
from memslotlib.layout import Change, Layout, Region

#: A word of three bits, and slots of up to three words: every bitmap and every cut of these.
BITS, PAGES_MAX = 3, 8


def filled(bitmap):
    """The same with a scratch that is full: what KVM left of an earlier call."""
    ones = ((1 << bitmap.bits) - 1,) * bitmap.half
    return replace(bitmap, words=bitmap.words[: bitmap.half] + ones)


@st.composite
def a_bitmap(draw, npages_max=200):
    npages = draw(st.integers(1, npages_max))
    return Bitmap.of(draw(st.sets(st.integers(0, npages - 1))), npages)


def cut(pages, first, npages):
    return {page - first for page in pages if first <= page < first + npages}


def test_a_slice_is_right_for_every_small_bitmap_and_every_cut():
    tried = 0
    for npages in range(1, PAGES_MAX + 1):
        for named_pages in product((False, True), repeat=npages):
            pages = {page for page, is_named in enumerate(named_pages) if is_named}
            whole = filled(Bitmap.of(pages, npages, BITS))
            for first in range(npages):
                for count in range(1, npages - first + 1):
                    assert sliced(whole, first, count).pages == cut(pages, first, count)
                    tried += 1
    assert tried == sum(2**n * n * (n + 1) // 2 for n in range(1, PAGES_MAX + 1))


def test_a_join_is_right_for_every_small_pair():
    for low, high in product(range(1, 6), repeat=2):
        for bits in range(1 << low + high):
            pages = {page for page in range(low + high) if bits >> page & 1}
            parts = [
                filled(Bitmap.of(cut(pages, first, n), n, BITS))
                for first, n in ((0, low), (low, high))
            ]
            assert joined(parts).pages == pages


@given(a_bitmap(), st.data())
def test_what_is_split_anywhere_and_joined_again_is_what_it_was(bitmap, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, bitmap.npages), max_size=5)) | {bitmap.npages})
    edges = list(zip([0, *cuts], cuts, strict=False))
    parts = [sliced(filled(bitmap), first, end - first) for first, end in edges]

    assert joined(parts) == replace(bitmap, words=joined(parts).words)
    assert joined(parts).pages == bitmap.pages
    # Nothing is lost, and nothing comes in addition.
    assert sum(len(part.pages) for part in parts) == len(bitmap.pages)


@given(a_bitmap(), st.data())
def test_a_cut_at_a_word_copies_words(bitmap, data):
    first = 64 * data.draw(st.integers(0, (bitmap.npages - 1) // 64))
    count = data.draw(st.integers(1, bitmap.npages - first))

    piece = sliced(bitmap, first, count)

    source = bitmap.words[first // 64 :][: piece.half]
    assert piece.words[: piece.half - 1] == source[:-1]
    assert piece.words[piece.half - 1] == source[-1] & last_mask(count)
    assert piece.words[piece.half :] == (0,) * piece.half


def by_whole_words(bitmap, first, npages):
    """A slice as memcpy() would make it: words, without a shift."""
    half = -(-npages // 64)
    words = bitmap.words[first // 64 :][:half]
    words = (*words[:-1], words[-1] & last_mask(npages))
    return Bitmap(npages, (*words, *[0] * half))


def in_place(bitmap, npages):
    """A slot that only forgets its last pages: the buffer stays as it is."""
    half = -(-npages // bitmap.bits)
    return bitmap.words[:half]


def test_words_alone_are_wrong_where_a_cut_is_not_at_a_word():
    whole = Bitmap.of([64, 70, 129], 130)

    assert by_whole_words(whole, 64, 66) == sliced(whole, 64, 66)
    assert by_whole_words(whole, 70, 60).pages != sliced(whole, 70, 60).pages


def test_a_buffer_that_stays_names_pages_that_the_slot_has_no_more():
    whole = Bitmap.of([3, 69, 100], 130)

    words = in_place(whole, 68)

    assert words[-1] & ~last_mask(68)
    with pytest.raises(ValueError, match=r"bits beyond the 68 pages of the slot: 0x1000000020"):
        Bitmap(68, (*words, 0, 0))
    assert sliced(whole, 0, 68).pages == {3}


@pytest.mark.parametrize(("first", "npages"), [(-1, 2), (0, 0), (5, 6), (10, 1)])
def test_a_slice_beyond_the_slot_is_refused(first, npages):
    with pytest.raises(ValueError, match=rf"pages \[{first}, {first + npages}\) of a slot of 10"):
        sliced(Bitmap.of([], 10), first, npages)


def test_a_join_of_nothing_or_of_two_sorts_of_words_is_refused():
    with pytest.raises(ValueError, match="0 bitmaps"):
        joined([])
    with pytest.raises(ValueError, match="2 bitmaps with words of one size"):
        joined([Bitmap.of([], 3), Bitmap.of([], 3, 4)])


def test_a_buffer_has_two_halves():
    assert len(Bitmap.of([], 65).words) == 4
    with pytest.raises(ValueError, match="2 words, and 65 pages need 4"):
        Bitmap(65, (0, 0))


@given(st.integers(1, 300), st.data())
def test_a_log_names_what_it_was_made_of_and_is_as_long_as_the_simulator_s(npages, data):
    pages = data.draw(st.sets(st.integers(0, npages - 1)))

    log = log_of(pages, npages)

    assert named(log) == sorted(pages)
    with SimVm() as vm:
        vm.set_user_memory_region(1, int(LOG), 0, npages << 12, 0x2000_0000_0000)
        vm.memory(0x2000_0000_0000, npages << 12)
        for page in pages:
            vm.write(page << 12, b"!")
        assert vm.get_dirty_log(1) == log
    assert len(log) == bitmaps.size_bytes(npages)


def pages_of(region, offsets):
    """The pages that a slot's offsets stand for: where they are, and what backs them."""
    return {(region.gfn + at, region.hva_of(region.gfn + at)) for at in offsets}


@given(layouts(), layouts(), st.data())
def test_slices_follow_their_pages_and_the_rest_is_handed_over(old, new, data):
    logging = [region for region in old if region.flags & LOG]
    logs = {
        region.slot: Bitmap.of(data.draw(st.sets(st.integers(0, region.npages - 1))), region.npages)
        for region in logging
    }

    made = carried(Change(old, new), logs)

    dirty = {page for one in logging for page in pages_of(one, logs[one.slot].pages)}
    told = {
        page
        for number, bitmap in made.slots.items()
        for page in pages_of(new.slot(number), bitmap.pages)
    }
    rest = {page for one in logging for page in pages_of(one, made.rest[one.slot])}
    stays = {
        page
        for region in new
        if region.flags & LOG
        for page in pages_of(region, range(region.npages))
    }
    # Complete, exact, and told once.
    assert told == dirty & stays
    assert rest == dirty - stays
    assert {number: one.npages for number, one in made.slots.items()} == {
        region.slot: region.npages for region in new if region.flags & LOG
    }


def test_a_slot_without_its_bitmap_is_an_error():
    both = Layout([Region(0, 4, 0, LOG, 1)])

    with pytest.raises(KeyError):
        carried(Change(both, both), {})
