import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from memslotlib.host import parked as parking
from memslotlib.host.arena import NoProgressError, arena
from memslotlib.host.parked import begun, end, reader, sleeps
from memslotlib.interface import Context

from .conftest import a_scenario


@pytest.fixture
def made(backend):
    with arena(a_scenario(), Context.LONG64_CPL3, backend) as made:
        yield made


def test_a_thread_that_runs_or_waits_for_a_lock_does_not_sleep_in_the_kernel():
    assert not sleeps(threading.get_native_id())
    wait = threading.Event()
    waiting = threading.Thread(target=wait.wait)
    waiting.start()
    try:
        assert not sleeps(waiting.native_id)
    finally:
        wait.set()
        waiting.join()


def test_a_call_is_begun_in_the_thread_that_is_told():
    with ThreadPoolExecutor(2) as threads:
        called, thread_id = begun(threads, threading.get_native_id)

        assert called.result() == thread_id != threading.get_native_id()


@pytest.mark.needs_kvm
def test_a_change_of_a_slot_waits_until_the_page_is_served(made):
    with reader(made.vm, 2) as parked:
        for number in range(2):
            page, reading = parked.park(number)
            started, asleep = parked.start(made, lambda: made.apply(made.scenario.update[:1]))
            assert asleep
            time.sleep(0.02)
            assert not started.done()
            assert not reading.done()

            parked.pages.serve(page)
            end(reading, "the reader")
            end(started, "the ioctl")
            assert reading.result().reason == "done"
            made.apply(made.scenario.update[1:])
            made.settle()


@pytest.mark.needs_kvm
def test_a_call_that_waits_for_nobody_has_returned(made):
    with reader(made.vm, 1) as parked:
        page, _ = parked.park(0)
        started, asleep = parked.start(made, lambda: 7)

        assert (started.result(), asleep) == (7, False)
        parked.pages.serve(page)


@pytest.mark.needs_kvm
def test_what_still_waits_when_it_ends_is_served(made, leaks):
    leaks()
    with reader(made.vm, 1) as parked:
        _, reading = parked.park(0)
        started, asleep = parked.start(made, lambda: made.apply(made.scenario.update[:1]))
        assert asleep

    assert reading.done()
    assert started.done()
    made.apply(made.scenario.update[1:])
    left = leaks()
    # The reader's vCPU stays, and its memory: the VM closes them.
    assert left["threads"] == left["fd of anon_inode:[userfaultfd]"] == 0


@pytest.mark.needs_kvm
def test_what_does_not_return_is_reported_in_time(made, monkeypatch):
    monkeypatch.setattr(parking, "WAIT_LIMIT_S", 0.1)
    with reader(made.vm, 1) as parked:
        _, reading = parked.park(0)
        with pytest.raises(NoProgressError, match=r"the reader did not return in 0\.1 s"):
            end(reading, "the reader")
