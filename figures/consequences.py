"""What becomes of an access that finds no memory, by who makes it: told by the shortest traces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from memslotlib.litmus_model import shortest
from memslotlib.views.tables import Table

HOLE = "I3a"
API = "today"


class Met(NamedTuple):
    """One way into a hole: who makes the access, the scene, and in whose words it ends."""

    who: str
    scene: str
    steps: int
    consequence: str


#: Who makes an access, and the scene in which it is the first to meet a hole.
WHO = {
    "an instruction of the guest, by a page fault": "split+load",
    "KVM's emulator, for an instruction of the guest": "split+emulator",
    "the fetch of an instruction": "split+fetch",
    "the walk of the guest's page tables": "split+walk",
    "the save of a vCPU's state into SMRAM": "smram-split+smi",
    "a device that KVM emulates": "split+device",
}


def met() -> Iterator[Met]:
    """Search each scene under today's API for its shortest hole."""
    for who, scene in WHO.items():
        trace = shortest(scene, API, HOLE)
        (last,) = [detail for step in trace.steps for _, detail in step.failed]
        yield Met(who, scene, len(trace.steps), last)


def table() -> Table:
    """Return a row for each, searched as the page is made."""
    return Table(("Who makes the access", "Scene", "Steps", "What becomes of it"), list(met()))
