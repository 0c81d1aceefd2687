import dataclasses
import itertools

import pytest
from made_rounds import WELL

from memslotlib import litmus, litmus_standins
from memslotlib.abi.policy import HostPolicy
from memslotlib.errors import NotRunError
from memslotlib.host import switched as switching
from memslotlib.host.describe import describe
from memslotlib.host.standins import How
from memslotlib.host.switched import Met, Round, SwitchedResult
from memslotlib.interface import Access, Context
from memslotlib.litmus_standins import (
    APIS,
    CONTROL,
    EXCHANGING,
    FATES,
    PATHS,
    TRIALS_MIN,
    Check,
    Fate,
    expected,
    judged,
    scenario,
)
from memslotlib.uapi import MemFlag
from memslotlib.verdict import HOST_WORDS, Word

CPL3 = Context.LONG64_CPL3
SERVED = Met(9, {}, {}, asleep=False, told=False)
HOLE = Met(9, {"mmio": 9}, {}, asleep=False, told=False)
FAILED = Met(0, {}, {0: 7}, asleep=False, told=False)
WAITED = Met(0, {}, {}, asleep=True, told=True)
STORED = Round(SERVED, held_up=False, held_on=False, resumed=True, stores=WELL)
LOADED = dataclasses.replace(STORED, stores=None)
OF_STORES = {
    *(Check.LEAK, Check.LOST, Check.CORRUPT),
    *(Check.LOG_SHUT, Check.LOG_LOST, Check.LOG_VAGUE),
}


def answer(*rounds, how=How.NOTHING, access=Access.STORE):
    result = SwitchedResult(how, access, CPL3, rounds, 0.1, "cffi")
    return judged(how.value, result, "h")


def seen(found):
    return {check for check, one in found.verdicts.items() if one.word is Word.SEEN}


def test_the_stand_ins_are_those_of_the_harness():
    assert set(APIS) == {how.value for how in How} == set(FATES)
    assert How.NOTHING.value == CONTROL
    assert {How(api) for api in EXCHANGING} == {How.MMAP, How.MREMAP}


@pytest.mark.parametrize("api", APIS)
def test_every_expectation_is_a_word_of_a_sample_with_its_reason_and_its_source(api):
    for access, path in itertools.product(Access, PATHS):
        row = expected(api, access, path)
        for one in row.values():
            assert one.word in HOST_WORDS
            assert one.reason.endswith(".")
            assert one.source
        assert (set(row) >= OF_STORES) is (access is Access.STORE)
        fates = [row[check].word for check in (Check.HOLE, Check.FAILS, Check.WAITS)]
        assert fates.count(Word.SEEN) <= 1


def test_the_control_and_only_it_is_expected_to_leak():
    leaks = {api: expected(api, Access.STORE, "emulator")[Check.LEAK].word for api in APIS}
    assert [api for api, word in leaks.items() if word is Word.SEEN] == [CONTROL]


def test_a_protection_of_writes_serves_what_reads():
    assert FATES["mprotect-read"]["emulator"].fate is Fate.HOLE
    for access in (Access.LOAD, Access.FETCH):
        assert expected("mprotect-read", access, "emulator")[Check.HOLE].word is Word.NOT_SEEN
    assert expected("mprotect-read", Access.STORE, "emulator")[Check.HOLE].word is Word.SEEN


def test_quiet_rounds_are_not_seen_with_the_accesses_that_met_the_switch():
    found = answer(*[STORED] * TRIALS_MIN)

    assert {one.text for one in found.verdicts.values()} == {f"NOT SEEN in {TRIALS_MIN}"}
    assert {one.opportunities for one in found.verdicts.values()} == {9 * TRIALS_MIN}
    assert set(found.verdicts) == OF_STORES | {
        *(Check.HOLE, Check.FAILS, Check.WAITS, Check.HELD_UP, Check.STUCK)
    }
    assert found.samples["accesses"] == [9] * TRIALS_MIN
    assert found.samples["kept"] == [1] * TRIALS_MIN


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        ({"leaked": True}, {Check.LEAK}),
        ({"kept": False}, {Check.LOST}),
        ({"intact": False}, {Check.CORRUPT}),
        ({"shut": True}, {Check.LOG_SHUT}),
        ({"first": False}, {Check.LOG_LOST}),
        ({"then": False}, {Check.LOG_LOST}),
        ({"idle": True}, {Check.LOG_VAGUE}),
    ],
)
def test_one_such_store_is_seen_by_its_check_alone(change, checks):
    bad = dataclasses.replace(STORED, stores=dataclasses.replace(WELL, **change))

    assert seen(answer(bad, *[STORED] * TRIALS_MIN)) == checks


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        ({"met": HOLE}, {Check.HOLE}),
        ({"met": FAILED}, {Check.FAILS, Check.UNTOLD}),
        ({"met": dataclasses.replace(FAILED, told=True)}, {Check.FAILS}),
        ({"met": WAITED}, {Check.WAITS}),
        ({"met": dataclasses.replace(WAITED, told=False)}, {Check.WAITS, Check.UNTOLD}),
        ({"held_up": True}, {Check.HELD_UP}),
        ({"held_up": True, "held_on": True}, {Check.HELD_UP, Check.HELD_ON}),
        ({"resumed": False}, {Check.STUCK}),
    ],
)
def test_what_one_access_met_is_seen_by_its_check_alone(change, checks):
    bad = dataclasses.replace(LOADED, **change)

    assert seen(answer(bad, *[LOADED] * TRIALS_MIN, access=Access.LOAD)) == checks


