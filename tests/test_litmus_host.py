import dataclasses

import pytest

from memslotlib import litmus
from memslotlib.errors import NotRunError
from memslotlib.host import held, race
from memslotlib.host.arena import UnclaimedError
from memslotlib.host.held import HeldResult, Hold, Met
from memslotlib.host.race import RaceResult, UpdateSeen
from memslotlib.interface import Access, Context
from memslotlib.litmus import Property
from memslotlib.litmus_host import HostRunner, Method, scenario
from memslotlib.verdict import Word

FETCH = litmus.get("delete-create+fetch")
LOAD = litmus.get("delete-create+load")
CPL3 = Context.LONG64_CPL3


def raced(*exits, accesses=7, retried=None):
    seen = tuple(UpdateSeen(each, accesses, 1000, retried) for each in exits)
    return RaceResult(Access.LOAD, Context.LONG64, seen, 0.1, "cffi")


def holds(*unmapped, held=True):
    seen = tuple(Hold(held, Met(50, {}, False), each, {"mmio": 1}) for each in unmapped)
    return HeldResult(Access.LOAD, Context.LONG64, seen, 0.1, "cffi")


STALLED = Met(0, {}, True)


@pytest.fixture
def harness(monkeypatch):
    """Let the harness return what the test says, and note how it was called."""
    calls = []

    def install(answer):
        def run(*arguments):
            calls.append(arguments)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(race, "rendezvous", run)
        monkeypatch.setattr(race, "overlap", run)
        monkeypatch.setattr(held, "held", run)
        return calls

    return install


def run(method, test=LOAD, keeps=Property.SERVED, api="move", context=CPL3, **runner):
    return HostRunner("h", method, 3, **runner).run(test, keeps, api, context)


def test_the_host_is_asked_what_the_litmus_test_says():
    asked = scenario(FETCH, "today")

    assert asked.access is Access.FETCH
    assert asked.create == litmus.CREATE.region
    assert asked.update == (litmus.DELETE.region, litmus.CREATE.region)
    assert (asked.target, asked.untouched) == (litmus.TARGET, litmus.UNTOUCHED)
    assert asked.content == litmus.CONTENT
    assert scenario(LOAD, "move").undo == scenario(LOAD, "flags").undo == (asked.create,)
    assert scenario(LOAD, "today").undo == scenario(LOAD, "none").undo == ()


@pytest.mark.parametrize("method", Method)
def test_a_step_changed_in_the_litmus_test_is_changed_for_the_host(method, harness, monkeypatch):
    calls = harness(NotRunError("stop here"))
    changed = dataclasses.replace(litmus.DELETE, hva=0x1234_5000)
    monkeypatch.setitem(litmus.UPDATES, "today", (changed, litmus.CREATE))
    monkeypatch.setattr(litmus, "TARGET", litmus.GPA + 0x1000)

    run(method, api="today")

    ((asked, context, updates, *step),) = calls
    assert asked.update[0] == (litmus.SLOT, 0, 0, 0, 0x1234_5000)
    assert asked.target == litmus.GPA + 0x1000
    assert (context, updates) == (CPL3, 3)
    assert step == {Method.HELD: [0], Method.HELD_LAST: [1]}.get(method, [])


def test_every_layout_maps_both_pages_that_are_accessed():
    for test in litmus.TESTS.values():
        for api in litmus.UPDATES:
            asked = scenario(test, api)
            for _, _, gpa, size_bytes, _ in (asked.create, asked.update[-1]):
                for at in (asked.target, asked.untouched):
                    assert gpa <= at < gpa + size_bytes
            assert asked.target >> 12 != asked.untouched >> 12


def test_updates_with_an_exit_are_hits_of_those_that_the_guest_ran_inside(harness):
    harness(raced({"mmio": 3}, {}, {"mmio": 1}))

    seen = run(Method.RENDEZVOUS, api="today")

    assert (seen.verdict.text, seen.verdict.opportunities) == ("SEEN 2 of 3", 21)
    assert seen.exits == {"mmio": 4}
    assert seen.samples == {
        "updates": [3],
        "duration_ns": [1000] * 3,
        "accesses": [7] * 3,
        "exits": [3, 0, 1],
        "retried": [-1] * 3,
    }


def test_faults_that_were_tried_again_inside_are_kept_with_their_updates(harness):
    harness(raced(*[{}] * 100, retried=2))

    assert run(Method.OVERLAP).samples["retried"] == [2] * 100


def test_no_hit_is_not_seen_with_the_accesses_that_ran_inside(harness):
    harness(raced(*[{}] * 100))

    verdict = run(Method.OVERLAP).verdict

    assert (verdict.word, verdict.trials, verdict.opportunities) == (Word.NOT_SEEN, 100, 700)


