"""The properties of an update: what each says, word for word, and since when.

A property that was published is frozen. One that is edited later keeps its id and lists in
``history`` each verdict that the edit changed. The steps name them as results print them:
``I3a no hole where the page stays``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..check import Result
from ..errors import MemslotError
from ..verdict import Word


class UnknownPropertyError(MemslotError, KeyError):
    """No such property; the text lists what there is."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Stated:
    """One property: its id, the short name that models use, and what it says exactly.

    ``told_as`` is the property by which models tell it, where it is that of a special change.
    """

    id: str
    short: str
    statement: str
    history: tuple[str, ...] = ("2026-11-28 first stated",)
    told_as: str = ""

    @property
    def name(self) -> str:
        """What models, results and traces call it."""
        return PROPERTIES[self.told_as].name if self.told_as else f"{self.id} {self.short}"


_ALL = (
    Stated(
        "I1",
        "no use of a slot that was freed",
        "Whoever found a slot by a look-up uses it, its metadata and its dirty bitmap only before "
        "the kernel frees them.",
    ),
    Stated(
        "I2",
        "nothing reaches the old page after the update",
        "After the last ioctl of an update has returned, no access through a frame reaches the "
        "page that the frame had before, unless it has it still; and no store reaches a page "
        "through a frame that has become READONLY. Another slot, space or device may share it.",
    ),
    Stated(
        "I2'",
        "no load brings a value of the old page after the update",
        "After the last ioctl of an update has returned, KVM_RUN completes no load with a value "
        "that userspace read for it from the page that the frame had before, unless it has it "
        "still. I2 is about when userspace reads, this about when the guest gets what it read.",
    ),
    Stated(
        "I3a",
        "no hole where the page stays",
        "A frame that has the same page before and after an update has it at every moment: no "
        "access through the frame is told that there is no memory.",
    ),
    Stated(
        "I3b",
        "no hole where the page changes",
        "A frame that has one page before and another one after has one of the two at every "
        "moment: an access may wait, but is not told that there is no memory.",
    ),
    Stated(
        "I4a",
        "one vCPU never sees the old page after the new one",
        "Once a vCPU has reached the new page through a frame, it does not reach the old one "
        "through that frame.",
    ),
    Stated(
        "I4a'",
        "no vCPU sees the old page after another saw the new one",
        "Once any vCPU has reached the new page through a frame, no other reaches the old one. "
        "The observer is two vCPUs that communicate, or vhost and a vCPU where a scene has vhost.",
        ("2026-11-28 first stated", "2026-11-28 vhost named as an observer: no verdict changed"),
    ),
    Stated(
        "I4b",
        "no write to the old page once it is being copied",
        "Once userspace has begun to copy an old page to the new one, no store of a vCPU, or of "
        "vhost where a scene has it, lands in the old page: it would not be in the copy.",
        ("2026-11-28 first stated", "2026-11-28 vhost named as a writer: no verdict changed"),
    ),
    Stated(
        "I4b'",
        "no write to the new page before it is copied to",
        "Before userspace has begun to copy an old page to the new one, no store lands in the new "
        "page: the copy would undo it. Asked where userspace makes accesses by a map of its own.",
    ),
    Stated(
        "I5",
        "no dirty page is lost",
        "In a slot that logs, a page that was written since userspace last sent it is named by a "
        "log that userspace has read or can still read, in the layout that is there afterwards.",
    ),
    Stated(
        "I5'",
        "no clean page is called dirty",
        "A page that a log names was written, or mapped for a write, since userspace last fetched "
        "its bit. Without it, a log of ones would do for I5.",
    ),
    Stated(
        "I5''",
        "an entry of a ring names the page that it was pushed for",
        "What userspace takes an entry of a dirty ring for, by the slots that it knows when it "
        "reads the entry, is the page for which KVM pushed it. An entry of no slot that userspace "
        "knows, or beyond the slot's end, names nothing.",
    ),
    Stated(
        "I6",
        "generations are unique and only grow",
        "The generation that look-ups read in an address space only grows, and no two sets of "
        "slots that were published have the same one, in whatever space. From the swap until the "
        "grace period is over it is marked as in progress; whenever slots_lock is free it is not.",
    ),
    Stated(
        "I7",
        "both sets are equal at rest",
        "Whenever slots_lock is free, both sets of an address space hold the same slots.",
    ),
    Stated(
        "I8",
        "no two slots overlap",
        "In no set of an address space do two slots hold the same frame.",
    ),
    Stated(
        "I9a",
        "a failed update leaves everything as it was",
        "After an update that fails has returned, with what the kernel undoes and what userspace "
        "can undo before a vCPU is able to see it, the active set of each address space holds the "
        "same slots as before it, but for what they are called; so each frame maps what it mapped, "
        "and no translation leads anywhere else.",
        ("2026-11-29 first stated",),
    ),
    Stated(
        "I9b",
        "no hole while an update fails",
        "While an update fails and afterwards, no access through a frame that had a page is told "
        "that there is no memory: an update that fails changes nothing, and this is I3a of it.",
        ("2026-11-29 first stated",),
        told_as="I3a",
    ),
    Stated(
        "I10",
        "nobody waits for ever",
        "There is no state in which somebody is unfinished and nobody can go on. That somebody may "
        "be overtaken without end is not excluded.",
    ),
    Stated(
        "I11",
        "an update of one address space does not show in another",
        "While an update changes slots of one address space, an access in another finds what it "
        "would find without it: the page of its frame, or no memory where its space has none.",
    ),
    Stated(
        "I12",
        "every SPTE is accounted in the slot that a lookup finds",
        "At every step, the metadata that an SPTE is accounted in (rmap, write tracking, huge-page "
        "counts) is that of the slot which a look-up by (role.smm, gfn) returns at that step, and "
        "a huge SPTE lies in one slot.",
    ),
    Stated(
        "I13",
        "one vCPU never sees a mix",
        "Once a vCPU has seen the new layout through one frame of a change, in whichever address "
        "space, it does not see the old one through another.",
    ),
    Stated(
        "I13'",
        "vCPUs that talk never see a mix",
        "Once any vCPU has seen the new layout through one frame of a change, no vCPU sees the old "
        "one through another. The observer is two vCPUs that communicate.",
    ),
    Stated(
        "I14",
        "one access never sees a mix",
        "All parts of an access that straddles two frames reach what the layout before an update "
        "has in these frames, or all of them what the layout after it has, or all are told that "
        "there is no memory. An attempt that an exit cut off does not count.",
    ),
    Stated(
        "I14'",
        "no part of an access is made twice",
        "Where an exit makes an instruction begin again, no store to one of its frames was made "
        "before the exit: it would be made once more, over what others stored in between.",
    ),
    Stated(
        "I15",
        "no access meets a hole where memory is after the update",
        "After the last ioctl of an update has returned, no access through a frame that has a page "
        "then is told that there is no memory, be it by a look-up or by what is remembered of an "
        "earlier one. A store to READONLY memory is told so, and is no hole.",
    ),
    Stated(
        "I15'",
        "a remembered hole is believed only where no memory is",
        "An access is told that there is no memory by what its vCPU keeps or an MMIO SPTE says, "
        "without a look-up, only at a moment at which a look-up finds no slot to use either.",
    ),
    Stated(
        "I16",
        "no set is edited while somebody looks in it",
        "Whoever has read which set of an address space's slots is active finds that set unchanged "
        "until the slot is found in it: no step of an update edits it in between.",
    ),
)

#: By their ids.
PROPERTIES: Mapping[str, Stated] = {one.id: one for one in _ALL}


def stated(identity: str) -> Stated:
    """Return a property by its id.

    >>> stated("I3a").name
    'I3a no hole where the page stays'
    >>> stated("I3")
    Traceback (most recent call last):
    memslotlib.protocol.properties.UnknownPropertyError: no property 'I3'; there are I1, I2, I2', \
I3a, I3b, I4a, I4a', I4b, I4b', I5, I5', I5'', I6, I7, I8, I9a, I9b, I10, I11, I12, I13, I13', \
I14, I14', I15, I15', I16
    """
    if identity not in PROPERTIES:
        known = ", ".join(PROPERTIES)
        raise UnknownPropertyError(f"no property {identity!r}; there are {known}")
    return PROPERTIES[identity]


def violated(result: Result) -> dict[str, int]:
    """Return the ids of the properties that are violated, and after how many steps each first is.

    A search also says of events that have to happen whether they do; these are no properties.
    """
    found = {name.split()[0]: one for name, one in result.verdicts.items()}
    return {
        identity: one.after_steps
        for identity, one in found.items()
        if identity in PROPERTIES and one.verdict.word is Word.VIOLATED
    }
