import pytest

from memslotlib import litmus, litmus_standins
from memslotlib.errors import NotRunError
from memslotlib.host import switchcost as costs
from memslotlib.host.standins import How
from memslotlib.host.stores import PLACES
from memslotlib.host.switchcost import CostResult, Switch
from memslotlib.interface import Context
from memslotlib.litmus_standin_cost import ATTEMPTS, CHEAPER, PAGES, Ratios, cost, place


def test_every_stand_in_but_the_pair_itself_has_its_expectation_with_a_reason():
    assert set(CHEAPER) == set(litmus_standins.APIS) - {"today"}
    for by_pages, reason in CHEAPER.values():
        assert set(by_pages) == set(PAGES)
        assert reason.endswith(".")


def test_the_small_slot_is_that_of_the_litmus_tests():
    assert place(PAGES[0]).region == litmus.CREATE.region
    assert place(PAGES[1]).other_hva == litmus_standins.OTHER_HVA
    for pages in PAGES:
        at = place(pages)
        assert at.size_bytes == 4096 * pages
        assert at.other_hva >= at.hva + at.size_bytes
        # A power of two, and a place for every store: what the guest program asks for.
        assert pages & (pages - 1) == 0
    assert PLACES > 0


def ratios(off, on, delete, create):
    return Ratios.of({"off_ns": off, "on_ns": on, "delete_ns": delete, "create_ns": create})


def test_a_ratio_is_of_medians_and_its_spread_of_turns():
    found = ratios([10, 20, 90], [2, 4, 6], [80, 90, 200], [20, 10, 100])

    # Pairs of 100, 100 and 300; both together 12, 24 and 96.
    assert (found.off, found.on, found.both) == (0.2, 0.04, 0.24)
    assert (found.low, found.high) == (0.18, 0.28)


@pytest.mark.parametrize(
    ("low", "high", "cheaper"), [(0.2, 0.9, True), (1.1, 1.5, False), (0.9, 1.1, None)]
)
def test_what_costs_about_the_same_is_neither_cheaper_nor_dearer(low, high, cheaper):
    assert Ratios(0, 0, 0, low, high, steady=True).cheaper is cheaper
    assert Ratios(0, 0, 0, low, high, steady=False).cheaper is None


def test_what_the_host_lacks_is_told(monkeypatch):
    def absent(*_):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(costs.KvmVm, "_open", absent)

    with pytest.raises(NotRunError, match="absent"):
        cost("mmap", Context.LONG64, 4, 2)


@pytest.mark.needs_kvm
def test_the_call_alone_is_cheaper_than_the_pair_on_this_host():
    found = Ratios.of(cost("nothing", Context.LONG64_CPL3, PAGES[0], 30))
    if not found.steady:
        pytest.skip("the host was too busy for its own DELETE and CREATE")
    assert found.cheaper is CHEAPER["nothing"][0][PAGES[0]]


def timed(*pairs):
    switches = (Switch(1, 1),) * len(pairs)
    return CostResult(How.MMAP, Context.LONG64, 4, switches, pairs, 0.1, "cffi")


QUIET = timed(*[Switch(80, 20)] * 4)
#: Two of four pairs waited for a CPU.
BUSY = timed(Switch(80, 20), Switch(80, 20), Switch(2000, 20), Switch(3000, 20))


def test_pairs_that_waited_for_a_cpu_make_a_run_unsteady():
    assert ratios([1] * 4, [1] * 4, [80] * 4, [20] * 4).steady
    assert not ratios([1] * 4, [1] * 4, [80, 80, 2000, 3000], [20] * 4).steady


@pytest.mark.parametrize(
    ("runs", "attempts", "steady"),
    [([QUIET], 1, True), ([BUSY, QUIET], 2, True), ([BUSY] * ATTEMPTS, ATTEMPTS, False)],
)
def test_an_unsteady_run_is_tried_again_so_many_times(monkeypatch, runs, attempts, steady):
    waiting = list(runs)
    monkeypatch.setattr(costs, "switchcost", lambda *_: waiting.pop(0))

    samples = cost("mmap", Context.LONG64, 4, 4)

    assert samples["attempts"] == [attempts]
    assert waiting == []
    assert Ratios.of(samples).steady is steady
    assert samples["create_ns"] == [20] * 4