@pytest.mark.parametrize(
    ("method", "result", "reason"),
    [
        (Method.OVERLAP, raced(*[{}] * 99), "only 99 of 99 updates; overlap needs 100"),
        (Method.OVERLAP, raced(*[{}] * 4, accesses=0), "only 0 of 4 updates; overlap needs 100"),
        (Method.RENDEZVOUS, raced({}, {}), "only 2 of 2 updates; rendezvous needs 3"),
        (Method.HELD, holds(*[STALLED] * 9, held=False), "only 0 of 9 updates; held needs 3"),
        # Nobody asked the slot: the page tables served everything.
        (Method.HELD, holds(None, None, None), "only 0 of 3 updates; held needs 3"),
    ],
)
def test_too_little_silence_is_no_result(harness, method, result, reason):
    harness(result)

    verdict = run(method, api="today").verdict

    assert verdict.word is Word.NOT_RUN
    assert verdict.reason == f"h: the guest ran inside {reason} to say NOT SEEN"


def test_reported_counts_only_updates_with_a_shutdown(harness):
    def reported(*exits):
        harness(raced(*exits))
        return run(Method.RENDEZVOUS, FETCH, Property.REPORTED, "today", Context.LONG64)

    failed, died = {"internal_error": 1}, {"internal_error": 5, "shutdown": 1}
    assert reported(failed, failed, failed).verdict.text == "NOT SEEN in 3"
    mixed = reported(failed, died, failed)
    assert (mixed.verdict.text, mixed.exits) == ("SEEN 1 of 3", {"shutdown": 1})


def test_an_access_that_stalled_while_held_is_an_opportunity(harness):
    harness(holds(*[STALLED] * 20))
    silent = run(Method.HELD)
    harness(holds(*[Met(4, {"mmio": 4}, False)] * 20))
    loud = run(Method.HELD, context=Context.LONG64)

    assert (silent.verdict.text, silent.verdict.opportunities) == ("NOT SEEN in 20", 20)
    assert silent.samples["unmapped_stalled"] == [1] * 20
    assert (loud.verdict.text, loud.exits) == ("SEEN 20 of 20", {"mmio": 80})
    assert loud.samples["mapped_accesses"] == [50] * 20
    assert loud.samples["exits_afterwards"] == [1] * 20


def test_what_was_met_before_a_hold_is_kept_but_not_counted_against_it(harness):
    served = Met(4, {}, False)
    harness(
        HeldResult(
            Access.LOAD,
            Context.LONG64,
            (Hold(True, served, served, {}, {"mmio": 7}),) * 3,
            0.1,
            "cffi",
        )
    )
    seen = run(Method.HELD_LAST, api="today")

    assert (seen.verdict.text, seen.exits) == ("NOT SEEN in 3", {})
    assert seen.samples["exits_beforehand"] == [7] * 3
    assert seen.samples["exits_afterwards"] == [0] * 3


def test_an_out_of_tree_module_does_not_speak_for_upstream(harness):
    calls = harness(raced({"shutdown": 1}))

    refused = run(Method.RENDEZVOUS, FETCH, Property.REPORTED, "today", out_of_tree=True).verdict

    assert calls == []
    assert refused.text == "NOT RUN"
    assert refused.reason == "h: only a stock kernel can show what upstream does"


@pytest.mark.parametrize("method", Method)
def test_what_the_host_lacks_is_not_run_with_its_reason(harness, method):
    harness(NotRunError("/dev/kvm: absent"))

    verdict = run(method).verdict

    assert (verdict.word, verdict.reason) == (Word.NOT_RUN, "/dev/kvm: absent")


def test_what_the_test_does_not_explain_is_no_result_at_all(harness):
    harness(UnclaimedError("3 times mmio read at 0x0"))

    with pytest.raises(UnclaimedError):
        run(Method.OVERLAP)


def test_an_unknown_api_is_refused_before_anything_runs(harness):
    calls = harness(raced({}))
    with pytest.raises(litmus.UnknownLitmusError):
        run(Method.OVERLAP, api="batch")
    assert calls == []


@pytest.mark.needs_kvm
@pytest.mark.parametrize("access", list(Access))
@pytest.mark.parametrize("context", list(Context))
def test_every_rendezvous_meets_the_hole(access, context):
    test = litmus.get(f"delete-create+{access.value}")

    seen = HostRunner("here", Method.RENDEZVOUS, 40).run(test, Property.SERVED, "today", context)

    assert seen.verdict.text == "SEEN 40 of 40"
    told = {"internal_error" if access is Access.FETCH else "mmio"}
    assert set(seen.exits) <= told | {"shutdown"}


@pytest.mark.needs_kvm
def test_move_shows_native_accesses_no_hole_while_the_controls_do_what_they_must():
    def overlapped(api):
        return HostRunner("here", Method.OVERLAP, 150).run(LOAD, Property.SERVED, api, CPL3)

    move, control, nothing = overlapped("move"), overlapped("today"), overlapped("none")

    assert move.verdict.text == nothing.verdict.text == "NOT SEEN in 150"
    assert move.verdict.opportunities >= 10_000
    assert control.verdict.word is Word.SEEN
    assert control.verdict.trials == 150
