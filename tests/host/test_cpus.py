import os
import threading

from memslotlib.host import cpus
from memslotlib.host.cpus import apart, by_itself, spread


def in_company(inside):
    """Run ``inside`` with the native id of a thread that is alive."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        return inside(thread.native_id)
    finally:
        done.set()
        thread.join()


def test_two_threads_share_no_cpu_meanwhile_and_all_is_as_before_after():
    before = os.sched_getaffinity(0)

    def inside(other):
        with apart(other):
            return os.sched_getaffinity(0), os.sched_getaffinity(other)

    mine, others = in_company(inside)

    if len(before) > 1:
        assert not mine & others
        assert mine | others == before
    assert os.sched_getaffinity(0) == before


def test_on_one_cpu_nothing_is_pinned(monkeypatch):
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda thread: {0})
    monkeypatch.setattr(cpus.os, "sched_setaffinity", lambda *_: 1 / 0)

    with apart(1):
        pass


def test_a_thread_that_has_ended_is_no_error():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()

    with apart(thread.native_id):
        pass


def test_others_are_kept_off_the_cpu_of_this_thread():
    allowed = os.sched_getaffinity(0)

    def inside(other):
        with by_itself([other]) as left:
            return left, os.sched_getaffinity(0), os.sched_getaffinity(other)

    left, mine, others = in_company(inside)

    assert os.sched_getaffinity(0) == allowed
    if len(allowed) == 1:
        assert left == 0
    else:
        assert len(mine) == 1
        assert others == allowed - mine
        assert left == len(allowed) - 1


def test_threads_are_spread_over_the_cpus_there_are_and_begin_again_at_the_first(monkeypatch):
    put = {}
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda thread: {5, 3})
    monkeypatch.setattr(cpus.os, "sched_setaffinity", put.__setitem__)

    spread([11, 12, 13])

    assert put == {11: {3}, 12: {5}, 13: {3}}


def test_a_thread_that_has_ended_is_not_spread():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()

    spread([thread.native_id])
