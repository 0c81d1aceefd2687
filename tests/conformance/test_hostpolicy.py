import pytest

from memslotlib.abi.policy import HostPolicy
from memslotlib.conformance.hostpolicy import Probed, of_host, this_host
from memslotlib.conformance.table import run_cases
from memslotlib.errors import NotRunError
from memslotlib.interface import Context
from memslotlib.uapi import Cap

USER_LIMIT = (1 << 47) - 4096
#: What VMs of a stock Linux 6.18 with SMM answer.
CAPS = {
    Cap.MULTI_ADDRESS_SPACE: 2,
    Cap.DISABLE_QUIRKS2: 0x3FF,
    Cap.GUEST_MEMFD: 1,
    Cap.GUEST_MEMFD_FLAGS: 3,
}
INTEL = {"kvm_intel.ept": "Y", "kvm_intel.pml": "Y", "kvm_intel.unrestricted_guest": "Y"}


def probed(module="kvm_amd", parameters=None, bits=48, user_limit=USER_LIMIT, **caps):
    parameters = {"kvm_amd.npt": "Y"} if parameters is None else parameters
    answers = CAPS | {Cap[name]: value for name, value in caps.items()}
    return of_host(module, parameters, answers, bits, user_limit)


def test_the_default_policy_is_that_of_a_stock_host():
    assert probed() == Probed(HostPolicy(), 2)


def test_kvm_pvm_probes_as_it_was_measured():
    host = probed("kvm_pvm", {"kvm.tdp_mmu": "N"}, DISABLE_QUIRKS2=0x5FF, MULTI_ADDRESS_SPACE=0)

    assert host == Probed(HostPolicy.kvm_pvm(), 1)


@pytest.mark.parametrize(("answer", "spaces"), [(0, 1), (1, 1), (2, 2)])
def test_no_answer_is_one_address_space(answer, spaces):
    host = probed(MULTI_ADDRESS_SPACE=answer)

    assert host.address_spaces == spaces
    assert host.simulator().check_extension(Cap.X86_SMM) == spaces - 1


@pytest.mark.parametrize(
    ("parameters", "bits"),
    [
        ({"kvm_intel.ept": "Y"}, 46),
        ({"kvm_intel.ept": "1"}, 46),
        ({"kvm_amd.npt": "Y"}, 46),
        ({"kvm_intel.ept": "N"}, 52),
        ({"kvm_amd.npt": "0"}, 52),
        ({"kvm.tdp_mmu": "Y"}, 52),
    ],
)
def test_two_dimensional_paging_maps_the_processors_addresses(parameters, bits):
    policy = probed(parameters=parameters, bits=46).policy

    assert policy.max_gpa_bits == bits
    assert policy.reads_mark_dirty is (bits == 46)


@pytest.mark.parametrize(("pml", "reserved"), [("Y", 576), ("N", 64)])
def test_page_modification_logging_keeps_512_more_entries(pml, reserved):
    policy = probed("kvm_intel", INTEL | {"kvm_intel.pml": pml}).policy

    assert policy.ring_reserved_entries == reserved


@pytest.mark.parametrize("value", ["N", "0"])
def test_without_unrestricted_guests_real_mode_is_interpreted(value):
    parameters = INTEL | {"kvm_intel.unrestricted_guest": value}

    assert probed("kvm_intel", INTEL).policy.native_contexts == frozenset(Context)
    assert probed("kvm_intel", parameters).policy.native_contexts == frozenset(Context) - {
        Context.REAL16
    }


def test_capabilities_are_the_vms():
    policy = probed(GUEST_MEMFD=0, GUEST_MEMFD_FLAGS=0, DISABLE_QUIRKS2=0x7FF).policy

    assert (policy.guest_memfd, policy.guest_memfd_flags, policy.quirks) == (False, 0, 0x7FF)


def test_a_kernel_that_does_not_know_the_flags_has_none():
    caps = {cap: value for cap, value in CAPS.items() if cap != Cap.GUEST_MEMFD_FLAGS}

    assert of_host("kvm_amd", {}, caps, 48, USER_LIMIT).policy.guest_memfd_flags == 0


def test_userspace_ends_where_the_kernel_says():
    assert probed(user_limit=(1 << 56) - 4096).policy.user_address_limit == (1 << 56) - 4096


HOSTS = {
    "npt": probed(),
    "ept": probed("kvm_intel", INTEL, bits=46),
    "5-level": probed("kvm_intel", INTEL, bits=52, user_limit=(1 << 56) - 4096),
    "shadow": probed("kvm_intel", {"kvm_intel.ept": "N", "kvm_intel.unrestricted_guest": "N"}),
    "no SMM": probed(MULTI_ADDRESS_SPACE=0),
    "6.12": probed(GUEST_MEMFD=0, GUEST_MEMFD_FLAGS=0, DISABLE_QUIRKS2=0xFF),
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_the_simulator_of_any_host_answers_every_case(host):
    rows = list(run_cases(host.simulator, host.policy))

    assert [(row.case.name, row.expected, row.answer) for row in rows if not row.agrees] == []
    lacking = {row.case.binds for row in rows if row.answer is None and not row.case.address_spaces}
    assert lacking == (set() if host.policy.guest_memfd else {True})


@pytest.mark.needs_kvm
def test_this_host_can_be_probed():
    host = this_host()

    with host.simulator() as vm:
        assert vm.check_extension(Cap.DISABLE_QUIRKS2) == host.policy.quirks
    assert host.address_spaces in (1, 2)


def test_without_kvm_there_is_nothing_to_probe(monkeypatch):
    def lacking():
        raise NotRunError("no KVM")

    monkeypatch.setattr("memslotlib.host.KvmVm", lacking)

    with pytest.raises(NotRunError, match="no KVM"):
        this_host()
