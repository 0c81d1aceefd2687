import threading

import pytest
from interrupted import ctrl_c

from memslotlib.errors import NotRunError
from memslotlib.host import switchcost as costs
from memslotlib.host.arena import NoProgressError
from memslotlib.host.standins import How, _Nothing
from memslotlib.host.stores import PLACES
from memslotlib.host.switchcost import BLOCKS, switchcost
from memslotlib.interface import Context
from memslotlib.litmus_standin_cost import place

CPL3, LONG64 = Context.LONG64_CPL3, Context.LONG64


def run(how, context=CPL3, rounds=4, backend=None, pages=4):
    try:
        return switchcost(place(pages), how, context, rounds, backend=backend)
    except NoProgressError:
        raise
    except NotRunError as error:
        pytest.skip(str(error))


@pytest.mark.needs_kvm
@pytest.mark.parametrize("context", [CPL3, LONG64], ids=lambda context: context.value)
@pytest.mark.parametrize("how", list(How), ids=lambda how: how.value)
def test_a_stand_in_and_the_pair_take_turns(how, context, backend):
    result = run(how, context, backend=backend)

    made = BLOCKS if how is How.QUIRK_OFF else 4
    assert len(result.switches) == len(result.pairs) == made
    assert result.pages == 4
    for one in (*result.switches, *result.pairs):
        assert one.off_ns > 0
        assert one.on_ns > 0


class _Slow(_Nothing):
    """A switch that takes at least a millisecond to go off."""

    def off(self):
        threading.Event().wait(0.001)


@pytest.mark.needs_kvm
def test_what_takes_longer_is_found_to(monkeypatch):
    real = costs.standin
    monkeypatch.setattr(
        costs,
        "standin",
        lambda how, vm, at: _Slow(vm, at) if how is How.NOTHING else real(how, vm, at),
    )

    for one in run(How.NOTHING).switches:
        assert one.off_ns >= 1_000_000


@pytest.mark.needs_kvm
def test_every_page_is_stored_to_before_each_switch(monkeypatch):
    seen = []

    class Watching(_Nothing):
        def off(self):
            words = self._vm.memory(self._place.hva, self._place.size_bytes).cast("Q").tolist()
            seen.append([max(words[at : at + PLACES]) for at in range(0, len(words), PLACES)])

    monkeypatch.setattr(costs, "standin", lambda how, vm, at: Watching(vm, at))
    run(How.NOTHING, rounds=2)

    # Both kinds are switches of this sort here: four of them, four stores before each.
    assert seen == [[n - 3, n - 2, n - 1, n] for n in (8, 12, 16, 20)]


@pytest.mark.needs_kvm
def test_a_guest_without_progress_is_reported_in_time(monkeypatch, leaks):
    monkeypatch.setattr(costs, "WAIT_LIMIT_S", 0.2)
    monkeypatch.setattr(costs.stores, "program", lambda pages: b"\xeb\xfe")
    leaks()

    with pytest.raises(NoProgressError, match="the guest made 0 of 4 stores in time"):
        run(How.TODAY)
    assert leaks() == {}


@pytest.mark.needs_kvm
@pytest.mark.parametrize("how", [How.MMAP, How.UFFD_MINOR, How.QUIRK_OFF])
def test_ctrl_c_leaves_neither_thread_nor_vm_nor_mapping(how, leaks):
    run(how)
    leaks()

    with pytest.raises(KeyboardInterrupt), ctrl_c(0.3):
        run(how, rounds=10**6)

    assert leaks() == {}


def test_without_a_device_nothing_runs(monkeypatch):
    def absent(*_):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(costs.KvmVm, "_open", absent)

    for how in How:
        with pytest.raises(NotRunError, match="absent"):
            switchcost(place(4), how)
