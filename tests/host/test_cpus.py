import os
import threading

from memslotlib.host import cpus
from memslotlib.host.cpus import apart


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
