"""What an update is made of, counted in the model's own programs: no host is asked.

A program of ``protocol.apis`` lists the kernel's steps of an update, as a reading of its source.
How often it publishes a set of slots, waits for readers, zaps and interrupts vCPUs is a fact of
that list, the same on every host; what each of them takes is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..protocol.apis import APIS
from ..protocol.program import Op
from ..protocol.slots import Change, Slot
from ..protocol.world import X86, Policy
from .operations import CREATE, DELETE, FLAGS, MOVE, NO_OP


@dataclass(frozen=True, slots=True)
class Steps:
    """How often an update does what others notice.

    ``swaps``: it makes another set of slots the active one. ``waits``: it waits until nobody uses
    the other set any more. ``zaps``: it takes translations away, ``zaps_all`` of every slot at
    once. ``kicks``: it interrupts the vCPUs that are in the guest, and waits for them. ``pauses``:
    userspace keeps all vCPUs out.
    """

    swaps: int
    waits: int
    zaps_all: int
    zaps: int
    kicks: int
    pauses: int


#: The steps of the model that are counted, by what they are counted as.
_COUNTED: Mapping[str, tuple[str, ...]] = {
    "swaps": ("publish",),
    "waits": ("end_grace_period",),
    "zaps_all": ("zap_all",),
    "zaps": ("zap_all", "zap_slot", "zap_gfns"),
    "kicks": ("await_kicked",),
    "pauses": ("await_paused",),
}


def counted(ops: Iterable[Op]) -> Steps:
    """Count the steps of a program.

    >>> counted(APIS["today"].build(Change((), (Slot("new", 0, 1),)), X86, None))
    Steps(swaps=1, waits=1, zaps_all=0, zaps=0, kicks=0, pauses=0)
    """
    found = Counter(op.step.__name__ for op in ops)
    return Steps(**{what: sum(found[name] for name in names) for what, names in _COUNTED.items()})


def of_operations(policy: Policy = X86) -> dict[str, Steps]:
    """Return the steps of each ioctl of today, by its operation; none where nothing changes."""
    slot = Slot("slot", 0, 1)
    logged, moved = replace(slot, name="logged", log=True), Slot("moved", 1, 1, "A-1")
    changes = {
        FLAGS: ("flags", Change((slot,), (logged,))),
        MOVE: ("move", Change((slot,), (moved,))),
        DELETE: ("today", Change((slot,), ())),
        CREATE: ("today", Change((), (slot,))),
    }
    found = {NO_OP: counted(())}
    for operation, (key, change) in changes.items():
        found[operation] = counted(APIS[key].build(change, policy, None))
    return found


def of_apis(change: Change, policy: Policy = X86) -> dict[str, Steps | str]:
    """Return the steps by which each API makes a change, or the reason why it cannot."""
    found: dict[str, Steps | str] = {}
    for key, api in APIS.items():
        refusal = api.refusal(change)
        found[key] = refusal or counted(api.build(change, policy, None))
    return found


def other_backing(slots: int) -> Change:
    """Return the change that gives so many slots, of one page each, another hva."""
    return Change(*(tuple(_slot(number, hva) for number in range(slots)) for hva in "AB"))


def _slot(number: int, hva: str) -> Slot:
    return Slot(f"{number}{hva}", number, 1, hva)


def formula(ones: int, twos: int) -> str:
    """Return how a count goes with N, from what it is for N = 1 and N = 2.

    >>> formula(3, 6), formula(2, 3), formula(1, 1), formula(0, 0)
    ('3N', 'N + 1', '1', '0')
    """
    slope, rest = twos - ones, 2 * ones - twos
    if not slope:
        return str(rest)
    times = "N" if slope == 1 else f"{slope}N"
    return f"{times} + {rest}" if rest else times
