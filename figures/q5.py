"""Q5 in sentences: when KVM has to invalidate and flush, from what the model says of each API."""

from __future__ import annotations

from collections.abc import Mapping

from memslotlib.views.prose import Said, say

from .verdicts import Recorded, holding, recorded, violating

_UNRECORDED = (
    "**In one line: NOT RUN.** Nothing is recorded; `memslots claims --record` records it."
)
_ANSWER = (
    "**In one line.** Frames that keep their page need neither; frames that lose it have to be "
    "zapped and flushed after no look-up finds the old slot and before the update returns; frames "
    "that get another page need a quiescent period as well, in which userspace copies. Swapping "
    "first and flushing later lets some stores hit the old page and some the new ({mixed}). With "
    "the copy outside of the quiescent period stores are lost ({lost}). Without a hole, without a "
    "mix and without a lost store are only: {sound}."
)


def answer(records: Mapping[str, Recorded] | None = None) -> Said:
    """Return the chapter's answer, its lists taken from the records."""
    found = recorded("Q5") if records is None else records
    if not found:
        return Said(_UNRECORDED)
    return say(
        _ANSWER,
        mixed=violating("Q5.3", found),
        lost=violating("Q5.4", found),
        sound=sound(found),
    )


def sound(records: Mapping[str, Recorded]) -> str:
    """Return the APIs for which every claim about a new page holds."""
    lists = [holding(f"Q5.{n}", records).replace(" and ", "; ").split("; ") for n in range(1, 6)]
    common = [title for title in lists[0] if all(title in one for one in lists)]
    return " and ".join(common) or "none"
