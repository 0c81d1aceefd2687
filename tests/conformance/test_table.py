import pytest

from memslotlib.abi import RULES, HostPolicy, SimVm
from memslotlib.abi.region_rules import REGION_RULES, V1, V2, Region
from memslotlib.conformance.cases import Gives, Refused, delete, play, region
from memslotlib.conformance.differential import Answer, Player
from memslotlib.conformance.hostpolicy import this_host
from memslotlib.conformance.table import BREACHES, CASES, Case, Row, combine, refusals, run_cases
from memslotlib.host import KvmVm


def test_every_case_has_a_name_of_its_own_and_a_reason():
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names)
    assert all(case.reason for case in CASES)


def test_every_rule_that_can_be_broken_has_a_case():
    refused = {case.expected.rule for case in CASES if isinstance(case.expected, Refused)}

    assert refused == {each.id for each in RULES if each.broken is not None}


def test_breaches_are_in_the_order_of_the_rules():
    assert [b.rule for b in BREACHES] == [r.id for r in REGION_RULES if r.broken is not None]


def requested(case):
    """The request of a case, its VM's state as the setup left it, and the slot that it names."""
    player = Player(SimVm())
    for step in case.setup:
        assert player.play(step).errno == 0
    call = V1 if case.call.method == "set_user_memory_region" else V2
    request = Region(call, *player.resolved(case.call))
    return request, player.vm._state, player.vm._state.slot(request.slot)


@pytest.mark.parametrize("case", list(refusals()), ids=lambda case: case.name)
def test_a_refused_request_breaks_the_rules_that_it_is_about(case):
    request, state, old = requested(case)

    broken = {each.id for each in REGION_RULES if each.id in case.about}
    for each in REGION_RULES:
        if each.id in broken:
            assert each.broken(request, state, old), each.id


def test_pairs_with_different_errnos_are_all_there():
    pairs = {case.about for case in CASES if len(case.about) == 2}
    pairs |= {tuple(case.name.split(" and ")) for case in CASES if " and " in case.name}

    for earlier in ("slot-id", "size-aligned", "gpa-aligned", "hva-aligned", "hva-range"):
        assert (earlier, "overlap") in pairs
        assert (earlier, "gmem-open") in pairs
    for expected in [
        ("overlap", "gmem-open"),
        ("overlap", "gmem-bound"),
        ("overlap", "gpa-range"),
        ("hva-fixed", "overlap"),
        ("size-fixed", "overlap"),
        ("readonly-fixed", "overlap"),
        ("gmem-open", "gpa-range"),
        ("gmem-immutable", "overlap"),
        ("gmem-offset", "gmem-open"),
    ]:
        assert expected in pairs


def test_breaches_that_cannot_meet_are_not_combined():
    by_rule = {breach.rule: breach for breach in BREACHES}

    def meet(first, second):
        return combine(by_rule[first], by_rule[second])

    assert meet("hva-fixed", "size-fixed")
    assert not meet("delete-absent", "hva-fixed")  # a slot is absent or not
    assert not meet("delete-absent", "overlap")  # a deletion has no range
    assert not meet("page-limit", "size-fixed")  # one size
    assert not meet("v1-flags", "gmem-range")  # the first ioctl has no guest_memfd
    assert not meet("as-id", "overlap")  # no slots there


@pytest.mark.parametrize("policy", [HostPolicy(), HostPolicy.kvm_pvm()], ids=["upstream", "pvm"])
@pytest.mark.parametrize("spaces", [1, 2])
def test_the_simulator_answers_every_case(spaces, policy):
    rows = list(run_cases(lambda: SimVm(spaces, policy), policy))

    assert [row for row in rows if not row.agrees] == []
    unanswered = [row.case.name for row in rows if row.answer is None]
    assert len(rows) == len(CASES)
    # Two cases need one address space, four need two.
    assert len(unanswered) == (4 if spaces == 1 else 2)


@pytest.mark.needs_kvm
def test_this_kernel_answers_every_case():
    rows = run_cases(KvmVm, this_host().policy)

    assert [(row.case.name, row.expected, row.answer) for row in rows if not row.agrees] == []


def a_case(expected, setup=(), call=None):
    return Case("a case", (), setup, call or region(), expected, "why")


def test_a_row_disagrees_when_errno_value_or_rule_differ():
    refused = a_case(Refused("overlap"))

    assert Row(refused, Answer(17), None).agrees
    assert Row(refused, Answer(17), Answer(17)).agrees
    assert Row(refused, Answer(17), Answer(17, rule="overlap")).agrees
    assert not Row(refused, Answer(17), Answer(17, rule="flags")).agrees
    assert not Row(refused, Answer(17), Answer(22)).agrees
    assert not Row(a_case(Gives(1)), Answer(0, 1), Answer(0, 2)).agrees


def test_a_wrong_expectation_is_found():
    cases = [a_case(Refused("overlap")), a_case(Gives())]

    assert [row.agrees for row in run_cases(SimVm, None, cases)] == [False, True]


def test_a_setup_that_fails_says_so():
    with pytest.raises(AssertionError) as error:
        play(a_case(Gives(), setup=(delete(),)), SimVm())

    assert str(error.value).startswith("a case: setup set_user_memory_region(0x1, 0x0, 0x0")
    assert "EINVAL" in str(error.value)


def test_a_case_that_needs_smm_is_not_run_without_it():
    case = Case("smm", (), (), region(0x10001), Gives(), "why", address_spaces=2)

    assert [row.answer for row in run_cases(SimVm, None, [case])] == [None]
    assert [row.answer for row in run_cases(lambda: SimVm(2), None, [case])] == [Answer(0)]


def test_expectations_may_depend_on_the_host():
    by_policy = Gives(lambda policy: policy.max_gpa_bits)

    assert by_policy.answer(HostPolicy()) == Answer(0, 48)
    assert Gives(7).answer(HostPolicy()) == Answer(0, 7)
    assert Refused("overlap").answer(HostPolicy()) == Answer(17)
