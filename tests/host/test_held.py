import pytest
from interrupted import ctrl_c

from memslotlib.errors import NotRunError
from memslotlib.host import held as holding
from memslotlib.host import parked
from memslotlib.host.arena import NoProgressError
from memslotlib.host.held import Hold, Met, held
from memslotlib.interface import Access, Context

from .conftest import a_scenario
from .test_race import EXITS, _interprets

accesses = pytest.mark.parametrize("access", Access, ids=lambda access: access.value)
updates = pytest.mark.parametrize("update", ["delete-create", "move"])
HOLDS = 5


def run(access, update, backend, context=Context.LONG64_CPL3, step=0):
    try:
        return held(a_scenario(access, update), context, HOLDS, step, backend=backend)
    except NoProgressError:
        raise
    except NotRunError as error:
        pytest.skip(str(error))


def test_a_hold_sums_what_was_met_and_what_had_to_ask_the_slot():
    mapped, stalled = Met(100, {"mmio": 2}, False), Met(0, {}, True)

    assert Hold(True, mapped, stalled, {}).exits == {"mmio": 2}
    assert Hold(True, mapped, stalled, {}).asked == 3
    assert Hold(True, mapped, Met(9, {"mmio": 9}, False), {}).exits == {"mmio": 11}
    assert Hold(True, mapped, None, {}).asked == 2
    assert Hold(True, Met(100, {}, False), None, {}).asked == 0


@pytest.mark.needs_kvm
@accesses
@updates
def test_inside_the_ioctl_a_page_fault_waits_and_a_mapped_page_is_served(backend, access, update):
    if _interprets(Context.LONG64_CPL3):
        pytest.skip("this host interprets long64-cpl3")
    result = run(access, update, backend)

    assert len(result.trials) == HOLDS
    for one in result.trials:
        assert one.mapped.accesses > 1000
        assert one.mapped.exits == one.unmapped.exits == {}
        assert one.unmapped.stalled
        if update == "move":
            assert one.afterwards == {}, "what had stalled was served"


@pytest.mark.needs_kvm
@accesses
@updates
def test_inside_the_ioctl_kvm_s_own_accesses_meet_a_hole(backend, access, update):
    if not _interprets(Context.LONG64):
        pytest.skip("this host runs long64 on the processor")
    result = run(access, update, backend, Context.LONG64)

    assert len(result.trials) == HOLDS
    for one in result.trials:
        assert set(one.mapped.exits) == EXITS[access]
        # A fetch that fails is tried again for ever: the guest never comes to the other page.
        assert (one.unmapped is None) == (access is Access.FETCH)
        if one.unmapped:
            assert set(one.unmapped.exits) == EXITS[access]


@pytest.mark.needs_kvm
@accesses
@pytest.mark.parametrize("context", [Context.LONG64, Context.LONG64_CPL3])
def test_a_change_of_flags_waits_as_long_and_serves_everybody(backend, access, context):
    result = run(access, "flags", backend, context)

    for one in result.trials:
        assert one.mapped.accesses > 0 < one.unmapped.accesses
        assert one.exits == one.afterwards == {}
    if _interprets(context):
        # Nobody had to ask by a fault, and none was turned away: these holds prove nothing less.
        assert len(result.holds) == HOLDS


@pytest.mark.needs_kvm
@accesses
@pytest.mark.parametrize("context", [Context.LONG64, Context.LONG64_CPL3])
def test_a_create_that_waits_has_published_its_slot(backend, access, context):
    result = run(access, "delete-create", backend, context, step=1)

    assert len(result.trials) == HOLDS
    for one in result.trials:
        assert set(one.beforehand) <= EXITS[access] | {"shutdown"}
        assert sum(one.beforehand.values()) > 0, "between the ioctls there was a hole"
        assert one.mapped.accesses > 0 < one.unmapped.accesses
        assert one.exits == one.afterwards == {}


@pytest.mark.parametrize(("update", "step"), [("delete-create", 2), ("move", 1), ("move", -1)])
def test_only_an_ioctl_of_the_update_is_held(update, step):
    with pytest.raises(ValueError, match=f"an update of [12] ioctls has no number {step}"):
        held(a_scenario(update=update), step=step)


@pytest.mark.needs_kvm
def test_an_ioctl_that_waits_for_nobody_is_not_held(backend):
    result = run("load", "none", backend)

    assert len(result.holds) == HOLDS
    assert result.trials == ()


@pytest.mark.needs_kvm
def test_ctrl_c_in_a_hold_leaves_neither_thread_nor_vm(backend, monkeypatch, leaks):
    run("load", "move", backend)
    monkeypatch.setattr(holding, "WATCH_S", 3)
    leaks()

    with pytest.raises(KeyboardInterrupt), ctrl_c(0.5):
        held(a_scenario(update="move"), backend=backend)

    assert leaks() == {}


@pytest.mark.needs_kvm
def test_a_reader_that_does_not_sleep_is_reported(backend, monkeypatch, leaks):
    run("load", "move", backend)
    monkeypatch.setattr(parked.Userfault, "wait", lambda self, limit_s: 0)
    leaks()

    with pytest.raises(NoProgressError, match="the reader of page 0 did not sleep"):
        held(a_scenario(update="move"), backend=backend)

    assert leaks() == {}
