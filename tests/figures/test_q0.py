import dataclasses

from figures import f0_1, q0, t0_1, t0_2, t0_3, t0_4, t0_5, t0_6

T0_1 = """\
Access  Guest         Upstream,          Kernel          Verdict
                      simulated
------  ------------  -----------------  --------------  ---------------
load    real16*       mmio               mmio            SEEN 300 of 300
load    prot32*       mmio               mmio            SEEN 300 of 300
load    long64*       mmio               mmio            SEEN 300 of 300
load    long64-cpl3*  mmio               mmio            SEEN 300 of 300
store   real16*       mmio               mmio            SEEN 300 of 300
store   prot32*       mmio               mmio            SEEN 300 of 300
store   long64*       mmio               mmio            SEEN 300 of 300
store   long64-cpl3*  mmio               mmio            SEEN 300 of 300
fetch   real16*       internal_error     internal_error  SEEN 300 of 300
fetch   prot32*       internal_error     internal_error  SEEN 300 of 300
fetch   long64*       internal_error     internal_error  SEEN 300 of 300
fetch   long64-cpl3*  shutdown           internal_error  SEEN 300 of 300"""

T0_3_LOAD = """\
Access  API    Guest      Updates  Accesses  Hit    95 % bound  Verdict
------  -----  ---------  -------  --------  -----  ----------  --------
load    none   long64-      1,500   5,000 k      0  < 1/500     NOT SEEN
               cpl3*
load    flags  long64-      1,500   5,000 k      0  < 1/500     NOT SEEN
               cpl3*
load    move   long64-      1,500   5,000 k      0  < 1/500     NOT SEEN
               cpl3*
load    move   long64*        300   5,000 k      0  < 1/100     NOT SEEN
load    today  long64-      1,500   5,000 k  1,500              SEEN
               cpl3*"""

T0_6_LOAD = """\
Access  Ioctl   Guest         Page mapped  Page not mapped  Released
------  ------  ------------  -----------  ---------------  ---------
load    DELETE  long64-cpl3*  served 20    stalled 20       hole 20
load    MOVE    long64-cpl3*  served 20    stalled 20       served 20
load    FLAGS   long64-cpl3*  served 20    served 20        served 20
load    DELETE  long64*       served 20    stalled 20       hole 20
load    MOVE    long64*       served 20    stalled 20       served 20
load    FLAGS   long64*       served 20    served 20        served 20"""

ANSWER = (
    "**In one line.** Does a running vCPU meet a hole in memory that is there before and after? "
    "When the slot is deleted and re-created: SEEN 3,600 of 3,600 (a load as mmio, a store as "
    "mmio, a fetch as internal_error). When it is MOVEd over its own range: NOT SEEN in 7,200 for "
    "accesses by page tables, NOT RUN for those that KVM makes itself. When only its flags change: "
    "NOT SEEN in 7,200. Updates counted on Linux 6.12.1, kvm_amd."
)


def test_t0_1_sets_the_simulator_beside_the_record(shown_races):
    assert t0_1.table(shown_races).text == T0_1


def test_t0_1_says_not_run_without_a_record_and_marks_a_stale_one(shown_races):
    assert t0_1.table([]).text.count("NOT RUN") == 12

    stale = [dataclasses.replace(one, stale=True) for one in shown_races]
    assert t0_1.table(stale).html.count("(stale)") == 12


def loads(races):
    return [one for one in races if one.record.experiment.endswith("+load")]


def replaced(one, result=(), **samples):
    """A record with another result and other samples."""
    result, samples = one.record.result | dict(result), one.record.samples | samples
    record = dataclasses.replace(one.record, result=result, samples=samples)
    return dataclasses.replace(one, record=record)


def test_t0_3_bounds_what_was_not_seen_by_updates_between_its_controls(shown_races):
    assert t0_3.table(loads(shown_races)).text == T0_3_LOAD
    assert len(t0_3.table(shown_races).rows) == 3 * 5


def test_t0_3_rounds_how_many_accesses_there_were(shown_races):
    (one, *_) = [o for o in loads(shown_races) if o.parameters["method"] == "overlap"][3:]
    told = [
        t0_3._row(replaced(one, {"opportunities": count}))[4].text
        for count in (9, 9999, 10_000, 9_999_999, 10_000_000)
    ]
    assert told == ["9", "9,999", "10 k", "9,999 k", "10 M"]


def test_t0_6_tells_what_each_page_came_to_in_every_hold(shown_races):
    assert t0_6.table(loads(shown_races)).text == T0_6_LOAD
    assert len(t0_6.table(shown_races).rows) == 3 * 2 * 3


