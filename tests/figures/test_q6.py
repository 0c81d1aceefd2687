"""The tables of Q6: live on the simulator, and held against what a host recorded."""

import dataclasses

import pytest

from figures import metadata, q6, q6_host
from figures.records import Shown, shown
from memslotlib import litmus_logs
from memslotlib.claims import load
from memslotlib.experiments import COPIED_PAGES, experiments, recalled
from memslotlib.litmus_logs import AFTERWARDS, SEQUENCES, WRITTEN, Tracking
from memslotlib.provenance import ROOT
from memslotlib.verdict import Word

RECORDS = shown(q6.FILE)
CLAIMS = load(ROOT / "book" / "claims")


def texts(rows):
    return [[getattr(cell, "text", cell) for cell in row] for row in rows]


def changed(name, **samples):
    """The records, of which one experiment has other samples."""
    made = []
    for one in RECORDS:
        record = one.record
        if record.experiment == name:
            record = dataclasses.replace(record, samples={**record.samples, **samples})
        made.append(Shown(one.experiment, record, one.stale))
    return made


@pytest.mark.parametrize("test", [one.value for one in Tracking])
def test_the_recorded_kernel_answers_every_sequence_as_the_simulator_does(test):
    rows = texts(q6.sequences(test, RECORDS).rows)

    assert [row[0] for row in rows] == list(q6.SAID.values())
    assert {row[-1] for row in rows} == {"the same, 3 runs"}


def test_one_page_more_is_a_difference():
    wrong = [{**row, "lost": [*row["lost"], 1]} for row in q6.told(RECORDS)]

    rows = texts(q6.sequences("log-bitmap", changed(q6_host.LOGS, rows=wrong)).rows)

    assert {row[-1] for row in rows} == {"DIFFERENT"}


def test_a_log_that_became_longer_and_an_answer_of_other_bits_are_differences():
    wrong = [{**row, "longer": [9]} for row in q6.told(RECORDS)]
    rows = texts(q6.sequences("log-size", changed(q6_host.LOGS, rows=wrong)).rows)
    assert {row[-1] for row in rows} == {"DIFFERENT"}

    told = differing("log-bitmap split long64-cpl3", "log-bitmap merge long64")
    rows = texts(q6.sequences("log-bitmap", told).rows)
    assert [row[0] for row in rows if row[-1] == "DIFFERENT"] == ["split at page 70"]


def differing(*runs):
    """The records, of which that of the sequences lists runs in which the kernel differed."""
    made = []
    for one in RECORDS:
        record = one.record
        if record.experiment == q6_host.LOGS:
            record = dataclasses.replace(record, result={**record.result, "differ": list(runs)})
        made.append(Shown(one.experiment, record, one.stale))
    return made


def test_bits_that_follow_their_pages_lose_nothing_and_add_nothing():
    rows = {row[0]: row for row in texts(q6.slices().rows)}

    assert len(rows) == len(SEQUENCES) - 3
    assert rows["130 pages become 70"][1:] == ["0, 5, 63-64, 68", "100, 129", "", "copied"]
    assert rows["split at page 70"][2:] == ["", "", "shifted"]
    assert {row[3] for row in rows.values()} == {""}


def test_lengths_are_what_the_kernel_wrote_and_a_wrong_one_builds_no_page():
    rows = texts(q6.lengths(RECORDS).rows)
    assert [70, 130, 16, 24, 8, "EINVAL"] in rows

    with pytest.raises(AssertionError):
        q6.lengths(changed(q6_host.LOGS, written=[["grow", 70, 130, 16, 22]]))


def test_every_claim_is_found_as_expected_and_another_word_is_told():
    rows = texts(q6.expected(RECORDS).rows)
    assert len(rows) == sum(
        len(one.expect) for one in CLAIMS.values() if one.question == "Q6" and not one.is_modelled
    )
    assert not [row for row in rows if any("EXPECTED" in text for text in row)]

    wrong = [{**row, "lost": []} for row in q6.told(RECORDS)]
    rows = texts(q6.expected(changed(q6_host.LOGS, rows=wrong)).rows)
    assert ["Q6.3", "split", "VIOLATED", "NOT SEEN in 6: EXPECTED SEEN"] in rows


def test_a_host_s_word_counts_its_own_runs():
    claim = CLAIMS["Q6.8"]
    grown = q6.hosted(claim, claim.expected("grow"), RECORDS)
    assert grown.text == "SEEN 6 of 6"
    exchanged = q6.hosted(claim, claim.expected("exchange"), RECORDS)
    # Two slots; each fetch is a trial, and nobody writes meanwhile.
    assert (exchanged.text, exchanged.opportunities) == ("NOT SEEN in 12", 12)
    in_place = q6.hosted(claim, claim.expected("grow-in-place"), RECORDS)
    assert in_place.word is Word.DOES_NOT_APPLY


def test_a_log_too_long_after_one_sequence_is_no_other_s():
    claim = CLAIMS["Q6.8"]
    wrong = [["move", 130, 130, 32, 0], ["none", 130, 130, 24, 0]]
    records = changed(q6_host.LOGS, written=wrong)

    found = [q6.hosted(claim, claim.expected(api), records).text for api in ("move", "none")]
    assert found == ["SEEN 1 of 1", "NOT SEEN in 1"]


def test_opportunities_are_the_writes_that_landed():
    claim = CLAIMS["Q6.3"]
    none, truncate = (
        q6.hosted(claim, claim.expected(api), RECORDS) for api in ("none", "truncate")
    )

    assert none.opportunities == none.trials * (len(WRITTEN) + len(AFTERWARDS))
    # Beyond page 70 what comes afterwards meets no slot.
    assert truncate.opportunities == truncate.trials * (len(WRITTEN) + 2)


