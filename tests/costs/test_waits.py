import threading
from collections import Counter

import pytest

from memslotlib.costs import waits
from memslotlib.costs.steps import of_operations
from memslotlib.costs.waits import measure_waits, tells_where_threads_sleep
from memslotlib.errors import NotRunError


@pytest.mark.needs_kvm
def test_a_host_waits_as_often_as_the_model_does():
    try:
        samples = measure_waits({"rounds": 10})
    except NotRunError as error:
        pytest.skip(str(error))

    counted = {name: Counter(taken["waits"]) for name, taken in samples.items()}
    assert counted == {name: Counter({made.waits: 10}) for name, made in of_operations().items()}


@pytest.mark.needs_kvm
def test_what_calls_more_than_once_waits_more_often(monkeypatch):
    # A control: the count is of waits, and knows nothing of operations.
    if not tells_where_threads_sleep():
        pytest.skip("this kernel does not tell where threads sleep")
    from memslotlib.costs.operations import a_vm

    with a_vm() as vm, waits.reader(vm, 40) as first:
        second = waits.Reader(vm.another_cpu(), first.pages, first.threads)
        parked = waits.Readers((first, second), waits.count())
        place = waits._PLACE

        def create_and_delete():
            vm.set_user_memory_region(*place.rest)
            vm.set_user_memory_region(*place.gone)

        assert waits._waits(parked, create_and_delete) == 3
        assert waits._waits(parked, lambda: None) == 0


@pytest.mark.needs_kvm
def test_an_interrupt_leaves_no_thread_and_no_sleeper(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    before = threading.active_count()
    monkeypatch.setattr(waits, "_sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_waits({"rounds": 1})
    assert threading.active_count() == before


def test_a_kernel_that_does_not_tell_is_named(monkeypatch):
    monkeypatch.setattr(waits, "tells_where_threads_sleep", lambda: False)
    with pytest.raises(NotRunError, match="does not tell where threads sleep"):
        measure_waits({"rounds": 1})
