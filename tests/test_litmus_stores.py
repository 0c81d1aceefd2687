import dataclasses

import pytest

from memslotlib import litmus, litmus_stores
from memslotlib.errors import NotRunError
from memslotlib.host import flip as flips
from memslotlib.host import logged as logs
from memslotlib.host.flip import FlipResult, How, Lap
from memslotlib.host.held import Met
from memslotlib.host.logged import Inside, LogResult, LogTrial, Store
from memslotlib.interface import Context
from memslotlib.litmus_stores import EXPECTED, EXPECTED_HELD, FLIP, LOG, Check, expected
from memslotlib.protocol.properties import PROPERTIES
from memslotlib.uapi import MemFlag
from memslotlib.verdict import HOST_WORDS, Word

CPL3 = Context.LONG64_CPL3
QUIET = Lap(3, 5, 0, 0, 0, 0, 0, 0, 0, 1000)
LANDED, STALLED = Store(Met(9, {}, False), True), Store(Met(0, {}, True), False)
INSIDE = Inside(True, LANDED, STALLED, True)
NAMED = LogTrial(True, LANDED, None, True, 0)
HELD = dataclasses.replace(NAMED, inside=INSIDE)


@pytest.fixture
def harness(monkeypatch):
    """Let the harness return what the test says, and note how it was called."""
    calls = []

    def install(*found):
        def flipped(*arguments):
            calls.append(arguments)
            return FlipResult(How.TODAY, CPL3, found, 0.1, "cffi")

        def logged(*arguments, **named):
            calls.append((*arguments, named))
            return LogResult(CPL3, found, 0.1, "cffi")

        monkeypatch.setattr(flips, "flip", flipped)
        monkeypatch.setattr(logs, "logged", logged)
        return calls

    return install


def texts(answer):
    return {check.value: verdict.text for check, verdict in answer.verdicts.items()}


def flipped(harness, *laps, api="today"):
    harness(*laps)
    return litmus_stores.flip(api, CPL3, 100, "h")


def test_every_expectation_is_a_word_of_a_sample_with_its_reason_and_its_source():
    rows = [*EXPECTED.values(), *EXPECTED_HELD.values()]
    for one in (one for row in rows for one in row.values()):
        assert one.word in HOST_WORDS
        assert one.reason.endswith(".")
        assert one.source
    assert {check for row in rows for check in row} == set(Check)


def test_checks_that_are_named_like_properties_are_of_these():
    named = {check.value for check in Check if check.value[0] == "I"}

    assert named == {"I2", "I3b", "I4b", "I5"} <= set(PROPERTIES)


def test_each_api_of_the_harness_has_its_expectations_and_no_other():
    assert {api for name, api in EXPECTED if name == FLIP} == {how.value for how in How}
    assert {api for name, api in EXPECTED if name == LOG} <= set(litmus.UPDATES)
    both = expected(LOG, "today", held=True, path="emulator")
    assert {check: one.word for check, one in both.items()} == {
        Check.I5: Word.SEEN,
        Check.LANDS: Word.NOT_SEEN,
        Check.LANDS_PROTECTED: Word.NOT_SEEN,
        Check.LOG_READ: Word.NOT_SEEN,
    }
    assert set(expected(LOG, "today")) == {Check.I5}


def test_quiet_laps_are_not_seen_with_the_stores_that_were_at_risk(harness):
    answer = flipped(harness, *[QUIET] * 100)

    assert texts(answer) == dict.fromkeys(
        ("I2", "I4b", "I3b", "hole afterwards", "not once"), "NOT SEEN in 100"
    )
    counts = {check.value: one.opportunities for check, one in answer.verdicts.items()}
    assert counts == {"I2": 500, "I4b": 500, "I3b": 300, "hole afterwards": 500, "not once": 800}
    assert "3 %" in answer.verdicts[Check.I2].bound
    assert answer.samples == {
        "laps": [100],
        "inside": [3] * 100,
        "after": [5] * 100,
        "mmio": [0] * 100,
        "duration_ns": [1000] * 100,
    }


@pytest.mark.parametrize(
    ("field", "checks"),
    [
        ("stale", {"I2"}),
        ("stale_first", {"I4b"}),
        ("mmio", {"I3b"}),
        ("late_mmio", {"hole afterwards"}),
        ("nowhere", {"not once"}),
        ("twice", {"not once"}),
        ("early", {"not once"}),
    ],
)
def test_one_such_store_is_seen_by_its_check_alone(harness, field, checks):
    answer = flipped(harness, *[QUIET] * 99, dataclasses.replace(QUIET, **{field: 2}))

    assert {name for name, text in texts(answer).items() if text == "SEEN 1 of 100"} == checks


def test_what_is_found_in_a_lap_that_proves_nothing_else_is_seen_all_the_same(harness):
    bad = dataclasses.replace(QUIET, inside=0, stale=1)

    answer = flipped(harness, *[QUIET] * 100, bad)

    assert answer.verdicts[Check.I2].text == "SEEN 1 of 101"
    assert answer.verdicts[Check.NOT_ONCE].text == "NOT SEEN in 100"


