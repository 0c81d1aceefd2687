import dataclasses

import pytest
from interrupted import ctrl_c

from memslotlib.errors import KvmError, NotRunError
from memslotlib.host import held as holding
from memslotlib.host import logged as logging
from memslotlib.host.arena import NoProgressError, Scenario
from memslotlib.host.held import Met
from memslotlib.host.logged import Inside, LogResult, LogTrial, Store, logged
from memslotlib.interface import Access, Context

from .conftest import GPA, HVA
from .test_race import _interprets

CPL3 = Context.LONG64_CPL3
CREATE = (1, 1, GPA, 0x4000, HVA)
UPDATES = {
    "delete-create": ((1, 0, 0, 0, 0), CREATE),
    "move": ((1, 1, GPA + 0x1000, 0x4000, HVA),),
    "none": (CREATE,),
    # Logging ends for a moment: the bitmap goes, the slot stays.
    "off-on": ((1, 0, GPA, 0x4000, HVA), CREATE),
}
UPDATES_MADE = 4


def a_scenario(update="delete-create", access=Access.STORE):
    at = GPA + 0x1000
    return Scenario(access, CREATE, UPDATES[update], (), at, at + 0x2000, b"\xe6" * 8)


def run(update, backend, context=CPL3, held=False):
    try:
        return logged(a_scenario(update), context, UPDATES_MADE, held=held, backend=backend)
    except NoProgressError:
        raise
    except NotRunError as error:
        pytest.skip(str(error))


LANDED, NOT = Store(Met(9, {}, False), True), Store(Met(0, {}, True), False)
INSIDE = Inside(True, LANDED, NOT, True)
TRIAL = LogTrial(True, LANDED, None, False, 1)


def test_a_page_that_was_written_and_is_in_no_log_is_lost():
    def lost(**change):
        return dataclasses.replace(TRIAL, **change).lost

    assert lost()
    assert not lost(named=True)
    assert not lost(before=NOT)
    assert lost(before=NOT, inside=INSIDE)
    assert not lost(before=NOT, inside=dataclasses.replace(INSIDE, writable=NOT))


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"sent": False}, False),
        ({"before": NOT}, False),
        ({"inside": INSIDE}, True),
        ({"inside": dataclasses.replace(INSIDE, held=False)}, False),
    ],
)
def test_an_update_counts_when_the_log_worked_a_store_landed_and_it_was_held(change, counts):
    result = LogResult(CPL3, (dataclasses.replace(TRIAL, **change),), 0.1, "cffi")

    assert bool(result.trials) is counts


@pytest.mark.needs_kvm
@pytest.mark.parametrize("context", [Context.LONG64, CPL3], ids=lambda context: context.value)
@pytest.mark.parametrize(
    ("update", "lost", "refused"),
    [("delete-create", True, 1), ("move", False, 0), ("none", False, 0), ("off-on", True, 1)],
)
def test_the_log_goes_with_the_bitmap_whether_or_not_it_is_held(
    backend, update, lost, refused, context
):
    for one in run(update, backend, context).trials:
        assert (one.written, one.lost, one.refused) == (True, lost, refused)
        assert one.inside is None


@pytest.mark.needs_kvm
@pytest.mark.parametrize("update", ["delete-create", "move"])
def test_a_store_lands_in_an_invalid_slot_s_page_where_it_may_write_and_waits_elsewhere(
    backend, update
):
    if _interprets(CPL3):
        pytest.skip("this host interprets long64-cpl3")
    result = run(update, backend, held=True)

    assert len(result.trials) == UPDATES_MADE
    for one in result.trials:
        assert one.inside.writable.landed
        assert one.inside.writable.met.accesses > 1000
        assert one.inside.writable.met.exits == one.inside.protected.met.exits == {}
        # Where fast_page_fault() is not taken, as under shadow paging.
        assert one.inside.protected.landed is not one.inside.protected.met.stalled
        assert one.inside.log_waited
        assert one.lost is (update == "delete-create")


@pytest.mark.needs_kvm
@pytest.mark.parametrize("update", ["delete-create", "move"])
def test_kvm_s_own_store_lands_nowhere_while_the_slot_is_invalid(backend, update):
    if not _interprets(Context.LONG64):
        pytest.skip("this host runs long64 on the processor")
    result = run(update, backend, Context.LONG64, held=True)

    assert len(result.trials) == UPDATES_MADE
    for one in result.trials:
        for store in (one.inside.writable, one.inside.protected):
            assert not store.landed
            assert set(store.met.exits) == {"mmio"}
        assert one.lost is (update == "delete-create"), "what was stored before it was held"


@pytest.mark.needs_kvm
def test_an_ioctl_that_waits_for_nobody_is_not_held_and_the_log_can_be_read(backend):
    result = run("none", backend, held=True)

    assert len(result.made) == UPDATES_MADE
    assert result.trials == ()
    for one in result.made:
        assert one.inside.writable.landed
        assert one.inside.protected.landed
        assert not one.inside.log_waited


@pytest.mark.needs_kvm
def test_a_slot_that_does_not_log_is_no_trial(backend):
    silent = dataclasses.replace(
        a_scenario("none"), create=(1, 0, *CREATE[2:]), update=((1, 0, *CREATE[2:]),)
    )

    result = logged(silent, CPL3, 2, held=False, backend=backend)

    assert (len(result.made), result.trials) == (2, ())
    assert [one.refused for one in result.made] == [2, 2]


@pytest.mark.needs_kvm
def test_a_log_that_is_refused_for_another_reason_is_an_error(backend, monkeypatch):
    def refused(*_):
        raise KvmError("KVM_GET_DIRTY_LOG", 22)

    monkeypatch.setattr(logging.Arena, "settle", lambda self: {})
    monkeypatch.setattr("memslotlib.host.vm.KvmVm.get_dirty_log", refused)
    with pytest.raises(KvmError, match="EINVAL"):
        logged(a_scenario(), CPL3, 1, held=False, backend=backend)


@pytest.mark.needs_kvm
def test_ctrl_c_in_a_hold_leaves_neither_thread_nor_vm(backend, monkeypatch, leaks):
    run("move", backend, held=True)
    monkeypatch.setattr(holding, "WATCH_S", 3)
    leaks()

    with pytest.raises(KeyboardInterrupt), ctrl_c(0.5):
        logged(a_scenario("move"), held=True, backend=backend)

    assert leaks() == {}


@pytest.mark.parametrize("access", [Access.LOAD, Access.FETCH])
def test_only_stores_make_pages_dirty(access):
    with pytest.raises(ValueError, match=f"a {access.value} makes no page dirty"):
        logged(a_scenario(access=access), held=False)
