"""The models that are too strong: what each supposes, why one might, and what refutes it."""

from __future__ import annotations

from collections.abc import Mapping

from ..litmus_stores import Check
from ..protocol.apis import APIS
from ..protocol.kernel import free, publish
from ..protocol.vcpu import kvm_access, page_fault
from ..protocol.world import X86_BEFORE_5_13
from . import changes
from .changes import LANDS, WAITS, may_use
from .entry import Entry, Sighting

_NATIVE, _EMULATED = "long64-cpl3", "long64"


def _raced(access: str, api: str, context: str, method: str, column: str = "") -> Sighting:
    parameters = {"api": api, "context": context, "method": method}
    return Sighting("q0.jsonl", f"delete-create+{access}", parameters, column=column)


def _flipped(context: str) -> Sighting:
    where = {"api": "today", "context": context}
    return Sighting("q5.jsonl", "hva-flip+store", where, Check.I3B)


def _logged(held: bool, check: Check) -> Sighting:
    where = {"api": "today", "context": _NATIVE, "held": held}
    return Sighting("q6.jsonl", "dirty-log+store", where, check)


_ALL = (
    Entry(
        "DELETE and CREATE are one swap",
        "One thread makes both calls, one right after the other.",
        *("split+load", "today", "I3a"),
        _raced("load", "today", _NATIVE, "overlap"),
        build=changes.one_swap,
    ),
    Entry(
        "CREATE comes before DELETE",
        "Who replaces a thing makes the new one first.",
        *("hva-flip+store", "today", "I3b"),
        _flipped(_NATIVE),
        build=changes.make_before_break,
    ),
    Entry(
        "vCPUs stand still during the whole update",
        "QEMU's big lock is held.",
        *("split+load", "today", "I3a"),
        _raced("store", "today", _NATIVE, "overlap"),
        build=APIS["pause"].build,
    ),
    Entry(
        "vCPUs stand still during each ioctl",
        "A flush kicks all of them.",
        *("truncate-logged+store", "today", LANDS),
        _logged(True, Check.LANDS),
        build=changes.paused_each,
    ),
    Entry(
        "An ioctl is one instant to a store",
        "It holds slots_lock from its beginning to its end.",
        *("truncate-logged+store", "today", LANDS),
        _logged(True, Check.LANDS),
        steps={may_use: changes.update_excluded},
    ),
    Entry(
        "An ioctl is one instant to KVM's own accesses",
        "So is the contract of the system call as it is documented.",
        *("move+emulator", "move", "I3b"),
        _raced("load", "move", _EMULATED, "held"),
        steps={kvm_access: changes.kvm_access_excluded},
    ),
    Entry(
        "MOVE is one swap",
        "It is one ioctl, and names one slot.",
        *("move+emulator", "move", "I3b"),
        _raced("store", "move", _EMULATED, "overlap"),
        build=changes.moved_at_once,
    ),
    Entry(
        "Translations die when INVALID is published",
        "The slot is gone, so nothing may be reached through it.",
        *("split-logged+store", "today", LANDS),
        _logged(True, Check.LANDS),
        steps={publish: changes.publish_and_forget},
    ),
    Entry(
        "A translation is as good as its slot",
        "The layout says where memory is: an access looks it up.",
        *("split-logged+store", "today", LANDS),
        _logged(True, Check.LANDS),
        steps={may_use: changes.slot_asked},
    ),
    Entry(
        "DELETE never publishes INVALID",
        "There is a slot, and then there is none.",
        *("split+load", "today", WAITS),
        _raced("load", "today", _NATIVE, "held", "unmapped_stalled"),
        build=changes.without_invalid,
    ),
    Entry(
        "A fault on an INVALID slot is not retried",
        "So it was before Linux 5.13, and so it is on other architectures.",
        *("split+fetch", "today", WAITS),
        _raced("fetch", "today", _NATIVE, "held", "unmapped_stalled"),
        policy=X86_BEFORE_5_13,
    ),
    Entry(
        "A fault without a slot is retried",
        "As one on an INVALID slot is: userspace is in the middle of an update.",
        *("split+fetch", "today", "I3a"),
        _raced("fetch", "today", _NATIVE, "rendezvous"),
        steps={page_fault: changes.fault_waits_for_a_slot},
        via=("guest",),
    ),
    Entry(
        "Userspace answers as memory would",
        "It knows both layouts, and gets every exit.",
        *("split+fetch", "today", "I3a"),
        _raced("fetch", "today", _NATIVE, "overlap"),
        steps={page_fault: changes.fault_is_answered},
        via=("guest",),
    ),
    Entry(
        "KVM's own accesses are retried on INVALID",
        "A fault is, and the slot is the same.",
        *("move+emulator", "move", "I3b"),
        _raced("store", "move", _EMULATED, "held"),
        steps={kvm_access: changes.kvm_access_retried},
    ),
    Entry(
        "KVM's own accesses are retried until there is a slot",
        "Then an emulated instruction would never be cut in two.",
        *("hva-flip+emulator", "today", "I3b"),
        _flipped(_EMULATED),
        steps={kvm_access: changes.kvm_access_waits},
        via=("emulator",),
    ),
    Entry(
        "Every access goes by page tables",
        "With two-dimensional paging hardly anything is emulated.",
        *("move+emulator", "move", "I3b"),
        _raced("fetch", "move", _EMULATED, "held"),
        steps={kvm_access: changes.kvm_access_by_page_tables},
    ),
    Entry(
        "The dirty bitmap outlives DELETE",
        "The memory does, and so does what was written to it.",
        *("truncate-logged+store", "today", "I5"),
        _logged(False, Check.I5),
        build=changes.bitmap_carried,
        steps={free: changes.free_all_but_bitmap},
    ),
    Entry(
        "KVM_GET_DIRTY_LOG and DELETE are one instant",
        "QEMU makes the two calls one right after the other.",
        *("truncate-logged+store", "today", "I5"),
        _logged(True, Check.I5),
        build=changes.fetched_with_delete,
        via=("guest",),
    ),
)

#: By their names.
ENTRIES: Mapping[str, Entry] = {one.name: one for one in _ALL}
