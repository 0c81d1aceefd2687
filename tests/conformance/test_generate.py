import random
from collections import Counter

from memslotlib.abi import SimVm
from memslotlib.conformance.generate import CODE_OFFSETS, Generator, random_run
from memslotlib.interface import FETCH_STUB, Context
from memslotlib.uapi import PAGE_SIZE


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
