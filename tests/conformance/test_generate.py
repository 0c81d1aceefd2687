import random
from collections import Counter

from memslotlib.abi import RULES, HostPolicy, SimVm
from memslotlib.conformance.generate import CODE_OFFSETS, Generator, random_run
from memslotlib.interface import FETCH_STUB, Context
from memslotlib.uapi import PAGE_SIZE, Cap


def calls(seed, count=400, **options):
    return list(Generator(random.Random(seed), **options).calls(count))


def test_the_same_seed_gives_the_same_calls_and_another_seed_others():
    assert calls(1) == calls(1)
    assert calls(1) != calls(2)


def test_stores_keep_the_stub_where_a_fetch_may_look():
    made = [call for seed in range(20) for call in calls(seed)]
    writes = [call.arguments for call in made if call.method in ("write", "poke")]

    assert len(writes) > 500
    kept = 0
    for address, data in writes:
        for i, byte in enumerate(data):
            if (address + i) % PAGE_SIZE in CODE_OFFSETS:
                assert byte == FETCH_STUB[0]
                kept += 1
    assert kept > 100


def test_every_context_straddles_a_page_by_load_store_and_fetch():
    straddling = Counter()
    for seed in range(40):
        for call in calls(seed):
            if call.method in ("read", "write", "fetch"):
                size = {"read": 1, "write": 1, "fetch": 2}[call.method]
                if call.method == "read":
                    size = call.arguments[1]
                if call.method == "write":
                    size = len(call.arguments[1])
                if call.arguments[0] % PAGE_SIZE + size > PAGE_SIZE:
                    straddling[call.method, call.context] += 1

    assert len(straddling) == 3 * len(Context)
    assert min(straddling.values()) >= 20


def test_a_run_covers_at_least_what_was_asked_and_meets_every_kind_of_refusal():
    coverage = random_run(SimVm, SimVm, 6000, seed=1)

    assert coverage["calls"] >= 6000
    rules = {name.removeprefix("rule ") for name in coverage if name.startswith("rule ")}
    assert {
        "overlap",
        "slot-id",
        "size-fixed",
        "readonly-fixed",
        "log-absent",
        "gmem-open",
    } <= rules
    assert coverage["set_user_memory_region: OK"] > 300
    assert coverage["fetch: internal_error"] > 50


def test_a_long_run_breaks_every_rule_a_hundred_times():
    def make():
        return SimVm(policy=HostPolicy.kvm_pvm())

    coverage = random_run(make, make, 100_000, seed=1979276)

    broken = {each.id: coverage[f"rule {each.id}"] for each in RULES if each.broken}
    assert {name: count for name, count in broken.items() if count < 100} == {}


def test_a_ring_meets_slots_that_start_to_log_under_initially_set():
    protect = "enable_cap", (int(Cap.MANUAL_DIRTY_LOG_PROTECT2), 3)
    met = 0
    for seed in range(20):
        later = Generator(random.Random(seed), dirty_ring=True).log_later()
        asked = [(call.method, call.arguments) for call in later]
        off, on = (n for n, (name, args) in enumerate(asked) if name[0] == "s" and args[3])
        harvest = asked[-4:-2]
        assert (asked[off][1][1], asked[on][1][1]) == (0, 1)
        assert asked[off][1][2:] == asked[on][1][2:]
        assert asked[off + 1 : on] == asked[on + 1 : -4]
        assert [name for name, _ in harvest] == ["reap_dirty_ring", "reset_dirty_rings"]
        met += asked[0] == protect
    assert 5 < met < 15


def test_a_ring_meets_slots_that_come_back_smaller():
    for seed in range(20):
        calls = Generator(random.Random(seed), dirty_ring=True).recreate_smaller()
        sizes = [call.arguments[3] for call in calls if call.method == "set_user_memory_region"]
        assert sizes[0] == sizes[2] == sizes[4] == 0
        assert sizes[1] > sizes[3] > 0
        assert sum(call.method == "reap_dirty_ring" for call in calls) == 2


def test_without_a_ring_the_bitmap_is_harvested():
    calls = Generator(random.Random(1)).recreate_smaller()

    assert sum(call.method == "get_dirty_log" for call in calls) == 2


def test_without_guest_memfd_none_is_made():
    def methods(guest_memfd):
        made = Generator(random.Random(1), guest_memfd=guest_memfd).calls(2000)
        return {call.method for call in made}

    assert methods(True) - methods(False) == {"create_guest_memfd"}
    assert random_run(SimVm, SimVm, 2000, 1, guest_memfd=False)["create_guest_memfd: OK"] == 0
    assert random_run(SimVm, SimVm, 2000, 1)["create_guest_memfd: OK"] > 0


def test_two_address_spaces_are_no_mismatch():
    def make():
        return SimVm(2)

    assert random_run(make, make, 2000, seed=1)["calls"] >= 2000


def test_rings_above_32_bits_are_asked_for():
    asked = {
        call.arguments[1]
        for call in Generator(random.Random(1)).calls(3000)
        if call.method == "enable_cap" and call.arguments[0] == Cap.DIRTY_LOG_RING_ACQ_REL
    }

    assert {1 << 33, 1 << 32 | 0x4000} <= asked
