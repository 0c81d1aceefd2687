import dataclasses

import pytest

from memslotlib.abi.policy import HostPolicy
from memslotlib.interface import Context


def test_the_default_is_one_upstream_machine():
    assert dataclasses.asdict(HostPolicy()) == {
        "native_contexts": frozenset(Context),
        "cpl3_fetch_failure": "shutdown",
        "reads_mark_dirty": True,
        "ring_reserved_entries": 64,
        "user_address_limit": 0x7FFF_FFFF_F000,
        "max_gpa_bits": 48,
        "guest_memfd": True,
        "guest_memfd_flags": 3,
        "quirks": 0x3FF,
    }


def test_kvm_pvm_differs_where_it_was_measured():
    assert HostPolicy.kvm_pvm() == HostPolicy(
        native_contexts=frozenset({Context.LONG64_CPL3}),
        cpl3_fetch_failure="internal_error",
        reads_mark_dirty=False,
        max_gpa_bits=52,
        quirks=0x5FF,
    )


def test_a_module_name_leads_to_its_policy():
    assert HostPolicy.of("kvm_pvm") == HostPolicy.kvm_pvm()
    assert HostPolicy.of("kvm_intel") == HostPolicy()


@pytest.mark.parametrize("bits", [32, 52])
def test_physical_addresses_have_32_to_52_bits(bits):
    assert HostPolicy(max_gpa_bits=bits).max_gpa_bits == bits


@pytest.mark.parametrize("bits", [31, 53])
def test_other_widths_are_refused(bits):
    with pytest.raises(ValueError) as error:
        HostPolicy(max_gpa_bits=bits)

    assert str(error.value) == (
        f"max_gpa_bits is {bits}, and an x86 physical address has 32 to 52 bits"
    )


def test_a_misspelled_exit_is_refused():
    with pytest.raises(ValueError) as error:
        HostPolicy(cpl3_fetch_failure="shut down")

    assert str(error.value) == (
        "cpl3_fetch_failure is 'shut down': shutdown or internal_error is what a kernel answers"
    )
