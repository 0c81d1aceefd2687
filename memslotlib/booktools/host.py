"""What the outputs of a build depend on besides its sources: the kernel and how it is reached."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

#: Modules that can stand behind /dev/kvm, with the remark that a reader must see next to the name.
KVM_MODULES = {"kvm_intel": "", "kvm_amd": "", "kvm_pvm": "out of tree"}


def backend(device: Path = Path("/dev/kvm")) -> str:
    """Return how chapters reach KVM: ``kvm (cffi)``, ``kvm (ctypes)``, or ``sim`` without a device.

    >>> backend(Path("/nonexistent"))
    'sim'
    """
    if not os.access(device, os.R_OK | os.W_OK):
        return "sim"
    native = importlib.util.find_spec("memslotlib._kvm") is not None
    return f"kvm ({'cffi' if native else 'ctypes'})"


def kernel() -> str:
    """Return the running kernel as ``Linux 6.1.0``."""
    system = os.uname()
    return f"{system.sysname} {system.release}"


def kvm_module(modules: Path = Path("/sys/module")) -> str:
    """Return the module behind /dev/kvm, an out-of-tree one marked; ``no KVM module`` if none.

    >>> kvm_module(Path("/nonexistent"))
    'no KVM module'
    """
    for name, remark in KVM_MODULES.items():
        if (modules / name).is_dir():
            return f"{name} ({remark})" if remark else name
    return "no KVM module"
