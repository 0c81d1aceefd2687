import math

import pytest

from memslotlib.verdict import (
    HOST_WORDS,
    MODEL_WORDS,
    VacuousError,
    Verdict,
    Word,
    chance_at_most,
)

FULL = {
    Word.HOLDS: Verdict.holds(bound="2 vCPUs x 3 accesses", states=7),
    Word.VIOLATED: Verdict.violated(("DELETE", "fetch: internal_error"), bound="b", states=2),
    Word.UNDETERMINED: Verdict.undetermined("1 GiB"),
    Word.SEEN: Verdict.seen(1, 1000, host="h"),
    Word.NOT_SEEN: Verdict.not_seen(3000, opportunities=12, host="h"),
    Word.NOT_RUN: Verdict.not_run("/dev/kvm: no such file"),
    Word.DOES_NOT_APPLY: Verdict.does_not_apply("one address space"),
}


def test_every_word_has_a_verdict_and_its_text_starts_with_the_word():
    assert set(FULL) == set(Word)
    for word, verdict in FULL.items():
        assert verdict.text.startswith(word.value)


def test_a_proof_and_a_sample_share_no_word():
    assert not MODEL_WORDS & HOST_WORDS
    assert MODEL_WORDS | HOST_WORDS | {Word.NOT_RUN, Word.DOES_NOT_APPLY} == set(Word)


def test_counts_are_part_of_a_sample_s_text():
    assert FULL[Word.SEEN].text == "SEEN 1 of 1,000"
    assert FULL[Word.NOT_SEEN].text == "NOT SEEN in 3,000"


@pytest.mark.parametrize(
    ("make", "lack"),
    [
        (lambda: Verdict.holds(bound="", states=1), "a proof needs its bound"),
        (lambda: Verdict.holds(bound="b", states=0), "at least one state"),
        (lambda: Verdict.violated((), bound="b", states=1), "needs its trace"),
        (lambda: Verdict.undetermined(""), "name the bound"),
        (lambda: Verdict.seen(1, 1, host=""), "needs its host"),
        (lambda: Verdict.seen(0, 5, host="h"), "0 of 5 is no sighting"),
        (lambda: Verdict.seen(6, 5, host="h"), "6 of 5 is no sighting"),
        (lambda: Verdict.not_seen(0, opportunities=1, host="h"), "no access overlapped"),
        (lambda: Verdict.not_seen(9, opportunities=0, host="h"), "no access overlapped"),
        (lambda: Verdict.not_seen(9, opportunities=3, host=""), "needs its host"),
        (lambda: Verdict(Word.NOT_SEEN, host="h", trials=9, opportunities=9, hits=1), "1 hits"),
        (lambda: Verdict.not_run(""), "give the reason"),
        (lambda: Verdict.does_not_apply(""), "give the reason"),
    ],
)
def test_a_verdict_that_nothing_stands_behind_is_refused(make, lack):
    with pytest.raises(VacuousError, match=lack):
        make()


@pytest.mark.parametrize("trials", [1, 2, 3, 59, 1500, 10**9])
def test_no_hit_in_so_many_trials_has_one_chance_in_twenty_at_the_bound(trials):
    at_bound = chance_at_most(trials)

    # log1p, because 1 - 3e-9 keeps too few digits.
    assert math.exp(trials * math.log1p(-at_bound)) == pytest.approx(0.05)
    assert 0 < at_bound <= 0.95
    # The rule of three, which is a little more and only good for many trials.
    assert at_bound < 3 / trials
    if trials > 1000:
        assert at_bound == pytest.approx(3 / trials, rel=0.01)


@pytest.mark.parametrize("trials", [0, -1])
def test_no_trial_bounds_no_chance(trials):
    with pytest.raises(VacuousError, match="bound no chance"):
        chance_at_most(trials)


@pytest.mark.parametrize(
    ("trials", "told"), [(3, "64 %"), (1500, "0.2 %"), (10_000, "0.03 %"), (10**6, "0.0003 %")]
)
def test_a_not_seen_tells_its_opportunities_and_its_bound_rounded_up(trials, told):
    bound = Verdict.not_seen(trials, opportunities=12345, host="h").bound

    assert bound == f"a hit in at most {told} of such trials, with 95 %; 12,345 opportunities"


@pytest.mark.parametrize(
    ("hits", "trials", "opportunities", "text"),
    [
        (1, 2, 5, "SEEN 1 of 2"),
        (0, 3, 5, "NOT SEEN in 3"),
        (0, 2, 5, "NOT RUN"),
        (0, 3, 0, "NOT RUN"),
    ],
)
def test_no_hit_is_not_seen_where_enough_has_run(hits, trials, opportunities, text):
    found = Verdict.counted(hits, trials, opportunities, least=3, host="h")

    assert found.text.startswith(text)
    if found.word is Word.NOT_RUN:
        assert found.reason == f"h: only {trials} trials, of 3 to say NOT SEEN"


def test_a_seen_has_no_bound():
    assert Verdict.seen(1, 9, host="h", opportunities=3).bound == ""
