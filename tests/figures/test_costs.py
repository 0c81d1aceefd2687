"""Q2's figures, from records that never were: every ratio is as it is written here."""

import dataclasses

import pytest

from figures import cost_charts, costs, frequency, q2_costs, q2_words
from figures.records import Shown
from memslotlib.claims import load
from memslotlib.costs.operations import CREATE_LOGGED, DELETE_LOGGED, OPERATIONS
from memslotlib.costs.plan import MEASUREMENTS
from memslotlib.costs.running import UPDATES
from memslotlib.evidence import Record
from memslotlib.experiments import experiments
from memslotlib.litmus_standin_cost import STEADY
from memslotlib.provenance import ROOT, Provenance
from memslotlib.verdict import Word
from memslotlib.views.prose import Said
from memslotlib.vmm.frequency import runs
from memslotlib.vmm.traces import Kind

N = 40
HOST = {
    "kernel": "6.12.1",
    "module": "kvm_pvm",
    "out_of_tree": True,
    "nested": True,
    "cpus": 3,
}
WAITS = {"no-op": 0, "flags": 1, "create": 1, "move": 2, "delete": 2}
CHARTS = ("slots", "size", "vcpus", "pause", "neighbour", "wholesale")


def flat(**columns):
    return {name: [value] * N for name, value in columns.items()}


def each(value, names=OPERATIONS):
    return {name: [value] * N for name in names}


def windows(given):
    for zap in ("all", "own"):
        for used in given["pages"]:
            yield f"none 0 {used} {zap}", flat(loads=1000, updates=1, faults=0, cpu_ns=10**7)
            for interval in given["intervals_us"]:
                for update in UPDATES:
                    share = 1000 if update == "no-op" or zap == "own" else 500
                    counts = {"loads": share, "updates": 10, "faults": 650, "cpu_ns": 10**7}
                    if update != "none":
                        yield f"{update} {interval} {used} {zap}", flat(**counts)


