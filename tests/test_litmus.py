import pytest

from memslotlib import litmus
from memslotlib.abi import SimVm
from memslotlib.abi.policy import HostPolicy
from memslotlib.interface import Access, Context
from memslotlib.litmus import BoundaryRunner, Property, UnknownLitmusError
from memslotlib.verdict import Word

SIMULATOR = BoundaryRunner(SimVm)
EXIT_IN_THE_HOLE = {Access.LOAD: "mmio", Access.STORE: "mmio", Access.FETCH: "internal_error"}


def reasons(test, api, context, runner=SIMULATOR):
    return [one.exit.reason for one in runner.outcomes(test, api, context)]


@pytest.mark.parametrize("context", list(Context))
@pytest.mark.parametrize("access", list(Access))
def test_only_the_middle_boundary_of_delete_and_create_shows_a_hole(access, context):
    met = reasons(litmus.get(f"delete-create+{access.value}"), "today", context)

    inside = EXIT_IN_THE_HOLE[access]
    if (access, context) == (Access.FETCH, Context.LONG64_CPL3):
        # Upstream injects #UD above CPL 0; this guest has no handlers, so it shuts down.
        inside = "shutdown"
    assert met == ["done", inside, "done"]


@pytest.mark.parametrize("api", ["move", "flags", "none"])
@pytest.mark.parametrize("access", list(Access))
def test_one_ioctl_shows_no_hole_at_its_boundaries_and_decides_nothing(access, api):
    run = SIMULATOR.run(
        litmus.get(f"delete-create+{access.value}"), Property.SERVED, api, Context.LONG64
    )

    assert run.verdict.word is Word.UNDETERMINED
    assert run.verdict.states == 2
    assert "not inside the ioctl" in run.verdict.bound
    assert run.exits == {}


def test_a_violation_carries_its_trace_its_bound_and_its_exits():
    run = SIMULATOR.run(litmus.get("delete-create+fetch"), Property.SERVED, "today", Context.LONG64)

    assert run.verdict.word is Word.VIOLATED
    assert run.verdict.trace == (
        "before: done",
        "DELETE: internal_error",
        "DELETE CREATE: done",
    )
    assert run.verdict.bound == "one access at each of 3 ioctl boundaries"
    assert run.exits == {"internal_error": 1}


def test_reported_bears_an_exit_to_userspace_but_no_fault_in_the_guest():
    test = litmus.get("delete-create+fetch")

    at_cpl0 = SIMULATOR.run(test, Property.REPORTED, "today", Context.LONG64)
    at_cpl3 = SIMULATOR.run(test, Property.REPORTED, "today", Context.LONG64_CPL3)

    assert at_cpl0.verdict.word is Word.UNDETERMINED
    assert at_cpl3.verdict.word is Word.VIOLATED
    assert at_cpl3.exits == {"shutdown": 1}


def test_the_policy_of_kvm_pvm_reports_what_upstream_does_not():
    runner = BoundaryRunner(lambda: SimVm(policy=HostPolicy.kvm_pvm()))

    met = reasons(litmus.get("delete-create+fetch"), "today", Context.LONG64_CPL3, runner)

    assert met == ["done", "internal_error", "done"]


def test_unknown_names_list_what_there_is():
    with pytest.raises(UnknownLitmusError, match="no litmus test 'x'; there are delete-create"):
        litmus.get("x")
    with pytest.raises(UnknownLitmusError, match="'batch'; it knows today, move, flags, none"):
        litmus.get("delete-create+load").update("batch")


@pytest.mark.needs_kvm
@pytest.mark.parametrize("access", list(Access))
@pytest.mark.parametrize("api", list(litmus.UPDATES))
def test_the_kernel_answers_at_each_boundary_as_the_simulator_predicts(access, api):
    from memslotlib.conformance.hostpolicy import this_host
    from memslotlib.host import KvmVm

    simulator = this_host().simulator
    test = litmus.get(f"delete-create+{access.value}")
    simulated = BoundaryRunner(simulator)
    for context in Context:
        real = BoundaryRunner(KvmVm).outcomes(test, api, context)
        assert real == simulated.outcomes(test, api, context), context