def test_too_few_laps_that_overlap_are_no_result(harness):
    idle = dataclasses.replace(QUIET, inside=0)

    answer = flipped(harness, *[QUIET] * 99, *[idle] * 9)

    assert {one.word for one in answer.verdicts.values()} == {Word.NOT_RUN}
    assert answer.verdicts[Check.I2].reason == "h: only 99 trials, of 100 to say NOT SEEN"


def test_a_remap_has_no_moment_between_two_calls(harness):
    assert "I4b" not in texts(flipped(harness, *[QUIET] * 100, api="mmap"))


def test_the_host_is_asked_for_the_slot_of_the_litmus_tests(harness):
    calls = harness(*[QUIET] * 100)
    litmus_stores.flip("mremap", CPL3, 7, "h")

    ((asked, how, context, laps),) = calls
    assert (asked.slot, asked.gpa, asked.hvas[0]) == (litmus.SLOT, litmus.GPA, litmus.HVA)
    assert (how, context, laps) == (How.MREMAP, CPL3, 7)
    assert abs(asked.hvas[1] - asked.hvas[0]) >= asked.size_bytes


def logged(harness, *trials, held=False, api="today"):
    harness(*trials)
    return litmus_stores.log(api, CPL3, 20, "h", held=held)


def test_a_written_page_without_its_bit_is_seen(harness):
    lost = dataclasses.replace(NAMED, named=False, refused=1)

    answer = logged(harness, lost, NAMED, lost)

    assert texts(answer) == {"I5": "SEEN 2 of 3"}
    assert answer.samples["named"] == [0, 1, 0]
    assert answer.samples["refused"] == [1, 0, 1]
    assert answer.samples["writable_accesses"] == [-1] * 3


def test_each_check_of_a_hold_looks_at_its_own_store(harness):
    def told(**change):
        trial = dataclasses.replace(HELD, inside=dataclasses.replace(INSIDE, **change))
        answer = logged(harness, *[trial] * 3, held=True)
        return {check.value: one.word.value for check, one in answer.verdicts.items()}

    landed, answered = Store(Met(9, {}, False), True), Store(Met(9, {"mmio": 9}, False), False)
    told_of = dict.fromkeys(("I5", "lands, protected", "log read"), "NOT SEEN")
    assert told() == told_of | {"lands": "SEEN"}
    assert told(writable=answered) == told_of | {"lands": "NOT SEEN"}
    assert told(protected=landed) == told_of | {"lands": "SEEN", "lands, protected": "SEEN"}
    assert told(log_waited=False) == told_of | {"lands": "SEEN", "log read": "SEEN"}


def test_a_store_that_stalled_is_an_opportunity_and_one_that_nobody_made_is_none(harness):
    answer = logged(harness, *[HELD] * 3, held=True)
    assert answer.verdicts[Check.LANDS_PROTECTED].opportunities == 3

    idle = dataclasses.replace(INSIDE, protected=Store(Met(0, {}, False), False))
    answer = logged(harness, *[dataclasses.replace(HELD, inside=idle)] * 3, held=True)
    assert answer.verdicts[Check.LANDS_PROTECTED].word is Word.NOT_RUN


def test_two_updates_are_too_few_to_say_not_seen(harness):
    assert logged(harness, NAMED, NAMED).verdicts[Check.I5].word is Word.NOT_RUN


@pytest.mark.parametrize("api", [api for name, api in EXPECTED if name == LOG])
def test_a_slot_that_logs_keeps_its_log_on_and_both_pages_mapped(api):
    asked = litmus_stores.log_scenario(api)

    _, flags, gpa, size_bytes, _ = asked.create
    assert flags == MemFlag.LOG_DIRTY_PAGES
    last = asked.update[-1]
    assert last[1] == MemFlag.LOG_DIRTY_PAGES
    assert [step[2:] for step in asked.update] == [step.region[2:] for step in litmus.UPDATES[api]]
    for at in (asked.target, asked.untouched):
        assert gpa <= at < gpa + size_bytes
        assert last[2] <= at < last[2] + last[3]
    # A later store to the other page sets a bit of its own.
    assert asked.untouched - last[2] != asked.target - gpa


def test_what_the_host_lacks_is_told(monkeypatch):
    def absent(*_, **__):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(flips, "flip", absent)
    monkeypatch.setattr(logs, "logged", absent)

    with pytest.raises(NotRunError, match="absent"):
        litmus_stores.flip("today", CPL3, 3, "h")
    with pytest.raises(NotRunError, match="absent"):
        litmus_stores.log("today", CPL3, 3, "h", held=False)


@pytest.mark.needs_kvm
@pytest.mark.parametrize("api", [api for name, api in EXPECTED if name == FLIP])
def test_this_host_shows_of_a_flip_what_is_expected(api):
    answer = litmus_stores.flip(api, CPL3, 120, "here")

    words = {check: one.word for check, one in expected(FLIP, api).items()}
    assert {check: one.word for check, one in answer.verdicts.items()} == words