def samples(name, given):
    if name == "cost-harness":
        ways = {"C": 1000, "cffi": 1030, "fcntl": 1500}
        kinds = ("no-op", "delete, create")
        return {f"{kind} {way}": flat(ns=ns) for kind in kinds for way, ns in ways.items()}
    if name == "cost-waits":
        return {operation: flat(waits=waits) for operation, waits in WAITS.items()}
    if name == "cost-refaults":
        return {
            f"{operation} {zap}": flat(
                faults=65 if zap == "all" and WAITS[operation] > 1 else 0,
                exits=WAITS[operation],
                loads=1024,
            )
            for operation in OPERATIONS
            for zap in ("all", "own")
        }
    if name.startswith("cost-slots"):
        factor = 1 if given["slot"] == "newest" else 3
        return {
            str(count): each(100 * (factor if count == max(given["counts"]) else 1))
            for count in given["counts"]
        }
    if name == "cost-size":
        names = (*OPERATIONS, CREATE_LOGGED, DELETE_LOGGED)
        return {
            f"{size} {zap}": each(100 + size // 10**6, names)
            for size in given["sizes"]
            for zap in ("all", "own")
        }
    if name == "cost-wholesale":
        by_slots = {f"{n} all": flat(ns=100 * n) for n in given["counts"]}
        return by_slots | {f"{n} one": flat(ns=100) for n in given["counts"]}
    if name == "cost-vcpus":
        states = {"out": 100, "running": 200}
        return {f"{n} {s}": each(ns) for n in given["vcpus"] for s, ns in states.items()}
    if name == "cost-pause":
        parts = flat(kick=50, update=60, resume=10, ns=120, out=150)
        plain = {f"{n} plain": flat(ns=100) for n in given["vcpus"]}
        return plain | {f"{n} paused": parts for n in given["vcpus"]}
    return dict(windows(given))


def shown(experiment, host=HOST, **changed):
    name, given = experiment.name, experiment.parameters
    made = Provenance("c0ffee", False, "0.1.0", "2026-01-02T03:04:05+00:00", "3.11", "native", host)
    taken = {**samples(name, given), **changed}
    return Shown(experiment, Record(name, given, {}, made, "c0de", taken), stale=False)


MEASURED = [one for one in experiments() if one.name in MEASUREMENTS]


@pytest.fixture
def records():
    return {one.name: shown(one) for one in MEASURED}


def test_every_measurement_is_an_experiment_of_its_own_file():
    assert {one.name for one in MEASURED} == set(MEASUREMENTS)
    assert {one.file for one in MEASURED} == {costs.FILE}


def test_times_are_ratios_within_the_record(records):
    (row,) = (
        row
        for row in costs.by_slots(records)
        if (row["operation"], row["slots"], row["slot"])
        == ("delete", 32_000, "changed least recently")
    )
    assert (row["ratio"], row["low"], row["high"], row["n"], row["us"]) == (3, 3, 3, N, 0.3)
    assert {row["ratio"] for row in costs.by_vcpus(records)} == {2}
    assert {row["ratio"] for row in costs.idle(records)} == {1}


def test_a_vcpu_without_a_cpu_of_its_own_is_told_apart(records):
    room = {row["vcpus"]: row["cpus"] for row in costs.by_pause(records)}
    assert room == {
        1: "a CPU each",
        2: "a CPU each",
        4: "more vCPUs than CPUs",
        8: "more vCPUs than CPUs",
    }


def test_what_an_update_costs_a_vcpu_is_its_own_time(records):
    rows = {
        (row["update"], row["zap"]): row
        for row in costs.by_neighbour(records)
        if (row["pages"], row["every_us"]) == (512, 0)
    }
    assert rows["move", "zaps all"]["ratio"] == 0.5
    assert rows["move", "zaps all"]["lost_us"] == 500
    assert rows["move", "zaps all"]["faults"] == 65
    assert rows["move", "zaps own"]["lost_us"] == 0


def values(spec):
    """The rows that a chart draws, wherever Altair has put them."""
    if isinstance(spec, list):
        return next((found for one in spec if (found := values(one))), [])
    if not isinstance(spec, dict):
        return []
    return spec.get("data", {}).get("values") or values(list(spec.values()))


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_has_every_row_with_its_spread_and_a_legend_to_pick_from(records, name):
    spec = getattr(cost_charts, name)(records).to_dict()

    rows = values(spec)
    assert len(rows) >= 5
    assert all({"ratio", "low", "high", "n"} <= set(row) for row in rows)
    assert "medians of ratios" in spec["description"]
    assert "'bind': 'legend'" in str(spec)


@pytest.mark.parametrize("name", CHARTS)
def test_without_records_there_is_no_chart_but_a_word(name):
    assert isinstance(getattr(cost_charts, name)({}), Said)
    assert "NOT RUN" in str(getattr(cost_charts, name)({}))


def test_a_source_tells_rounds_host_and_command_and_that_times_are_of_no_other_host(records):
    said = str(costs.source("cost-size", records))

    assert "60 rounds" in said
    assert "UNDETERMINED, for Linux 6.12.1, kvm_pvm (out-of-tree) is neither VMX nor SVM" in said
    assert "`memslots evidence record cost-size`" in said
    assert "NOT RUN" in str(costs.source("cost-size", {}))


def test_a_host_with_vmx_or_svm_settles_what_is_undetermined(records):
    bare = HOST | {"module": "kvm_amd", "nested": False, "out_of_tree": False}
    records["cost-vcpus"] = shown(records["cost-vcpus"].experiment, bare)

    assert "UNDETERMINED" not in str(costs.source("cost-vcpus", records))
    found = answers(records)
    assert found["Q2.16", "delete"] == "SEEN 100 of 100: CONTRADICTS THE CLAIM"


def test_the_hosts_waits_stand_beside_the_models(records):
    rows = {row[0]: row[1:] for row in q2_costs.operations(records).rows}

    assert rows["delete"] == (2, 2, 1, 1, "2 in 40 of 40", "65 / 0", "2 / 2")
    assert rows["create"][-3:] == ("1 in 40 of 40", "0 / 0", "1 / 1")
    assert {row[-1] for row in q2_costs.operations({}).rows} == {"NOT RUN"}


def test_a_page_whose_host_counted_other_waits_is_not_built(records):
    one = records["cost-waits"].experiment
    records["cost-waits"] = shown(one, create={"waits": [1] * 39 + [2]})

    with pytest.raises(q2_costs.MiscountedError, match="create: 1 waits in the model, .*2: 1"):
        q2_costs.operations(records)


def test_steps_are_told_for_n_slots_or_why_not():
    rows = {row[0]: row[1:] for row in q2_costs.apis().rows}

    assert rows["delete and create"] == ("3N", "3N", "N", "N", "0", "4, 4, 1")
    assert rows["the RFC's list, as posted"][:2] == ("N + 1", "N + 1")
    assert rows["grow, truncate, split, merge"] == (*"-----", "1, 1, 0")


def test_the_harness_is_held_against_its_bound(records):
    rows = q2_costs.harness(records).rows
    bounds = {(row[0], row[1]): getattr(row[3], "text", row[3]) for row in rows}
    assert bounds == {
        ("no-op", "cffi"): "",
        ("no-op", "fcntl"): "",
        ("delete, create", "cffi"): "at most 1.06: kept",
        ("delete, create", "fcntl"): "",
    }

    slow = shown(records["cost-harness"].experiment, **{"delete, create cffi": flat(ns=1070)})
    cells = [row[3] for row in q2_costs.harness({"cost-harness": slow}).rows]
    assert "at most 1.06: MISSED" in [getattr(cell, "text", cell) for cell in cells]


def answers(records):
    return {(row[0].text, row[1]): row[3].text for row in q2_costs.claims(records).rows}


def test_claims_are_answered_by_the_records(records):
    found = answers(records)

    assert found["Q2.6", "create"] == "SEEN 40 of 40"
    assert found["Q2.6", "no-op"] == "NOT SEEN in 40"
    assert found["Q2.8", "delete-own"] == "NOT SEEN in 40"
    assert found["Q2.9", "delete"] == "NOT SEEN in 20"
    assert found["Q2.9", "create"] == "NOT SEEN in 20: CONTRADICTS THE CLAIM"
    assert found["Q2.13", "pause"] == "NOT SEEN in 20"
    assert found["Q2.16", "create"] == "NOT RUN"
    assert found["Q2.17", "workloads"].startswith("NOT SEEN in ")
    assert found["Q2.17", "synthetic"].startswith("SEEN ")


def test_of_runs_that_were_chosen_none_is_told_to_be_one_of_so_many():
    workloads, synthetic = (frequency.verdict(row) for row in frequency.ROWS)
    chosen = [one for one in runs() if not one.is_synthetic]

    made = sum(one.transactions for one in chosen)
    assert workloads.bound == f"all {len(chosen)} recorded runs; {made:,} transactions"
    # What the claim says of guests that provoke: some of them, and not all.
    assert 0 < synthetic.hits < synthetic.trials
    more = [dataclasses.replace(one, holes=51) for one in chosen[:1]] + chosen[1:]
    assert frequency.verdict("workloads", more).text == f"SEEN 1 of {len(chosen)}"
    assert frequency.verdict("workloads", []).word is Word.NOT_RUN


def test_a_slot_number_of_the_claims_is_many_times_what_a_run_has():
    assert max(one.most_slots for one in runs()) < 32_000 / 100


def test_a_stale_record_is_marked_and_none_is_not_run(records):
    stale = {name: dataclasses.replace(one, stale=True) for name, one in records.items()}
    assert answers(stale)["Q2.6", "create"] == "SEEN 40 of 40 (stale)"

    nothing = {row[3].text for row in q2_costs.claims({}).rows if row[0].text != "Q2.17"}
    assert nothing == {"NOT RUN"}


def test_the_answer_takes_its_numbers_from_the_records(records):
    said = str(q2_costs.answer(records))

    assert "2 MiB in use 500 us" in said
    assert "against 0 us where SLOT_ZAP_ALL is disabled" in said
    # One host and a model say nothing of other code.
    assert "The same wherever the same code runs are the counts" in said
    assert "NOT RUN" in str(q2_costs.answer({}))
    assert "delete 3.00" in str(q2_costs.growth(records))
    assert str(q2_costs.growth({})).count("NOT RUN") == 2


def test_tables_in_numbers_have_a_row_for_each_part(records):
    assert len(q2_costs.pauses(records).rows) == 4 * 5
    assert len(q2_costs.losses(records).rows) == 3 * 3 * 2 * 2
    assert "NOT RUN" in str(q2_costs.pauses({}))
    assert "NOT RUN" in str(q2_costs.losses({}))


def test_frequency_times_cost_is_told_for_every_run_that_nobody_wrote_to_provoke(records):
    rows = frequency.table(records).rows
    assert len(rows) == sum(not one.is_synthetic for one in runs())
    (boot,) = (row for row in rows if row[:2] == ("pc-seabios", "QEMU 7.2"))
    # 37 updates at 200 ns each.
    assert boot[2:5] == (23, 14, 0)
    assert boot[-2:] == ("0.0 ms", "0.000%")
    assert {row[-1] for row in frequency.table({}).rows} == {"NOT RUN"}


def test_who_loses_what_in_the_busiest_second(records):
    firmware, provoked = frequency.concern(records).rows

    assert firmware[0] == "firmware, OS or VMM"
    assert provoked[4] > 1000 > firmware[4]
    # Half of these are deletes, at 500 us of each vCPU's time.
    assert provoked[7] == "407.0 ms"
    assert provoked[8] == "0.0 ms"
    assert {row[-1] for row in frequency.concern({}).rows} == {"NOT RUN"}


def test_the_chart_of_runs_says_what_each_costs_only_where_that_is_recorded(records):
    for given, is_told in ((records, True), ({}, False)):
        rows = values(frequency.chart(given).to_dict())
        assert len(rows) > 50
        assert all((row["share"] is not None) is is_told for row in rows)
    assert "QEMU 7.2, pc-seabios 37 updates" in frequency.chart({}).to_dict()["description"]


@pytest.mark.parametrize("figure", ["name: f2.17", "name: t2.16"])
def test_what_is_told_of_timed_runs_says_that_others_are_left_out(figure):
    timed = sum(one.is_timed for one in runs())
    assert len(values(frequency.chart({}).to_dict())) == timed < len(runs())
    assert sum(row[1] for row in frequency.concern({}).rows) == timed
    chapter = (ROOT / "book" / "q2.md").read_text("utf-8")
    caption = chapter.split(figure)[1].split("---")[0]
    assert "run whose clock means something" in " ".join(caption.split())


def test_shares_are_of_runs_whose_clock_means_something(records):
    cost = frequency.costs_ns(records)
    assert set(cost) == set(Kind)
    shares = [frequency.share(one, cost) for one in frequency.counted()]
    assert (None in shares) is True
    assert 0 < frequency.largest_share(cost) < 1


WORDS = ("refaults", "walked", "sizes", "paused", "windows")


@pytest.mark.parametrize("name", WORDS)
def test_a_sentence_without_records_says_not_run(name):
    assert "NOT RUN" in str(getattr(q2_words, name)({}))


def test_faults_are_told_for_the_pages_that_were_in_use(records):
    assert "65 faults for 512 pages after a DELETE" in str(q2_words.refaults(records))


def test_a_create_that_is_not_as_expected_contradicts_and_is_explained(records):
    newest = shown(
        records["cost-slots-newest"].experiment, **{"1": each(1000), "32000": each(1250)}
    )
    oldest = shown(
        records["cost-slots-oldest"].experiment, **{"1": each(1000), "32000": each(26_000)}
    )

    told = str(q2_words.walked({"cost-slots-newest": newest, "cost-slots-oldest": oldest}))

    assert "1.25 times as long: NOT SEEN in 20, which contradicts the claim" in told
    # 250 ns and 25 us, for 250 slots.
    assert "1 ns for each slot of the chain" in told
    assert "25 us more, 100 ns for each" in told
    assert "ns for each" not in str(q2_words.walked({"cost-slots-newest": newest}))


def test_a_create_that_is_as_expected_needs_no_explanation(records):
    newest = shown(
        records["cost-slots-newest"].experiment, **{"1": each(1000), "32000": each(2000)}
    )
    told = q2_words.walked({"cost-slots-newest": newest}).text
    assert told.endswith("2.00 times as long: SEEN 20 of 20, as expected.")


def test_the_size_up_to_which_nothing_shows_is_found(records):
    told = q2_words.sizes(records).text
    # A ns more for each MB, from 100 ns on.
    assert told.startswith("Up to 4 MiB no ioctl's median is more than 10% above that with 4 KiB;")
    assert "with 16 GiB those that change something take 173 to 173 times as long" in told


def test_a_pause_is_told_with_one_vcpu_and_with_more_than_there_are_cpus_for(records):
    told = str(q2_words.paused(records))
    assert "It takes 1.20 times as long: twice was NOT SEEN in 20, as expected." in told
    assert "with 4 and 8 vCPUs, more than the recorded host has CPUs for" in told

    parts = flat(kick=50, update=60, resume=10, ns=300, out=150)
    slow = shown(records["cost-pause"].experiment, **{f"{n} paused": parts for n in (1, 2, 4, 8)})
    told = str(q2_words.paused({"cost-pause": slow}))
    assert "SEEN 20 of 20, which contradicts the claim" in told


def test_sentences_of_the_model_and_of_the_traces_count_them():
    assert "waits 1 times if it swaps the sets, 2 times" in str(q2_words.at_once())
    assert "userspace's loop waits 3N times and zaps N times" in str(q2_words.at_once())
    assert f"more than {max(one.most_slots for one in runs())} slots" in str(
        q2_words.slots_in_use()
    )
    few = [one for one in runs() if one.scenario == "pc-seabios" and one.vmm == "QEMU 7.2"]
    told = str(q2_words.pace(few))
    assert "Of 1 runs" in told
    assert "the most are 37, by QEMU 7.2, pc-seabios" in told


def test_a_window_has_as_many_updates_as_fit(records):
    assert "At one update in 10 ms a window has 2 of them" in str(q2_words.windows(records))


def test_what_contradicts_a_claim_is_told_in_its_history():
    """On the project's own records: whoever records a surprise has to say so."""
    known = load(ROOT / "book" / "claims")
    for row in q2_costs.claims().rows:
        identity, about = row[0].text, row[1]
        if "CONTRADICTS" in row[3].text:
            told = [f"contradicts the row of {about}" in one for one in known[identity].history]
            assert any(told), f"{identity}, {about}: {row[3].text}"


def page(name):
    return " ".join((ROOT / "book" / f"{name}.md").read_text("utf-8").split())


def test_numbers_in_captions_are_those_of_the_experiments():
    given = {name: one.parameters for name, one in MEASUREMENTS.items()}
    pages = given["cost-refaults"]["pages"]
    for words in (
        f"a vCPU that uses {pages} pages of another slot",
        f"uses {frequency.USED_PAGES * 4 // 1024} MiB of other slots",
        "more than three times the fastest",
        f"in one of {q2_words.CHAINS} chains",
    ):
        assert words in page("q2")
    assert STEADY == 3
