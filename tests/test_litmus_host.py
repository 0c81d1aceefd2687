import pytest

from memslotlib import litmus
from memslotlib.errors import NotRunError
from memslotlib.host import race
from memslotlib.interface import Context
from memslotlib.litmus import Property
from memslotlib.litmus_host import HostRunner, Method
from memslotlib.verdict import Word

FETCH = litmus.get("delete-create+fetch")
LOAD = litmus.get("delete-create+load")


def seen(hits, ran=True):
    return tuple(race.UpdateSeen(hit, ran, int(hit), 1000) for hit in hits)


def result(hits, exits, ran=True):
    return race.RaceResult(
        race.Access.LOAD,
        Context.LONG64,
        "delete-create",
        True,
        seen(hits, ran),
        exits,
        (5, 9),
        0.1,
        "cffi",
    )


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

        for name in ("rendezvous", "free_running", "overlap"):
            monkeypatch.setattr(race, name, run)
        return calls

    return install


def test_hits_of_updates_are_seen_and_every_sample_is_kept(harness):
    calls = harness(result([True, True, False], {"mmio": 4}))

    run = HostRunner("h", Method.RENDEZVOUS, 3).run(LOAD, Property.SERVED, "today", Context.REAL16)

    assert calls == [("load", Context.REAL16, "delete-create", 3)]
    assert (run.verdict.word, run.verdict.hits, run.verdict.trials) == (Word.SEEN, 2, 3)
    assert run.exits == {"mmio": 4}
    assert run.samples == {
        "duration_ns": [1000] * 3,
        "exits": [1, 1, 0],
        "guest_ran": [1, 1, 1],
        "heartbeat": [5, 9],
    }


def test_no_hit_is_not_seen_with_the_updates_that_the_guest_ran_during(harness):
    harness(result([False] * 4, {}))

    run = HostRunner("h", Method.FREE_RUNNING, 4).run(LOAD, Property.SERVED, "move", Context.LONG64)

    assert run.verdict.word is Word.NOT_SEEN
    assert (run.verdict.trials, run.verdict.opportunities) == (4, 4)


def test_silence_of_a_guest_that_never_ran_is_no_result(harness):
    harness(result([False] * 4, {}, ran=False))

    run = HostRunner("h", Method.FREE_RUNNING, 4).run(LOAD, Property.SERVED, "move", Context.LONG64)

    assert run.verdict.word is Word.NOT_RUN
    assert run.verdict.reason == "h: the guest ran during none of 4 updates"


def test_reported_counts_shutdowns_only(harness):
    runner = HostRunner("h", Method.RENDEZVOUS, 2)

    harness(result([True, True], {"internal_error": 2}))
    assert (
        runner.run(FETCH, Property.REPORTED, "today", Context.LONG64).verdict.word is Word.NOT_SEEN
    )
    harness(result([True, True], {"internal_error": 1, "shutdown": 1}))
    run = runner.run(FETCH, Property.REPORTED, "today", Context.LONG64)
    assert (run.verdict.hits, run.exits) == (1, {"shutdown": 1})


def test_an_out_of_tree_module_does_not_speak_for_upstream(harness):
    calls = harness(result([True], {"shutdown": 1}))
    runner = HostRunner("pvm", Method.RENDEZVOUS, 1, out_of_tree=True)

    run = runner.run(FETCH, Property.REPORTED, "today", Context.LONG64_CPL3)

    assert calls == []
    assert run.verdict.text == "NOT RUN"
    assert run.verdict.reason == "pvm: only a stock kernel can show what upstream does"


def test_what_the_host_lacks_is_not_run_with_its_reason(harness):
    harness(NotRunError("/dev/kvm: absent"))

    run = HostRunner("h", Method.OVERLAP, 5).run(LOAD, Property.SERVED, "move", Context.LONG64)

    assert (run.verdict.word, run.verdict.reason) == (Word.NOT_RUN, "/dev/kvm: absent")


def test_an_unknown_api_is_refused_before_anything_runs(harness):
    calls = harness(result([True], {}))
    with pytest.raises(litmus.UnknownLitmusError):
        HostRunner("h", Method.OVERLAP, 5).run(LOAD, Property.SERVED, "batch", Context.LONG64)
    assert calls == []


@pytest.mark.needs_kvm
@pytest.mark.parametrize("access", list(litmus.Access))
@pytest.mark.parametrize("context", list(Context))
def test_every_rendezvous_meets_the_hole(access, context):
    test = litmus.get(f"delete-create+{access.value}")

    run = HostRunner("here", Method.RENDEZVOUS, 40).run(test, Property.SERVED, "today", context)

    assert run.verdict.text == "SEEN 40 of 40"
    assert set(run.exits) == {"internal_error" if access is litmus.Access.FETCH else "mmio"}


@pytest.mark.needs_kvm
def test_move_shows_native_accesses_no_hole_while_the_control_does():
    runner = HostRunner("here", Method.OVERLAP, 150)

    move = runner.run(LOAD, Property.SERVED, "move", Context.LONG64_CPL3)
    control = runner.run(LOAD, Property.SERVED, "today", Context.LONG64_CPL3)

    assert move.verdict.word is Word.NOT_SEEN
    assert move.verdict.opportunities >= 10_000
    assert control.verdict.word is Word.SEEN
