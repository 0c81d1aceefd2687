"""What a record must say of the host it was made on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import capabilities

#: The vendor modules that Linux itself contains on x86; any other one is out-of-tree.
IN_TREE = frozenset({"kvm_intel", "kvm_amd"})


@dataclass(frozen=True)
class Host:
    """This machine as far as KVM's behaviour may depend on it.

    ``module`` is the vendor module behind ``/dev/kvm``, empty when none is visible; when several
    are loaded it names them all, for nothing tells which one serves. ``parameters`` are theirs and
    kvm's, as "module.name". ``microcode`` is empty where the kernel hides it. ``nested`` tells
    whether this host is itself a guest.
    """

    kernel: str
    module: str
    out_of_tree: bool
    parameters: Mapping[str, str]
    cpu: str
    vendor: str
    microcode: str
    cpus: int
    nested: bool
    kvm: str

    @property
    def label(self) -> str:
        """One line for a caption: kernel, module, CPU."""
        module = self.module or "no KVM module"
        tree = " (out-of-tree)" if self.out_of_tree else ""
        return f"Linux {self.kernel}, {module}{tree}, {self.cpu or 'unknown CPU'}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a record."""
        return asdict(self)


def describe(root: Path = Path("/")) -> Host:
    """Describe this host; what cannot be read is left empty, nothing is guessed.

    ``root`` is where /sys and /proc are looked for. ``kvm`` is empty when ``/dev/kvm`` is usable,
    otherwise the reason why it is not.
    """
    cpu = _cpuinfo(root)
    modules = _vendor_modules(root)
    return Host(
        kernel=platform.release(),
        module=", ".join(modules),
        out_of_tree=not IN_TREE.issuperset(modules),
        parameters=dict(_parameters(root, "kvm", *modules)),
        cpu=cpu.get("model name", ""),
        vendor=cpu.get("vendor_id", ""),
        microcode=cpu.get("microcode", ""),
        cpus=len(os.sched_getaffinity(0)),
        nested="hypervisor" in cpu.get("flags", "").split(),
        kvm=capabilities.missing(),
    )


def _vendor_modules(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "sys/module").glob("kvm_*"))


def _parameters(root: Path, *modules: str) -> Iterator[tuple[str, str]]:
    for module in modules:
        for path in sorted((root / "sys/module" / module / "parameters").glob("*")):
            value = _text(path).strip()
            if value:
                yield f"{module}.{path.name}", value


def _cpuinfo(root: Path) -> dict[str, str]:
    """Return the first CPU's lines of /proc/cpuinfo."""
    first, _, _ = _text(root / "proc/cpuinfo").partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