def test_only_other_memory_can_change_what_no_log_names():
    changed = dataclasses.replace(STORED, stores=dataclasses.replace(WELL, changed=True))
    rounds = [changed] * TRIALS_MIN

    assert seen(answer(*rounds, how=How.MMAP)) == {Check.UNNAMED}
    assert Check.UNNAMED not in answer(*rounds).verdicts


def test_what_was_not_stopped_has_nothing_to_be_told():
    assert Check.UNTOLD not in answer(*[STORED] * TRIALS_MIN).verdicts
    waited = dataclasses.replace(LOADED, met=WAITED)
    some = answer(LOADED, *[waited] * TRIALS_MIN, access=Access.LOAD)
    assert some.verdicts[Check.UNTOLD].text == f"NOT SEEN in {TRIALS_MIN}"


def test_one_noisy_round_takes_no_other_answer_away():
    """Of one call that was held up, or one access that was stopped, the rest cannot be asked."""
    for noise in ({"held_up": True}, {"met": WAITED}):
        found = answer(dataclasses.replace(LOADED, **noise), *[LOADED] * 39, access=Access.LOAD)
        assert set(found.verdicts) == {
            *(Check.HOLE, Check.FAILS, Check.WAITS, Check.HELD_UP, Check.STUCK)
        }
        assert {one.word for one in found.verdicts.values()} == {Word.SEEN, Word.NOT_SEEN}


def test_too_few_rounds_that_met_the_switch_are_no_result():
    idle = dataclasses.replace(LOADED, met=dataclasses.replace(SERVED, accesses=0))
    found = answer(*[LOADED] * (TRIALS_MIN - 1), *[idle] * 9, access=Access.LOAD)

    assert {one.word for one in found.verdicts.values()} == {Word.NOT_RUN}
    assert f"only {TRIALS_MIN - 1} trials" in found.verdicts[Check.HOLE].reason


def test_exits_and_failures_are_counted_by_reason():
    rounds = [dataclasses.replace(LOADED, met=met) for met in (HOLE, HOLE, FAILED)]
    found = answer(*rounds, access=Access.LOAD)

    assert found.exits == {"mmio": 18}
    assert found.failures == {"0": 7}
    assert "leaked" not in found.samples


def test_the_slot_logs_when_the_guest_stores_and_its_first_page_is_left_alone():
    for access in Access:
        asked = scenario(access)
        assert (asked.create[1] == MemFlag.LOG_DIRTY_PAGES) is (access is Access.STORE)
        assert asked.target != asked.untouched
        assert min(asked.target, asked.untouched) >= litmus.GPA + 4096


def test_what_the_host_lacks_is_told(monkeypatch):
    def absent(*_):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(switching.KvmVm, "_open", absent)

    with pytest.raises(NotRunError, match="absent"):
        litmus_standins.run("mmap", Access.LOAD, CPL3, 3, "h")


@pytest.mark.needs_kvm
@pytest.mark.parametrize("context", [CPL3, Context.LONG64], ids=lambda context: context.value)
@pytest.mark.parametrize("api", APIS)
def test_this_host_shows_of_stores_what_is_expected(api, context, monkeypatch):
    host = describe()
    native = context in HostPolicy.of(host.module).native_contexts
    # Beside other tests a grace period may take longer than where a record is made. An interpreted
    # access is not let go by a kick, and each of its rounds would wait that long in vain.
    monkeypatch.setattr(switching, "HELD_UP_S", 0.25)
    monkeypatch.setattr(switching, "FREED_S", 2.0 if native else 0.25)
    try:
        found = litmus_standins.run(api, Access.STORE, context, TRIALS_MIN, "here")
    except NotRunError as error:
        pytest.skip(str(error))

    wanted = expected(api, Access.STORE, PATHS[0] if native else PATHS[1])
    words = {check.value: one.word.value for check, one in found.verdicts.items()}
    assert words == {check.value: one.word.value for check, one in wanted.items()}
