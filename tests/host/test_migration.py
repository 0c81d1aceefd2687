"""Copying under a storing guest: windows, what they explain, and that nothing stays behind."""

import dataclasses
from types import SimpleNamespace

import pytest
from interrupted import ctrl_c

from memslotlib.copying import Event, How, Moment, Part
from memslotlib.errors import NotRunError
from memslotlib.host import migration
from memslotlib.host.arena import NoProgressError
from memslotlib.host.migration import Stage, Trial, Window, migrated
from memslotlib.host.stores import WORDS, Word

PART = Part(1, 8, 4)
TRIAL = Trial(9, 3, 0, 0, 0, 0, 0, 0, 0, 1)
PAGES = 512


def run(how, backend, trials=2):
    try:
        return migrated(how, trials=trials, pages=PAGES, backend=backend)
    except NoProgressError:
        raise
    except NotRunError as error:
        pytest.skip(str(error))


def test_a_window_explains_stores_of_its_time_to_pages_of_its_part():
    window = Window(PART, 10, 20)

    assert [window.explains(n, 8) for n in (9, 10, 20, 21)] == [False, True, True, False]
    assert [window.explains(15, page) for page in (7, 8, 11, 12)] == [False, True, True, False]


@pytest.mark.parametrize(("busy", "says"), [(2, False), (3, True)])
def test_a_trial_says_something_when_the_guest_stored_between_its_rounds(busy, says):
    assert dataclasses.replace(TRIAL, busy=busy).overlapped is says


class Script:
    """A copier whose guest begins so many stores before each of its calls."""

    size_bytes, sent, differing = 4096, 0, ()

    def __init__(self, words):
        self.words, self.stores = words, ()

    def update(self):
        for stores in self.stores:
            self.words[Word.BEGUN] += stores
            yield Moment(Event.CREATED)


def counted(*rounds):
    """Return the trial of rounds, each told by stores before it and before each of its calls."""
    words = memoryview(bytearray(8 * WORDS)).cast("Q")
    copier = Script(words)
    stage = Stage(copier, SimpleNamespace(exits=0, failures=()), words, None)
    for before, *copier.stores in rounds:
        words[Word.BEGUN] += before
        stage.round()
    return stage.tally(1)


def test_a_round_is_busy_when_the_guest_stored_between_the_last_one_and_it():
    made = counted((5, 0, 0), (0, 0, 0), (1, 2, 3), (0, 4, 0))

    assert (made.rounds, made.busy, made.inside) == (4, 2, 9)


def test_a_guest_that_stored_everything_before_the_first_round_overlaps_none():
    assert not counted((4096, 0), *[(0, 0)] * 5).overlapped


def test_a_row_has_every_count():
    assert set(TRIAL.row) == {field.name for field in dataclasses.fields(Trial)}


@pytest.mark.needs_kvm
@pytest.mark.parametrize("how", How)
def test_what_is_lost_lies_in_a_window(how, backend):
    for one in run(how, backend):
        assert one.unexplained == 0
        assert one.busy <= one.rounds
        assert one.inside < PAGES
        # On both sides of a move, two stores come to the same page.
        twice = one.rounds * (how is How.MOVE)
        assert one.sent >= PAGES - one.lost - one.mmio - twice
        if how in (How.NONE, How.PAUSE, How.MOVE):
            assert (one.lost, one.mmio) == (0, 0)


@pytest.mark.needs_kvm
def test_a_loss_outside_of_every_window_is_told(backend, monkeypatch):
    # The windows are forgotten, so nothing explains what is lost.
    monkeypatch.setattr(Stage, "_delete", lambda self, moment: None)
    trials = run(How.GET_COPY, backend, trials=4)

    assert sum(one.lost for one in trials) == sum(one.unexplained for one in trials) > 0


@pytest.mark.needs_kvm
def test_a_blocked_memory_sends_the_guest_back(backend, monkeypatch):
    monkeypatch.setattr(migration, "ROUND_S", 0.0005)

    assert sum(one.faults for one in run(How.BLOCK, backend, trials=4)) > 0


@pytest.mark.needs_kvm
def test_a_guest_that_does_not_get_on_is_told(backend, monkeypatch):
    monkeypatch.setattr(migration, "WAIT_LIMIT_S", 0.05)
    monkeypatch.setattr(migration, "PAUSE", 100_000_000)

    with pytest.raises(NoProgressError, match="the guest is at store"):
        migrated(How.NONE, trials=1, pages=PAGES, backend=backend)


@pytest.mark.needs_kvm
def test_ctrl_c_leaves_neither_thread_nor_vm(backend, monkeypatch, leaks):
    run(How.BLOCK, backend, trials=1)
    # One trial takes seconds, so that it is a round that is interrupted.
    monkeypatch.setattr(migration, "PAUSE", 10_000_000)
    leaks()
    with pytest.raises(KeyboardInterrupt), ctrl_c(0.4):
        migrated(How.BLOCK, trials=1000, pages=PAGES, backend=backend)

    assert not leaks()
