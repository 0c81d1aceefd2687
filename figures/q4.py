"""Q4 in sentences: what must be atomic, from what the model says of each API."""

from __future__ import annotations

from collections.abc import Mapping

from memslotlib.views.prose import Said, say

from .verdicts import Recorded, holding, recorded, violating

_UNRECORDED = (
    "**In one line: NOT RUN.** Nothing is recorded; `memslots claims --record` records it."
)
_ANSWER = (
    "**In one line.** One address space, and of it only that a frame which stays is found by every "
    "look-up, a fault's and KVM's own. That holds for {per_slot}; it is violated by "
    "{broken}. Several slots, or both spaces, need no common instant: if all that goes is blocked "
    "and flushed before anything new is published, no vCPU sees a mix; only {mix} shows one. So "
    "nothing here asks an API to let address spaces mix."
)


def answer(records: Mapping[str, Recorded] | None = None) -> Said:
    """Return the chapter's answer, its lists taken from the records."""
    found = recorded("Q4") if records is None else records
    if not found:
        return Said(_UNRECORDED)
    return say(
        _ANSWER,
        per_slot=holding("Q4.3", found),
        broken=violating("Q4.3", found),
        mix=violating("Q4.7", found),
    )
