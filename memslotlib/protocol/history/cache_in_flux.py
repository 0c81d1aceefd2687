"""A vCPU remembered an MMIO address while the slots were changing, and believed it at once.

Before: besides the MMIO SPTE that all share, a vCPU keeps one MMIO address for itself, with the
whole generation. A fault that finds nothing in the old set and reads the generation after the swap
keeps the value that says *in progress*. As long as the update is in progress, that is the
generation of the day: the next access to the address is believed to be MMIO, though there is memory
in the active set. An MMIO SPTE would not have been believed.

The fix: nothing is kept while an update is in progress.

The author says that it is not clear whether this ever did harm, as no order was promised. The model
has an answer. It does none once CREATE has returned. But until then one vCPU can find the memory
and be told MMIO after that: another vCPU maps the page, the first one reads it through that SPTE,
and then the emulator goes by what the first one kept.

Source: the text of the commit, read in an archive with its patch. The run that ends in memory and
then MMIO is this model's; nobody reported it.

Left out: the virtual address and the access rights that are kept too; what userspace does with the
exit, which has called CREATE and may well have the memory ready.
"""

from __future__ import annotations

from typing import Any

from ...check import Array, Flag, Int, Model, never, sometimes
from ..judge import met_page
from ..mmu import request_flush
from ..model import model
from ..slots import Change
from ..state import OUT, OUTSIDE, READING
from ..vcpu import guest_access, kvm_access, lookup
from ..world import Access, World
from .bug import Bug, extended
from .generation_at_publish import SLOT, twice
from .generations import (
    AGREES,
    CROSSES,
    NONE,
    RETURNED,
    TAGS,
    VARIABLES,
    access_by_generation,
    believes,
    judge_mmio,
    remember,
)

BACK = "a vCPU that found memory is never told MMIO"
