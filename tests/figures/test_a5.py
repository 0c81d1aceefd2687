"""The appendix of hosts: from records, imported ones marked, and NOT RUN where there are none."""

import made_hosts
from made_hosts import LACKING, STOCK, capabilities

from figures import a5
from memslotlib.hosts import by_host

BOTH = [made_hosts.pvm(), made_hosts.stock()]


def test_a_host_that_was_sent_stands_beside_the_projects_own_and_is_marked():
    own, sent = a5.listed(BOTH).rows
    assert own[3] == "here"
    assert sent[3] == "message-id x@example.org"
    assert a5.verdicts(BOTH).columns[-1].endswith("(imported)")


def test_what_a_host_lacks_reads_not_run_with_the_capability():
    row = next(row for row in a5.verdicts(BOTH).rows if row[1] == "cases")
    assert row[2].text == "cases 448; run 444; differ none (stale)"
    assert (row[3].text, row[3].kind) == (f"NOT RUN: {LACKING}", "verdict not-run")


def test_a_claim_has_a_word_of_each_host():
    rows = {(row[0].text, row[1]): row for row in a5.claimed(BOTH).rows}
    assert rows["Q0.1", "today"][3].text == "SEEN (2 of 2) (stale)"
    assert rows["Q0.6", "move"][4].text == "DOES NOT APPLY: no guest takes that path"
    assert rows["Q0.2", "today"][4].text == "NOT RUN: no record"


def test_capabilities_are_told_of_hosts_that_recorded_them():
    rows = {row[0]: row[1:] for row in a5.capabilities(BOTH).rows}
    assert rows["KVM_CAP_DIRTY_LOG_RING"] == ("yes", "no")
    assert rows["KVM_CAP_NR_MEMSLOTS"] == ("32,764", "32,764")
    (bare,) = by_host([made_hosts.found(made_hosts.ASKED[0], STOCK)])
    (first, *_) = a5.capabilities([BOTH[0], bare]).rows
    assert first[2] == "not recorded"
    (newer,) = by_host([capabilities(STOCK, BRAND_NEW=1)])
    assert ("KVM_CAP_BRAND_NEW", "not asked", "yes") in a5.capabilities([BOTH[0], newer]).rows


def test_without_records_it_says_not_run():
    for table in (a5.listed, a5.capabilities, a5.claimed, a5.verdicts):
        assert table([]).text.startswith("NOT RUN")


def test_the_page_shows_the_projects_own_records():
    assert a5.listed().rows
    assert a5.claimed().rows
    assert a5.verdicts().rows
