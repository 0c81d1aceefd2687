"""The policy of the host that is there: made from what it says of itself, not from its name.

Probed are the capabilities of a VM, the module's parameters, and two limits of addresses. Left to
the module's name is what no probe tells without making the access that it predicts: which exit a
fetch from nowhere comes to. Read from source and confirmed on kvm_pvm alone so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from ..abi import SimVm
from ..abi.policy import HostPolicy
from ..interface import Context
from ..uapi import DIRTY_RING_RESERVED_ENTRIES, PML_ENTRIES, Cap

_SHADOWED_GPA_BITS = 52
_TDP_PARAMETERS = ("kvm_intel.ept", "kvm_amd.npt")


class Probed(NamedTuple):
    """What a host's VMs are: its policy, and how many address spaces they have."""

    policy: HostPolicy
    address_spaces: int

    def simulator(self) -> SimVm:
        """Return a VM of the simulator that answers as this host's should."""
        return SimVm(self.address_spaces, self.policy)


def of_host(
    module: str,
    parameters: Mapping[str, str],
    caps: Mapping[Cap, int],
    physical_address_bits: int,
    user_address_limit: int,
) -> Probed:
    """Return what follows from a host's own words.

    ``parameters`` are the modules', as "module.name"; ``caps`` are a VM's answers, for a system may
    offer what its default VMs do not.

    Source: Linux 6.18, arch/x86/kvm/mmu.h kvm_mmu_max_gfn(); virt/kvm/dirty_ring.c
    kvm_dirty_ring_get_rsvd_entries(); vmx.c vmx_hardware_setup().

    >>> caps = {Cap.MULTI_ADDRESS_SPACE: 2, Cap.DISABLE_QUIRKS2: 0xFF, Cap.GUEST_MEMFD: 0}
    >>> intel = {"kvm_intel.ept": "Y", "kvm_intel.pml": "Y", "kvm_intel.unrestricted_guest": "Y"}
    >>> host = of_host("kvm_intel", intel, caps, 46, (1 << 47) - 4096)
    >>> host.address_spaces, host.policy.max_gpa_bits, host.policy.ring_reserved_entries
    (2, 46, 576)
    """
    two_dimensional = any(_on(parameters, name) for name in _TDP_PARAMETERS)
    pml = PML_ENTRIES if _on(parameters, "kvm_intel.pml") else 0
    named = HostPolicy.of(module)
    policy = replace(
        named,
        native_contexts=_native(named, parameters),
        reads_mark_dirty=two_dimensional,
        ring_reserved_entries=DIRTY_RING_RESERVED_ENTRIES + pml,
        user_address_limit=user_address_limit,
        max_gpa_bits=physical_address_bits if two_dimensional else _SHADOWED_GPA_BITS,
        guest_memfd=bool(caps[Cap.GUEST_MEMFD]),
        guest_memfd_flags=caps.get(Cap.GUEST_MEMFD_FLAGS, 0),
        quirks=caps[Cap.DISABLE_QUIRKS2],
    )
    # A kernel with one address space does not know the question, and answers 0.
    return Probed(policy, max(1, caps[Cap.MULTI_ADDRESS_SPACE]))


def this_host() -> Probed:
    """Probe this host.

    Raises NotRunError, with the reason, when it has no usable KVM.
    """
    # Here, not above: what the table of cases says needs no host.
    from ..host import KvmVm
    from ..host.describe import describe
    from ..host.limits import physical_address_bits, user_address_limit

    with KvmVm() as vm:
        caps = {cap: vm.check_extension(cap) for cap in Cap}
    host = describe()
    return of_host(
        host.module, host.parameters, caps, physical_address_bits(), user_address_limit()
    )


def _native(named: HostPolicy, parameters: Mapping[str, str]) -> frozenset[Context]:
    """Return the contexts that the processor runs; without unrestricted guests no real mode."""
    restricted = parameters.get("kvm_intel.unrestricted_guest", "Y") in ("N", "0")
    return named.native_contexts - {Context.REAL16} if restricted else named.native_contexts


def _on(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "N") in ("Y", "1")
