"""What the outputs of a build depend on besides its sources: the kernel and how it is reached."""

from __future__ import annotations

import os
from pathlib import Path

from ..host import describe, missing
from ..host.backend import default
from ..host.capabilities import DEVICE


def backend(device: str = DEVICE) -> str:
    """Return how chapters reach KVM, ``kvm (cffi)`` or ``kvm (ctypes)``, or why they cannot.

    The reason is part of the answer because pages print it: it must not come from an older cache.

    >>> backend("/nonexistent")
    'sim (/nonexistent: absent; load the module kvm_intel or kvm_amd)'
    """
    reason = missing(device=device)
    return f"sim ({reason})" if reason else f"kvm ({default().name})"


def kernel() -> str:
    """Return the running kernel as ``Linux 6.1.0``."""
    system = os.uname()
    return f"{system.sysname} {system.release}"


def kvm_module(root: Path = Path("/")) -> str:
    """Return the module behind /dev/kvm, an out-of-tree one marked; ``no KVM module`` if none.

    ``root`` is where /sys is looked for.

    >>> kvm_module(Path("/nonexistent"))
    'no KVM module'
    """
    found = describe(root)
    remark = " (out-of-tree)" if found.out_of_tree else ""
    return f"{found.module}{remark}" if found.module else "no KVM module"