def test_t0_6_tells_holes_from_stalls_and_from_what_was_never_reached(shown_races):
    (one,) = [
        one
        for one in loads(shown_races)
        if (one.parameters["method"], one.parameters["api"]) == ("held", "move")
        and one.parameters["context"] == "long64"
    ]
    seen = {"word": "SEEN", "hits": 20, "exits": {"mmio": 9}}
    loud = replaced(
        one,
        seen,
        mapped_exits=[3] * 20,
        unmapped_accesses=[4] * 17 + [-1] * 2 + [0],
        unmapped_exits=[4] * 17 + [0] * 3,
        unmapped_stalled=[0] * 19 + [1],
    )

    ((*_, mapped, unmapped, released),) = t0_6.table([loud]).rows

    assert mapped == "hole 20"
    assert unmapped == "hole 17, not reached 2, stalled 1"
    assert released == "served 20"


def test_f0_1_shows_every_overlap_but_the_control_and_says_so_in_words(shown_races):
    made = f0_1.rows(shown_races)

    assert len(made) == 3 * 3 * 4
    assert {row["share"] for row in made if row["api"] == "today"} == {1}
    assert {row["share"] for row in made if row["api"] != "today"} == {0}
    spec = f0_1.chart(shown_races).to_dict()
    assert "fetch today long64-cpl3* 1500 of 1500" in spec["description"]
    assert "nothing recorded" in f0_1.chart([]).to_dict()["description"]


def test_the_answer_takes_its_words_and_numbers_from_the_records(shown_races):
    assert q0.answer(shown_races).text == ANSWER
    assert "NOT RUN" in q0.answer([]).text


def test_the_source_names_host_commit_and_date_and_tells_of_stale_records(shown_races):
    told = q0.source(shown_races).text
    assert told.startswith("Recorded 2026-01-02 on Linux 6.12.1, kvm_amd, commit c0ffee.")
    assert "STALE" not in told

    stale = [dataclasses.replace(one, stale=True) for one in shown_races[:3]]
    assert "STALE: the code of 3 of 69 records" in q0.source([*stale, *shown_races[3:]]).text
    assert q0.source([]).text.startswith("NOT RUN")


def test_what_a_vmm_can_do_is_told_for_every_exit_of_t0_1():
    named = {row[1] for row in t0_2.ROWS}
    assert named == {"mmio", "internal_error", "shutdown"}
    assert len(t0_2.table().rows) == 4


def test_the_study_is_shown_case_by_case():
    text = t0_4.table().text
    assert "60 of 60" in text
    assert "0 of 30" in text


def found(records, claim, api):
    (row,) = [r for r in t0_5.table(records).rows if (r[0].text, r[1]) == (claim, api)]
    return row[3].text, row[5].text


def test_t0_5_sets_what_was_found_beside_what_was_expected(shown_races):
    assert found(shown_races, "Q0.1", "today") == ("VIOLATED", "SEEN 1,200 of 1,200")
    assert found(shown_races, "Q0.1", "flags") == ("UNDETERMINED", "NOT SEEN in 2,440")
    assert found(shown_races, "Q0.5", "move") == ("UNDETERMINED", "NOT SEEN in 1,520")
    # This host runs every guest on the processor: nothing of it bears on KVM's own accesses.
    assert found(shown_races, "Q0.6", "move") == ("UNDETERMINED", "NOT RUN: nothing recorded")
    assert found(shown_races, "Q0.4", "today")[1] == "NOT RUN: needs a stock kernel"


def test_t0_5_says_when_a_record_contradicts_its_claim(shown_races):
    silent = {"word": "NOT SEEN", "hits": 0, "exits": {}}
    records = [replaced(one, silent) for one in shown_races]

    assert found(records, "Q0.1", "today")[1] == "NOT SEEN in 1,200: CONTRADICTS THE CLAIM"


def test_t0_5_counts_a_hole_seen_while_held_against_the_claim(shown_races):
    hole = {"word": "SEEN", "hits": 1, "exits": {"mmio": 1}}
    records = [
        replaced(one, hole) if one.parameters["method"] == "held" else one for one in shown_races
    ]

    assert found(records, "Q0.5", "move")[1] == "SEEN 1 of 1,520: CONTRADICTS THE CLAIM"


def test_t0_5_marks_what_stale_records_found(shown_races):
    stale = [dataclasses.replace(one, stale=True) for one in shown_races]

    assert found(stale, "Q0.1", "today")[1] == "SEEN 1,200 of 1,200 (stale)"
    assert found(stale, "Q0.1", "flags")[1].endswith(" (stale)")


def test_a_table_of_records_says_not_run_when_there_are_none():
    for module in (t0_3, t0_6):
        assert module.table([]).text.splitlines()[-1].startswith("NOT RUN")
