"""Updates that run out of memory: what each API leaves, and that what it undoes is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memslotlib.check import explore
from memslotlib.claims import load
from memslotlib.litmus_model import UnknownSceneError, api, asked, broken_by, mutant, scene
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.failures import FAILING, FAILS, fails, failures, late, model, unlike
from memslotlib.protocol.program import Program
from memslotlib.protocol.properties import stated
from memslotlib.protocol.slots import Change, Contents
from memslotlib.protocol.world import X86
from memslotlib.provenance import ROOT
from memslotlib.verdict import Word
from memslotlib.views.cpu_table import cpu_table

TRUNCATED = FAILING["failed-truncate+emulator"]
MOVED, LOGGED = FAILING["failed-move+emulator"], FAILING["failed-log+emulator"]
I9A, I9B, I10 = (stated(identity).name for identity in ("I9a", "I9b", "I10"))


def broken(w):
    result = explore(model(replace(w, accesses_max=2)), traces=False)
    return {n for n, one in result.verdicts.items() if one.verdict.word is Word.VIOLATED}


def of(key, what, on=TRUNCATED):
    (one,) = [way for way in failures(key, on.change, X86) if way.what == what]
    return on.one(one, APIS[key])


def test_every_api_has_failures_and_each_ends_in_an_error():
    for key in APIS:
        on = {"move": MOVED, "flags": LOGGED}.get(key, TRUNCATED)
        ways = list(failures(key, on.change, X86))
        assert any(one.is_claimed for one in ways), key
        for one in ways:
            assert sum(op == FAILS for op in one.program) == 1
            assert str(one.program[-1]) in ("ioctl fails", "resume")


@pytest.mark.parametrize("key", [key for key in APIS if key not in ("move", "flags")])
def test_a_failure_before_anything_is_done_is_seen_by_nobody(key):
    first = next(failures(key, TRUNCATED.change, X86))

    assert broken(TRUNCATED.one(first, APIS[key])) == set()


@pytest.mark.parametrize(
    ("key", "what", "breaks"),
    [
        ("today", "ENOMEM in CREATE of short", {I9A, I9B}),
        ("today", "ENOMEM in CREATE of short, created again", {I9B}),
        ("pause", "ENOMEM in CREATE of short, undone before the vCPUs go on", set()),
        ("pause", "ENOMEM in CREATE of short, not undone", {I9A, I9B}),
        ("rfc-posted", "ENOMEM in pass 2, left INVALID", {I9A, I9B}),
        ("rfc-intended", "ENOMEM in pass 2, put back", {I9B}),
        ("user-exit", "ENOMEM in CREATE over, enabled again", set()),
        ("user-exit", "ENOMEM in CREATE over, left disabled", {I9A, I10}),
    ],
)
def test_what_a_late_failure_leaves(key, what, breaks):
    assert broken(of(key, what)) == breaks


def test_a_move_that_fails_has_shown_invalid_and_lost_its_translations():
    w = of("move", "ENOMEM for the metadata of there", MOVED)

    assert broken(w) == {I9B}
    assert "zap all" in [str(op) for op in w.programs[0]]
    faults = tuple(one for one in w.accesses if one.via == "guest")
    assert broken(replace(w, accesses=faults)) == set()


def test_a_log_that_cannot_be_allocated_changes_nothing_and_one_begun_too_early_is_noticed():
    (one,) = failures("flags", LOGGED.change, X86)
    w = LOGGED.one(one, APIS["flags"])
    assert broken(w) == set()

    (whole,) = w.origin
    published = next(n for n, op in enumerate(whole) if str(op).startswith("publish"))
    assert I9A in broken(replace(w, programs=(late(whole, published),)))


def test_a_step_of_the_undoing_that_is_left_out_is_noticed():
    w = of("move", "ENOMEM for the metadata of there", MOVED)
    (program,) = w.programs
    last = max(n for n, op in enumerate(program) if str(op).startswith("publish"))

    assert I9A in broken(replace(w, programs=(program.without(last),)))


def test_a_late_failure_releases_the_lock_that_it_holds_and_no_other():
    whole = APIS["today"].build(TRUNCATED.change, X86, None)
    released = next(n for n, op in enumerate(whole) if str(op).startswith("release"))

    for number, more in ((released - 1, 2), (released, 1)):
        program = late(whole, number)
        assert len(program) == number + 1 + more
        assert program.name.startswith(f"fails after {number + 1}: ")


def test_slots_are_alike_whatever_they_are_called_and_not_when_they_say_anything_else():
    w = TRUNCATED.world(APIS["today"])
    other, old = TRUNCATED.change.before

    def differs(*slots):
        return unlike(Contents(slots), w, 0)

    assert not differs(other, old)
    assert not differs(replace(old, name="again"), other)
    assert differs(other)
    assert differs(other, old.invalid)
    assert differs(other, old.disabled)
    assert differs(other, replace(old, log=True))
    assert differs(other, replace(old, readonly=True))
    assert differs(other, replace(old, hva="B"))
    assert unlike(Contents((other, old)), w, 1)


def test_a_scene_that_fails_is_a_change_of_nothing_and_asks_about_it():
    w = TRUNCATED.world(APIS["user-exit"])

    assert fails(w)
    assert not fails(scene("truncate+emulator").world(APIS["user-exit"]))
    assert w.change == Change(TRUNCATED.change.before, TRUNCATED.change.before)
    assert len(w.programs) == 2
    assert "I9a" in set(asked(TRUNCATED))
    assert "I9a" not in set(asked(scene("truncate+emulator")))
    assert TRUNCATED.refusal(APIS["move"])


def test_a_mutant_changes_the_programs_that_have_the_step():
    w = TRUNCATED.world(APIS["pause"])
    changed = mutant(w, "without edit inactive - by old again")

    assert len(changed.programs) == 1
    assert len(mutant(w, "without pause").programs) == 2
    assert w.programs[0] in changed.origin
    with pytest.raises(UnknownSceneError, match="no step 'kick'"):
        mutant(w, "without kick")
    with pytest.raises(UnknownSceneError, match="pause all has no step 'kick'"):
        mutant(w, "fails after kick")


def test_failing_after_the_first_or_the_last_such_step():
    w = TRUNCATED.world(APIS["user-exit"])
    (first,) = mutant(w, "fails after publish").programs
    (last,) = mutant(w, "fails after the last publish").programs

    assert len(first) < len(last)
    assert "I3a" in broken_by(TRUNCATED, api("user-exit"), X86, "fails after the last publish")


def test_the_claims_ask_what_was_written_down_first():
    claims = load(ROOT / "book" / "claims")
    for identity, keeps in (("Q4.9", "I9a"), ("Q4.10", "I9b")):
        claim = claims[identity]
        assert (claim.litmus, claim.keeps) == (TRUNCATED.name, keeps)
        assert {one.api for one in claim.expect} == set(APIS)


def test_a_trace_shows_the_error_and_what_broke():
    w = of("today", "ENOMEM in CREATE of short")
    result = explore(model(replace(w, accesses_max=1)))

    trace = result.trace(I9A)
    assert trace.steps[-1].label == "the update has returned an error"
    assert "an error" in str(cpu_table(trace))


def test_a_translation_that_leads_elsewhere_is_no_state_as_before():
    w = of("today", "ENOMEM for the INVALID copy of old")
    flipped = replace(TRUNCATED.change.before[1], name="flipped", hva="B")
    before = (TRUNCATED.change.before[0], flipped)
    other = replace(w, change=Change(before, before), programs=(Program((FAILS,)),))
    lying = replace(other, change=_Lying(before, before))

    assert I9A not in broken(other)
    assert I9A in broken(lying)


class _Lying(Change):
    """A change that says of every frame that it had another page."""

    def page_before(self, as_id, gfn):
        return "C" if super().page_before(as_id, gfn) else ""
