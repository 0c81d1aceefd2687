"""T0.2: what each exit leaves a VMM to do, read in api.rst and in handle_emulation_failure()."""

from __future__ import annotations

from memslotlib.views.tables import Table

ROWS = (
    (
        "KVM_EXIT_MMIO, a read",
        "mmio",
        "Answer from its own view of memory. The guest gets the right bytes, late.",
    ),
    (
        "KVM_EXIT_MMIO, a write",
        "mmio",
        "Apply it to the memory itself. A locked read-modify-write comes as a plain write, and is "
        "atomic with no other vCPU.",
    ),
    (
        "KVM_EXIT_INTERNAL_ERROR, suberror 1",
        "internal_error",
        "Stop the VM, as QEMU does; or decide from RIP and its own updates in flight that this was "
        "the race, forget the queued exception (upstream queues #UD first) and run the vCPU again.",
    ),
    (
        "none; #UD in the guest",
        "shutdown",
        "Nothing: it is not told. Upstream injects #UD above CPL 0 and in nested guests, unless "
        "KVM_CAP_EXIT_ON_EMULATION_FAILURE is enabled.",
    ),
)


def table() -> Table:
    """Return one row for each thing that can come out of the window."""
    columns = ("Exit", "In T0.1", "What a VMM can do")
    return Table(columns, ROWS)
