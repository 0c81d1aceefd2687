"""KVM_CREATE_GUEST_MEMFD: descriptors of memory that only slots can reach."""

from __future__ import annotations

import errno
from typing import NamedTuple

from ..uapi import PAGE_SIZE
from .rule import Rule, asked, first_broken, refusal
from .state import GuestMemfd, VmState

#: Descriptors 0 to 2 are the process's own files: open, and no guest memory.
STANDARD_FDS = range(3)


_CALL = "KVM_CREATE_GUEST_MEMFD"
_SOURCE = "guest_memfd.c kvm_gmem_create()"


class GuestMemfdRequest(NamedTuple):
    """The fields of one KVM_CREATE_GUEST_MEMFD call."""

    size: int
    flags: int


GMEM_RULES: tuple[Rule, ...] = (
    Rule(
        "gmem-flags", (_CALL,), "every request", errno.EINVAL,
        "a flag that this kernel's guest_memfd does not have",
        _SOURCE,
        lambda r, s, old: r.flags & ~s.policy.guest_memfd_flags != 0,
    ),
    Rule(
        "gmem-size", (_CALL,), "every request", errno.EINVAL,
        "size is 0, negative as a signed number, or no multiple of the page size",
        _SOURCE,
        lambda r, s, old: not 0 < r.size < 1 << 63 or r.size % PAGE_SIZE != 0,
    ),
)  # fmt: skip

_ASKED = asked(GMEM_RULES, _CALL, "every request")


def create(state: VmState, size_bytes: int, flags: int) -> int:
    """Return the descriptor of a new guest_memfd.

    Raises KvmError EINVAL by the rules of GMEM_RULES.

    Source: Linux 6.18, virt/kvm/guest_memfd.c kvm_gmem_create().
    """
    request = GuestMemfdRequest(size_bytes, flags)
    rule = first_broken(_ASKED, request, state, None)
    if rule is not None:
        raise refusal(_CALL, rule, request._asdict())
    fd = max(state.gmem_fds, default=STANDARD_FDS[-1]) + 1
    state.gmem_fds[fd] = GuestMemfd(size_bytes, flags)
    return fd
