"""Each property is asked of samples that show it, and of samples that do not."""

import pytest

from memslotlib.costs import claimed
from memslotlib.verdict import Word

N = 40


def flat(**columns):
    return {name: [value] * N for name, value in columns.items()}


def slots(factor):
    return {"1": flat(delete=100), "32000": flat(delete=int(100 * factor))}


def size(factor):
    return {f"{1 << 30} all": flat(move=100), f"{1 << 32} all": flat(move=int(100 * factor))}


def vcpus(factor):
    return {"1 out": flat(delete=100), "1 running": flat(delete=int(100 * factor))}


def pause(factor):
    return {"1 plain": flat(ns=100), "1 paused": flat(ns=int(100 * factor))}


def wholesale(factor):
    return {"16 one": flat(ns=100), "16 all": flat(ns=int(100 * factor))}


def neighbour(share):
    return {
        "none 0 512 all": flat(loads=1000, cpu_ns=100),
        "move 0 512 all": flat(loads=int(1000 * share), cpu_ns=100),
    }


def vcpu(faults=0, exits=0, loads=1024):
    return {"delete own": flat(faults=faults, exits=exits, loads=loads)}


ASKED = [
    (claimed.GROWS_BY_SLOTS, "delete", slots(1.6), slots(1.4)),
    (claimed.GROWS_BY_SIZE, "move", size(4), size(1)),
    (claimed.SLOWED, "delete", vcpus(1.3), vcpus(1.2)),
    (claimed.DOUBLED, "pause", pause(2.1), pause(1.9)),
    (claimed.WHOLESALE, "16 slots", wholesale(8), wholesale(7)),
    (claimed.LOSES, "move", neighbour(0.8), neighbour(0.95)),
    (claimed.FAULTS, "delete-own", vcpu(faults=64), vcpu(faults=31)),
    (claimed.LEAVES, "delete-own", vcpu(exits=1), vcpu(exits=0)),
    (claimed.WAITS, "move", {"move": flat(waits=1)}, {"move": flat(waits=0)}),
    (claimed.WAITS_TWICE, "move", {"move": flat(waits=2)}, {"move": flat(waits=1)}),
]
GIVEN = {"pages": 512}


def asked(name, row, samples):
    given = {"pages": [16, 512]} if name == claimed.LOSES else GIVEN
    return claimed.found(name, row, given, samples, "demo")


@pytest.mark.parametrize(("name", "row", "shows", "lacks"), ASKED, ids=lambda part: str(part)[:30])
def test_a_property_is_seen_where_it_is_and_nowhere_else(name, row, shows, lacks):
    seen, silent = asked(name, row, shows), asked(name, row, lacks)

    assert seen.word is Word.SEEN
    assert seen.hits == seen.trials >= 20
    assert silent.word is Word.NOT_SEEN
    assert silent.trials == seen.trials
    assert silent.opportunities >= N


def test_every_property_is_asked_here():
    assert {name for name, *_ in ASKED} == set(claimed._ASKED)


def test_a_record_without_the_contender_says_not_run():
    missing = claimed.found(claimed.FAULTS, "move-own", GIVEN, vcpu(), "demo")

    assert missing.word is Word.NOT_RUN
    assert missing.reason == "the record has no 'move own'"


def test_a_vcpu_that_did_not_get_round_says_nothing():
    assert asked(claimed.FAULTS, "delete-own", vcpu(loads=100)).word is Word.NOT_RUN


def test_a_property_of_somebody_else_is_an_error():
    with pytest.raises(KeyError):
        claimed.found("served", "today", {}, {}, "demo")