def test_copies_tell_loss_beside_precision():
    rows = {row[0]: row for row in texts(q6_host.copies(RECORDS, {}).rows)}

    assert len(rows) == len(q6_host.ORDERS)
    lossless = rows["delete, create, get: INITIALLY_SET"]
    assert lossless[2].startswith("NOT SEEN in 20")
    assert float(lossless[6]) > 5
    tight = rows["get, delete, create, copy"]
    assert tight[2].startswith("SEEN")
    assert tight[4].endswith(" a round")
    assert {row[5] for row in rows.values()} == {0}
    assert " and " in rows["the same with two slots at once"][4]
    assert {row[4] for row in rows.values() if row[2].startswith("NOT SEEN")} == {"0"}


def test_every_order_of_calls_has_a_word_of_a_model():
    said = {row[0]: row[1] for row in texts(q6_host.copies(RECORDS).rows)}
    assert said["ring, read by slots with exchanged ids"] == "VIOLATED (simulator)"
    assert said["delete, create, get: INITIALLY_SET"] == "no loss (simulator)"
    assert said["the same while vCPUs are paused"] == "HOLDS (Q6.1, pause)"
    assert all(said.values())


def test_manual_protection_changes_nothing_and_a_difference_is_told():
    assert q6.manual(RECORDS).text.endswith("it is the same, on simulator and kernel.")
    assert q6.manual([]).text.endswith("on the simulator; of a kernel it is NOT RUN.")
    rows = [
        {**row, "lost": [1]} if (row["test"], row["sequence"]) == ("log-manual", "move") else row
        for row in q6.told(RECORDS)
    ]
    told = q6.manual(changed(q6_host.LOGS, rows=rows)).text
    assert told.endswith("it is not so of: MOVE by a page.")


def test_a_lost_page_in_no_window_is_told():
    unexplained = changed(q6_host.COPIES, unexplained=[1] * 20)
    assert {row[5] for row in texts(q6_host.copies(unexplained, {}).rows)} == {20}


def test_what_each_of_two_slots_loses_is_counted():
    given = changed(q6_host.COPIES, rounds=[10] * 20, lost=[9] * 20, lost_first=[4] * 20)
    told = q6_host.second_slot(given).text
    assert "loses 0.40 pages of the first, and 0.50 of the second" in told
    assert q6_host.second_slot([]).text.startswith("NOT RUN")


def test_silence_has_its_bound():
    assert q6_host.silence(RECORDS).text == (
        "NOT SEEN in 20 trials: with 95 %, at most 13.9% of such trials lose a page."
    )
    assert q6_host.silence([]).text.startswith("NOT RUN")


def test_what_kvm_refuses_has_no_answer():
    rows = {row[0]: row for row in texts(q6.sequences("log-bitmap", RECORDS).rows)}
    assert rows["70 become 130 in one call"][1:5] == ["refused: EINVAL", "-", "-", "-"]
    # That nothing is named is one.
    assert rows["deleted"][1:3] == ["", ""]


def test_increments_list_what_is_missing_in_each_run():
    rows = {row[0]: row for row in texts(q6_host.increments(RECORDS).rows)}

    assert rows["delete and create, exits served"][2].startswith("SEEN")
    assert rows["the same while vCPUs are paused"][6] == "0 of 60,000,000 a run"


def test_without_records_everything_says_not_run():
    assert "NOT RUN" in q6.answer([], {}).text
    assert "NOT RUN" in q6.lengths([]).text
    assert "NOT RUN" in q6_host.copies([], {}).text
    assert "NOT RUN" in q6_host.held([]).text
    assert "NOT RUN" in q6_host.increments([]).text
    assert {row[-1] for row in texts(q6.sequences("log-bitmap", []).rows)} == {"NOT RUN"}
    assert {row[-1] for row in texts(q6.expected([]).rows)} == {"NOT RUN"}


def test_the_answer_takes_its_numbers_from_the_records():
    text = q6.answer(RECORDS, {}).text

    copied = q6_host.by(RECORDS, q6_host.COPIES)
    assert q6_host.copies_per_page(copied["initially-set"]) in text
    assert recalled(copied["two-slots"].record).text in text


def test_stores_inside_an_ioctl_are_shown_for_each_experiment():
    rows = texts(q6_host.held(RECORDS).rows)
    made = [one for one in experiments() if one.name == "dirty-log+store"]

    assert len({tuple(row[:3]) for row in rows}) == len(made)


def test_metadata_adds_up_as_the_kernel_allocates_it():
    sizes = {one.name: metadata._size(one.size_bytes) for one in metadata.METADATA}

    assert sizes == {
        "dirty bitmap": "64 MiB",
        "rmap": "2 GiB + 4 MiB + 8 KiB",
        "huge-page counts": "2 MiB + 4 KiB",
        "write tracking": "512 MiB",
    }
    assert len(metadata.table().rows) == 4


def test_numbers_in_the_chapter_are_those_of_the_tests():
    text = " ".join((ROOT / "book" / "q6.md").read_text("utf-8").split())
    *first, last = litmus_logs.WRITTEN
    *then, end = litmus_logs.AFTERWARDS
    for words in (
        f"A slot of {litmus_logs.PAGES} pages logs. The guest writes to seven of its pages",
        "the guest writes to four more",
        f"of pages {', '.join(map(str, first))} and {last} written before it",
        f"and {', '.join(map(str, then))} and {end} written after it",
        "when the guest has written four more pages",
        f"{COPIED_PAGES:,} pages, each stored to once",
    ):
        assert words in text
    assert (len(litmus_logs.WRITTEN), len(litmus_logs.AFTERWARDS)) == (7, 4)
